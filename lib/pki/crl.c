/* lib/pki/crl.c: the frame of a CRL, and reading one back (RFC 5280 section 5.1). */
#include "pki/crl.h"

#include <openssl/x509.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "pki/extension.h"

#include "core/banned.h"

/* Ours have 16; certificates that were imported may have more than RFC 5280 allows. */
#define SERIAL_OCTETS_MAX 33

static const uint8_t version_2[] = {DER_INTEGER, 1, 1};

/* Written backwards; `rest` is what stands behind the entries. */
static struct bytes frame_before(TALLOC_CTX *ctx, const struct crl_head *head, size_t entries_size,
                                 size_t rest)
{
    struct der_writer to;

    der_start(&to, ctx, head->issuer_der.size + 128);
    if (entries_size > 0)
        der_put_header(&to, DER_SEQUENCE, entries_size);
    der_put_time(&to, head->next_update);
    der_put_time(&to, head->this_update);
    der_put(&to, head->issuer_der);
    put_signature_algorithm(&to, head->algorithm);
    der_put(&to, BYTES_OF(version_2));
    der_put_header(&to, DER_SEQUENCE, to.used + entries_size + rest);
    return der_finish(&to, ctx);
}

struct crl_frame crl_frame(TALLOC_CTX *ctx, const struct crl_head *head, size_t entries_size)
{
    struct crl_frame frame;
    struct der_writer to;

    der_start(&to, ctx, 128);
    put_crl_number(&to, (uint64_t)head->number); /* never negative */
    put_authority_key_id(&to, head->ski);
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(0), 0);
    frame.after = der_finish(&to, ctx);
    frame.before = frame_before(ctx, head, entries_size, frame.after.size);
    return frame;
}

static bool read_oid(struct bytes *from, uint8_t arc)
{
    struct bytes oid;

    return der_read_tag(from, DER_OID, &oid) && oid.size == 3 && oid.data[0] == 0x55 &&
           oid.data[1] == 0x1d && oid.data[2] == arc;
}

/* Extension { id-ce arc, OCTET STRING }, neither critical nor followed by anything. */
static bool read_extension(struct bytes *from, uint8_t arc, struct bytes *ret_value)
{
    struct bytes inside;

    return der_read_tag(from, DER_SEQUENCE, &inside) && read_oid(&inside, arc) &&
           der_read_tag(&inside, DER_OCTET_STRING, ret_value) && inside.size == 0;
}

/* A positive INTEGER below 2^63, minimal. */
static bool read_number(struct bytes value, int64_t *ret_number)
{
    struct bytes digits;
    uint64_t number = 0;

    if (!der_read_tag(&value, DER_INTEGER, &digits) || value.size > 0 || digits.size == 0 ||
        digits.size > 8 || digits.data[0] & 0x80)
        return false;
    if (digits.size > 1 && digits.data[0] == 0 && !(digits.data[1] & 0x80))
        return false;
    for (size_t i = 0; i < digits.size; i++)
        number = number << 8 | digits.data[i];
    *ret_number = (int64_t)number; /* the top bit is clear */
    return number > 0;
}

/* authorityKeyIdentifier by key id, then cRLNumber: what crl_frame writes, in its order. */
static bool read_extensions(struct bytes *from, int64_t *ret_number)
{
    struct bytes inside;
    struct bytes list;
    struct bytes value;

    return der_read_tag(from, DER_CONTEXT_CONSTRUCTED(0), &inside) &&
           der_read_tag(&inside, DER_SEQUENCE, &list) && inside.size == 0 &&
           read_extension(&list, 35, &value) && read_extension(&list, 20, &value) &&
           list.size == 0 && read_number(value, ret_number);
}

static bool read_entry(struct bytes *from)
{
    struct bytes inside;
    struct bytes serial;
    struct bytes moment;
    uint8_t tag = 0;

    if (!der_read_tag(from, DER_SEQUENCE, &inside) ||
        !der_read_tag(&inside, DER_INTEGER, &serial) || serial.size == 0 ||
        serial.size > SERIAL_OCTETS_MAX || !der_read(&inside, &tag, &moment, NULL))
        return false;
    if (!(tag == DER_UTC_TIME && moment.size == 13) &&
        !(tag == DER_GENERALIZED_TIME && moment.size == 15))
        return false;
    return inside.size == 0 || (der_read_tag(&inside, DER_SEQUENCE, NULL) && inside.size == 0);
}

static bool count_entries(struct bytes entries, size_t *ret_count)
{
    *ret_count = 0;
    for (; entries.size > 0; ++*ret_count)
        if (!read_entry(&entries))
            return false;
    return *ret_count > 0;
}

