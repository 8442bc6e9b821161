/* lib/pki/outline.c: the outer fields of a certificate, see outline.h (RFC 5280 section 4.1). */
#include "pki/outline.h"

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "pki/der.h"

#include "core/banned.h"

static bool read_sequence(struct bytes *from, struct bytes *ret_whole)
{
    uint8_t tag = 0;
    return der_read(from, &tag, NULL, ret_whole) && tag == DER_SEQUENCE;
}

bool certificate_cut(struct bytes der, struct certificate_parts *ret_parts)
{
    struct certificate_parts parts;
    struct bytes certificate;
    struct bytes tbs;

    if (!der_read_tag(&der, DER_SEQUENCE, &certificate) || der.size != 0 ||
        !der_read_tag(&certificate, DER_SEQUENCE, &tbs))
        return false;
    (void)der_read_tag(&tbs, DER_CONTEXT_CONSTRUCTED(0), NULL); /* version, absent in v1 */
    if (!der_read_tag(&tbs, DER_INTEGER, &parts.serial) ||
        !der_read_tag(&tbs, DER_SEQUENCE, NULL) || /* signature */
        !read_sequence(&tbs, &parts.issuer) || !der_read_tag(&tbs, DER_SEQUENCE, &parts.validity) ||
        !read_sequence(&tbs, &parts.subject) || !read_sequence(&tbs, &parts.spki))
        return false;
    *ret_parts = parts;
    return true;
}

bool certificate_outline_read(TALLOC_CTX *ctx, struct bytes der,
                              struct certificate_outline *ret_outline, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct certificate_outline outline = {.der = der};
    struct certificate_parts parts;

    if (!certificate_cut(der, &parts))
        return fault_set(fault, CERTIFICATE_MALFORMED, "certificate",
                         "no certificate in DER (RFC 5280 section 4.1)");
    if (!serial_canonical(ctx, hex_from_bytes(scratch, parts.serial), &outline.serial))
        return fault_set(fault, CERTIFICATE_MALFORMED, "certificate",
                         "serial is empty or longer than 32 octets");
    if (!der_read_time(&parts.validity, &outline.not_before) ||
        !der_read_time(&parts.validity, &outline.not_after))
        return fault_set(fault, CERTIFICATE_MALFORMED, "certificate",
                         "validity has no times (RFC 5280 section 4.1.2.5)");
    if (!key_facts_from_spki(parts.spki, &outline.key, fault))
        return false;
    outline.spki = parts.spki;
    outline.spki_sha256 = digest_sha256_hex(ctx, parts.spki);
    outline.fingerprint_sha256 = digest_sha256_hex(ctx, der);
    *ret_outline = outline;
    return true;
}
