/* lib/pki/certificate.c: facts of a finished certificate, see certificate.h (RFC 5280 section 4.1).
 *
 * Nothing is refused for weakness here: what exists must be found and revoked. */
#include "pki/certificate.h"

#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/extension.h"
#include "pki/outline.h"

#include "core/banned.h"

#define CERTIFICATE_MAX_BYTES  ((size_t)1024 * 1024)
#define CERTIFICATE_NAMES_READ 1000
#define SERIAL_MAX_DIGITS      ((size_t)64)
#define PEM_COLUMNS            64

static void *malformed(struct fault *fault, const char *rule)
{
    return fault_set(fault, CERTIFICATE_MALFORMED, "certificate", "%s", rule);
}

bool serial_canonical(TALLOC_CTX *ctx, const char *text, const char **ret)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    if (!text || strnlen(text, 4 * SERIAL_MAX_DIGITS + 1) > 4 * SERIAL_MAX_DIGITS)
        return false;

    const char *at = text_lower(scratch, text_trim(scratch, text));
    char digits[SERIAL_MAX_DIGITS + 1];
    size_t count = 0;
    bool any = false;

    if (text_starts(at, "0x"))
        at += 2;
    for (; *at; at++) {
        if (*at == ':' || *at == ' ')
            continue;
        if (!strchr("0123456789abcdef", *at))
            return false;
        any = true;
        if (count == 0 && *at == '0')
            continue;
        if (count == SERIAL_MAX_DIGITS)
            return false;
        digits[count++] = *at;
    }
    if (!any)
        return false;
    if (count == 0)
        digits[count++] = '0';
    *ret = mem_text_n(ctx, digits, count);
    return true;
}

bool serial_to_octets(TALLOC_CTX *ctx, const char *serial, struct bytes *ret)
{
    return hex_to_bytes(ctx, mem_printf(ctx, "%s%s", strlen(serial) % 2 ? "0" : "", serial), ret);
}

static bool read_serial(struct certificate *certificate, struct bytes serial, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (serial.size == 0 || serial.data[0] & 0x80)
        return malformed(fault, "serial is negative or empty (RFC 5280 section 4.1.2.2)");
    if (serial.size > SERIAL_MAX_DIGITS / 2 ||
        !serial_canonical(certificate, hex_from_bytes(scratch, serial), &certificate->serial))
        return malformed(fault, "serial is longer than 32 octets");
    return true;
}

static bool read_time(const ASN1_TIME *time, int64_t *ret_unix_s)
{
    struct tm broken_down = {0};
    if (ASN1_TIME_to_tm(time, &broken_down) != 1)
        return false;
    *ret_unix_s = timegm(&broken_down);
    return true;
}

static bool decode(struct certificate *certificate, struct bytes der, struct fault *fault)
{
    struct certificate_parts parts;

    if (der.size == 0 || der.size > CERTIFICATE_MAX_BYTES)
        return malformed(fault, "certificate is empty or above 1 MiB");
    certificate->der = bytes_copy(certificate, der);
    const uint8_t *at = certificate->der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.size); /* at most 1 MiB */
    if (!x509) {
        malformed(fault, "no certificate in DER (RFC 5280 section 4.1)");
        return fault_cause_openssl(fault, "d2i_X509");
    }
    certificate->x509 = mem_adopt(certificate, x509, X509_free);
    if (at != certificate->der.data + certificate->der.size)
        return malformed(fault, "certificate is followed by other bytes");
    if (!certificate_cut(certificate->der, &parts))
        return malformed(fault, "certificate is not in DER");
    if (!read_serial(certificate, parts.serial, fault))
        return false;
    if (!read_time(X509_get0_notBefore(x509), &certificate->not_before) ||
        !read_time(X509_get0_notAfter(x509), &certificate->not_after))
        return malformed(fault, "validity has no times (RFC 5280 section 4.1.2.5)");
    certificate->subject_der = parts.subject;
    certificate->issuer_der = parts.issuer;
    certificate->spki = parts.spki;
    return true;
}

/* The last one, when it is text that a person could read. */
static const char *find_common_name(TALLOC_CTX *ctx, const X509_NAME *subject)
{
    AUTO_OPENSSL(uint8_t) *utf8 = NULL;
    int index = -1;

    for (int next = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); next >= 0;
         next = X509_NAME_get_index_by_NID(subject, NID_commonName, next))
        index = next;
    if (index < 0)
        return NULL;
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, index);
    const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    if (size <= 0 || memchr(utf8, '\0', (size_t)size)) /* positive */
        return NULL;
    return mem_text_n(ctx, (const char *)utf8, (size_t)size);
}

static void add_text_name(struct certificate *certificate, enum name_kind kind,
                          const ASN1_STRING *string)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const size_t size = (size_t)ASN1_STRING_length(string); /* OpenSSL keeps it non-negative */
    const char *bytes = (const char *)ASN1_STRING_get0_data(string);

    if (size == 0 || memchr(bytes, '\0', size) || !text_utf8_valid(bytes, size)) {
        (void)name_list_add(certificate, &certificate->names, NAME_OTHER, "unreadable");
        return;
    }
    const char *value = mem_text_n(scratch, bytes, size);
    if (kind == NAME_DNS)
        value = text_lower(scratch, value);
    (void)name_list_add(certificate, &certificate->names, kind, value);
}

static void add_address(struct certificate *certificate, const ASN1_OCTET_STRING *octets)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = name_ip_from_octets(
        scratch, (struct bytes){ASN1_STRING_get0_data(octets),
                                (size_t)ASN1_STRING_length(octets)}); /* not negative */

    (void)name_list_add(certificate, &certificate->names, text ? NAME_IP : NAME_OTHER,
                        text ? text : "unreadable");
}