bool crl_tbs_read(struct bytes tbs, struct crl_tbs *ret_tbs)
{
    struct crl_tbs read = {0};
    struct bytes inside;
    struct bytes version;
    uint8_t tag = 0;

    if (tbs.size > CRL_TBS_MAX || !der_read_tag(&tbs, DER_SEQUENCE, &inside) || tbs.size > 0)
        return false;
    if (!der_read_tag(&inside, DER_INTEGER, &version) || version.size != 1 || version.data[0] != 1)
        return false;
    if (!der_read(&inside, &tag, NULL, &read.algorithm) || tag != DER_SEQUENCE ||
        !der_read(&inside, &tag, NULL, &read.issuer) || tag != DER_SEQUENCE ||
        !der_read_time(&inside, &read.this_update) || !der_read_time(&inside, &read.next_update))
        return false;
    if (inside.size > 0 && inside.data[0] == DER_SEQUENCE &&
        (!der_read_tag(&inside, DER_SEQUENCE, &read.entries) ||
         !count_entries(read.entries, &read.count)))
        return false;
    if (!read_extensions(&inside, &read.number) || inside.size > 0)
        return false;
    *ret_tbs = read;
    return true;
}

bool crl_tbs_of(struct bytes crl, struct bytes *ret_tbs)
{
    struct bytes inside;
    uint8_t tag = 0;

    return der_read_tag(&crl, DER_SEQUENCE, &inside) && crl.size == 0 &&
           der_read(&inside, &tag, NULL, ret_tbs) && tag == DER_SEQUENCE &&
           der_read_tag(&inside, DER_SEQUENCE, NULL) &&
           der_read_tag(&inside, DER_BIT_STRING, NULL) && inside.size == 0;
}

struct crl_signed crl_signed(TALLOC_CTX *ctx, struct bytes tbs, enum signature_algorithm algorithm,
                             struct bytes signature)
{
    struct crl_signed crl = {.tbs = tbs};

    signed_object_frame(ctx, tbs.size, algorithm, signature, &crl.before, &crl.after);
    return crl;
}

static bool refuse(struct fault *fault, const char *what)
{
    fault_set(fault, INTERNAL, NULL, "a CRL that was just made cannot be used");
    return fault_cause_openssl(fault, what);
}

static const EVP_MD *digest_of(X509 *ca)
{
    const EVP_PKEY *key = X509_get0_pubkey(ca);

    return key && EVP_PKEY_get_security_bits(key) > 128 && EVP_PKEY_is_a(key, "EC")
               ? digest_algorithm_sha384()
               : digest_algorithm_sha256();
}

static bool signature_good(X509 *ca, struct bytes tbs, struct bytes signature)
{
    AUTO(EVP_MD_CTX) *verify = EVP_MD_CTX_new();
    EVP_PKEY *key = X509_get0_pubkey(ca);

    return verify && key && EVP_DigestVerifyInit(verify, NULL, digest_of(ca), NULL, key) == 1 &&
           EVP_DigestVerify(verify, signature.data, signature.size, tbs.data, tbs.size) == 1;
}

/* Another reader than ours. */
static bool parsed_good(const struct crl_signed *crl, X509 *ca, size_t count)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const size_t size = crl->before.size + crl->tbs.size + crl->after.size;
    uint8_t *whole = mem_array(scratch, uint8_t, size);

    memcpy(whole, crl->before.data, crl->before.size);
    memcpy(whole + crl->before.size, crl->tbs.data, crl->tbs.size);
    memcpy(whole + crl->before.size + crl->tbs.size, crl->after.data, crl->after.size);
    const uint8_t *at = whole;
    AUTO(X509_CRL) *parsed = d2i_X509_CRL(NULL, &at, (long)size); /* at most CRL_PARSED_MAX */
    if (!parsed || at != whole + size || X509_CRL_verify(parsed, X509_get0_pubkey(ca)) != 1)
        return false;
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(parsed);
    return X509_NAME_cmp(X509_CRL_get_issuer(parsed), X509_get_subject_name(ca)) == 0 &&
           (revoked ? (size_t)sk_X509_REVOKED_num(revoked) : 0) == count;
}

bool crl_check(const struct crl_signed *crl, struct bytes signature, struct bytes ca_der,
               struct fault *fault)
{
    const uint8_t *at = ca_der.data;
    AUTO(X509) *ca = d2i_X509(NULL, &at, (long)ca_der.size);
    struct crl_tbs tbs;

    if (!ca || at != ca_der.data + ca_der.size)
        return refuse(fault, "the CA's certificate cannot be read");
    if (!crl_tbs_read(crl->tbs, &tbs))
        return refuse(fault, "its structure is none of a CRL");
    if (!signature_good(ca, crl->tbs, signature))
        return refuse(fault, "the signature does not verify");
    if (crl->tbs.size <= CRL_PARSED_MAX && !parsed_good(crl, ca, tbs.count))
        return refuse(fault, "OpenSSL does not accept it");
    return true;
}
