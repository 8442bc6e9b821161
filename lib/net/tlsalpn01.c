/* lib/net/tlsalpn01.c: a handshake and the certificate that it shows (RFC 8737 section 3, RFC 8738
 * section 6, 01 section 11.5). */
#include "net/tlsalpn01.h"

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "net/hop.h"

#include "core/banned.h"

AUTO_DEFINE(ASN1_OBJECT, ASN1_OBJECT_free)

#define PROTOCOL "acme-tls/1"
/* id-pe-acmeIdentifier; OpenSSL has no name for it before 3.1. */
#define ACME_IDENTIFIER  "1.3.6.1.5.5.7.1.31"
#define SUBJECT_ALT_NAME "2.5.29.17"

struct tlsalpn01 {
    struct validation base;
    struct hop hop;
};

char *tlsalpn01_reverse_name(TALLOC_CTX *ctx, const char *address)
{
    struct net_address octets;

    if (!net_address_from_text(address, &octets))
        return NULL;
    if (!octets.v6)
        return mem_printf(ctx, "%u.%u.%u.%u.in-addr.arpa", octets.octets[3], octets.octets[2],
                          octets.octets[1], octets.octets[0]);
    char *name = mem_text(ctx, "");
    for (size_t i = sizeof(octets.octets); i-- > 0;)
        name = mem_append(name, "%x.%x.", octets.octets[i] & 15u, octets.octets[i] >> 4u);
    return mem_append(name, "ip6.arpa");
}

static struct bytes octets_of(const ASN1_STRING *string)
{
    return (struct bytes){ASN1_STRING_get0_data(string),
                          (size_t)ASN1_STRING_length(string)}; /* never negative */
}

static bool names(const GENERAL_NAME *entry, const char *identifier)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct net_address address;

    if (net_address_from_text(identifier, &address))
        return entry->type == GEN_IPADD &&
               bytes_equal(octets_of(entry->d.iPAddress),
                           (struct bytes){address.octets, address.v6 ? 16 : 4});
    if (entry->type != GEN_DNS)
        return false;
    const struct bytes name = octets_of(entry->d.dNSName);
    return name.size == strlen(identifier) && !memchr(name.data, 0, name.size) &&
           text_equal_nocase(mem_text_n(scratch, (const char *)name.data, name.size), identifier);
}

/* The one extension of this kind; -1: none or several. */
static int only(const X509 *leaf, const char *oid)
{
    AUTO(ASN1_OBJECT) *kind = OBJ_txt2obj(oid, 1);

    if (!kind)
        mem_exhausted(sizeof(void *), "ASN1_OBJECT");
    const int at = X509_get_ext_by_OBJ(leaf, kind, -1);
    return at >= 0 && X509_get_ext_by_OBJ(leaf, kind, at) < 0 ? at : -1;
}

static bool names_check(const X509 *leaf, const char *identifier, struct fault *fault)
{
    const int at = only(leaf, SUBJECT_ALT_NAME);

    if (at < 0)
        return fault_set(fault, NET_RESPONSE, NULL,
                         "the certificate must have one subjectAltName (RFC 8737 section 3)");
    AUTO(GENERAL_NAMES) *list = X509V3_EXT_d2i(X509_get_ext(leaf, at));
    if (!list || sk_GENERAL_NAME_num(list) != 1)
        return fault_set(fault, NET_RESPONSE, NULL,
                         "the certificate must bear %.100s and no other name (RFC 8737 section 3)",
                         identifier);
    if (!names(sk_GENERAL_NAME_value(list, 0), identifier))
        return fault_set(fault, NET_RESPONSE, NULL,
                         "the certificate is of another name than %.100s (RFC 8737 section 3)",
                         identifier);
    return true;
}

/* The value is an OCTET STRING inside the extension's own: 04 20 and the digest. */
static bool proof_check(const X509 *leaf, const char *key_authorization, struct fault *fault)
{
    uint8_t wanted[2 + DIGEST_SHA256_SIZE] = {V_ASN1_OCTET_STRING, DIGEST_SHA256_SIZE};
    const int at = only(leaf, ACME_IDENTIFIER);

    if (at < 0)
        return fault_set(fault, NET_RESPONSE, NULL,
                         "the certificate must have one acmeIdentifier (RFC 8737 section 3)");
    X509_EXTENSION *extension = X509_get_ext(leaf, at);
    if (X509_EXTENSION_get_critical(extension) != 1)
        return fault_set(fault, NET_RESPONSE, NULL,
                         "the acmeIdentifier must be critical (RFC 8737 section 3)");
    digest_sha256(bytes_of_text(key_authorization), wanted + 2);
    if (!bytes_equal(octets_of(X509_EXTENSION_get_data(extension)), BYTES_OF(wanted)))
        return fault_set(fault, NET_RESPONSE, NULL,
                         "the acmeIdentifier is not the digest of the key authorization");
    return true;
}

static bool self_signed_check(X509 *leaf, struct fault *fault)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);

    if (X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0 && key &&
        X509_verify(leaf, key) == 1)
        return true;
    fault_set(fault, NET_RESPONSE, NULL,
              "the certificate is not signed by itself (RFC 8737 section 3)");
    return fault_cause_openssl(fault, "X509_verify");
}

bool tlsalpn01_certificate_check(struct bytes der, const char *identifier,
                                 const char *key_authorization, struct fault *fault)
{
    const uint8_t *at = der.data;
    AUTO(X509) *leaf = d2i_X509(NULL, &at, (long)least(der.size, (size_t)INT32_MAX)); /* fits */

    if (!leaf || at != der.data + der.size) {
        fault_set(fault, NET_RESPONSE, NULL, "the certificate cannot be read");
        return fault_cause_openssl(fault, "d2i_X509");
    }
    return names_check(leaf, identifier, fault) && proof_check(leaf, key_authorization, fault) &&
           self_signed_check(leaf, fault);
}

static void judge(struct validation *validation, const struct fetch_result *result)
{
    struct fault fault = {0};

    if (!text_equal(result->alpn, PROTOCOL))
        fault_set(&fault, NET_TLS, NULL, "the server did not agree on " PROTOCOL);
    else if (tlsalpn01_certificate_check(result->leaf, validation->wish->identifier,
                                         validation->wish->key_authorization, &fault)) {
        validation_finish(validation, false, NULL);
        return;
    }
    validation_finish(validation, false, &fault);
}

static void begin(struct validation *validation)
{
    struct tlsalpn01 *tlsalpn01 = (struct tlsalpn01 *)validation; /* which it begins */
    const struct validation_wish *wish = validation->wish;
    const char *shown = wish->is_address ? tlsalpn01_reverse_name(tlsalpn01, wish->identifier)
                                         : wish->identifier;
    const struct fetch_wish fetch = {
        .url = mem_printf(tlsalpn01, "https://%s:%u/", shown, validation->rig->tls_port),
        .host = shown,
        .port = validation->rig->tls_port,
        .user_agent = validation->rig->user_agent,
        .alpn = PROTOCOL,
    };

    hop_begin(&tlsalpn01->hop, validation, &fetch, wish->identifier, judge);
}

static void step(struct validation *validation)
{
    hop_step(&((struct tlsalpn01 *)validation)->hop); /* which it begins */
}

const struct validator tlsalpn01_validator = {"tls-alpn-01", sizeof(struct tlsalpn01), begin, step};