static void add_other_name(struct certificate *certificate, const OTHERNAME *other)
{
    char oid[80] = "";

    (void)OBJ_obj2txt(oid, sizeof oid, other->type_id, 1);
    if (text_equal(oid, "1.3.6.1.4.1.311.20.2.3") &&
        ASN1_TYPE_get(other->value) == V_ASN1_UTF8STRING)
        add_text_name(certificate, NAME_UPN, other->value->value.utf8string);
    else
        (void)name_list_add(certificate, &certificate->names, NAME_OTHER, oid);
}

static void add_general_name(struct certificate *certificate, const GENERAL_NAME *general)
{
    int type = -1;
    const void *value = GENERAL_NAME_get0_value(general, &type);

    switch (type) {
    case GEN_DNS:
        add_text_name(certificate, NAME_DNS, value);
        return;
    case GEN_EMAIL:
        add_text_name(certificate, NAME_EMAIL, value);
        return;
    case GEN_URI:
        add_text_name(certificate, NAME_URI, value);
        return;
    case GEN_IPADD:
        add_address(certificate, value);
        return;
    case GEN_OTHERNAME:
        add_other_name(certificate, value);
        return;
    default:
        (void)name_list_add(certificate, &certificate->names, NAME_OTHER, "other");
        return;
    }
}

static void read_names(struct certificate *certificate)
{
    AUTO(GENERAL_NAMES) *names = X509_get_ext_d2i(certificate->x509, NID_subject_alt_name, NULL,
                                                  NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < CERTIFICATE_NAMES_READ; i++)
        add_general_name(certificate, sk_GENERAL_NAME_value(names, i));
}

static struct bytes octets_of(const ASN1_OCTET_STRING *string)
{
    if (!string)
        return (struct bytes){0};
    return (struct bytes){ASN1_STRING_get0_data(string),
                          (size_t)ASN1_STRING_length(string)}; /* not negative */
}

/* What the certificates of a CA without the extension name in their AKI (04 section 3.1). */
static struct bytes key_id_of(struct certificate *certificate)
{
    uint8_t id[KEY_ID_SIZE];

    if (certificate->ski.size > 0)
        return certificate->ski;
    key_identifier(certificate->spki, id);
    return bytes_copy(certificate, BYTES_OF(id));
}

static void read_extensions(struct certificate *certificate)
{
    X509 *x509 = certificate->x509;

    read_names(certificate);
    certificate->ski = octets_of(X509_get0_subject_key_id(x509));
    certificate->key_id = key_id_of(certificate);
    certificate->aki = octets_of(X509_get0_authority_key_id(x509));
    /* Above 1 are v1 roots and Netscape's types. */
    certificate->is_ca = X509_check_ca(x509) == 1;
    const long path_len = X509_get_pathlen(x509);
    certificate->path_len = certificate->is_ca && path_len >= 0 && path_len <= 1000
                                ? (int)path_len /* small */
                                : -1;
}

struct certificate *certificate_from_der(TALLOC_CTX *ctx, struct bytes der, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct certificate *certificate = mem_new(scratch, struct certificate);
    struct fault ignored = {0};

    if (!decode(certificate, der, fault))
        return NULL;
    certificate->fingerprint_sha256 = digest_sha256_hex(certificate, certificate->der);
    certificate->spki_sha256 = digest_sha256_hex(certificate, certificate->spki);
    if (!key_facts_from_spki(certificate->spki, &certificate->key, &ignored))
        certificate->key = (struct key_facts){.algorithm = "unknown"};
    certificate->common_name = find_common_name(certificate,
                                                X509_get_subject_name(certificate->x509));
    read_extensions(certificate);
    return talloc_steal(ctx, certificate);
}

bool certificate_pem_decode(TALLOC_CTX *ctx, const char *pem, struct bytes *ret_der,
                            struct fault *fault)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const char *body = pem ? strstr(pem, begin) : NULL;
    const char *end = body ? strstr(body, "-----END CERTIFICATE-----") : NULL;

    if (!end)
        return malformed(fault, "no CERTIFICATE block (RFC 7468 section 5)");
    body += strlen(begin);
    if (!base64_to_bytes(ctx, body, (size_t)(end - body), ret_der)) /* end is behind body */
        return malformed(fault, "CERTIFICATE block is not base64 (RFC 7468 section 3)");
    return true;
}

struct certificate *certificate_from_pem(TALLOC_CTX *ctx, const char *pem, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes der = {0};

    if (!certificate_pem_decode(scratch, pem, &der, fault))
        return NULL;
    return certificate_from_der(ctx, der, fault);
}

char *pem_encode(TALLOC_CTX *ctx, const char *label, struct bytes der)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *body = base64_from_bytes(scratch, der);
    const size_t size = strlen(body);
    const size_t lines = (size + PEM_COLUMNS - 1) / PEM_COLUMNS;
    char *wrapped = mem_array(scratch, char, size + lines + 1);
    size_t filled = 0;

    for (size_t at = 0; at < size; at += PEM_COLUMNS) {
        const size_t part = least(size - at, (size_t)PEM_COLUMNS);
        memcpy(wrapped + filled, body + at, part);
        filled += part;
        wrapped[filled++] = '\n';
    }
    return mem_printf(ctx, "-----BEGIN %s-----\n%s-----END %s-----\n", label, wrapped, label);
}
