/* tests/unit/pki/support.c: keys, CAs and requests for the tests of lib/pki. */
#include "support.h"

#include <openssl/rsa.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "core/memory.h"
#include "pki/certificate.h"

#include "core/banned.h"

AUTO_DEFINE(X509_STORE, X509_STORE_free)
AUTO_DEFINE(X509_STORE_CTX, X509_STORE_CTX_free)

const uint8_t test_serial[CERTIFICATE_SERIAL_SIZE] = {0x00, 0x80, 3,  4,  5,  6,  7,  8,
                                                      9,    10,   11, 12, 13, 14, 15, 16};

EVP_PKEY *test_key(TALLOC_CTX *ctx, const char *kind)
{
    EVP_PKEY *key = NULL;
    if (text_equal(kind, "RSA-1024"))
        key = EVP_RSA_gen(1024);
    else if (text_equal(kind, "RSA-2048"))
        key = EVP_RSA_gen(2048);
    else if (text_equal(kind, "Ed25519"))
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else
        key = EVP_EC_gen(kind);
    cr_assert_not_null(key, "%s", kind);
    return mem_adopt(ctx, key, EVP_PKEY_free);
}

struct bytes test_spki(TALLOC_CTX *ctx, EVP_PKEY *key)
{
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_PUBKEY(key, &der);
    cr_assert_gt(size, 0);
    return bytes_copy(ctx, (struct bytes){der, (size_t)size});
}

struct bytes test_signature(TALLOC_CTX *ctx, EVP_PKEY *key, const char *digest, struct bytes data)
{
    AUTO(EVP_MD_CTX) *signing = EVP_MD_CTX_new();
    uint8_t signature[1024];
    size_t size = sizeof signature;
    cr_assert_eq(EVP_DigestSignInit_ex(signing, NULL, digest, NULL, NULL, key, NULL), 1);
    cr_assert_eq(EVP_DigestSign(signing, signature, &size, data.data, data.size), 1);
    return bytes_copy(ctx, (struct bytes){signature, size});
}

static enum signature_algorithm algorithm_of(const char *kind)
{
    if (text_starts(kind, "RSA"))
        return SIGNATURE_RSA_SHA256;
    return text_equal(kind, "P-384") ? SIGNATURE_ECDSA_SHA384 : SIGNATURE_ECDSA_SHA256;
}

struct bytes test_certificate(TALLOC_CTX *ctx, const struct test_ca *ca, struct bytes tbs)
{
    const char *digest = ca->algorithm == SIGNATURE_ECDSA_SHA384 ? "SHA384" : "SHA256";
    return signed_object_assemble(ctx, tbs, ca->algorithm,
                                  test_signature(ctx, ca->key, digest, tbs));
}

X509 *test_x509(TALLOC_CTX *ctx, struct bytes der)
{
    const uint8_t *at = der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.size);
    cr_assert_not_null(x509);
    cr_assert_eq(at, der.data + der.size);
    return mem_adopt(ctx, x509, X509_free);
}

struct test_ca *test_ca(TALLOC_CTX *ctx, const char *kind, void (*change)(struct ca_wish *wish))
{
    static const struct rdn subject[] = {
        {"2.5.4.6",  RDN_PRINTABLE, "AT"         },
        {"2.5.4.10", RDN_UTF8,      "Prüfstelle"},
        {"2.5.4.3",  RDN_UTF8,      "Test CA"    }
    };
    struct test_ca *ca = mem_new(ctx, struct test_ca);
    struct fault fault = {0};
    struct bytes tbs;

    ca->key = test_key(ca, kind);
    ca->algorithm = algorithm_of(kind);
    struct ca_wish wish = {
        subject, 3,  test_spki(ca, ca->key), TEST_NOW - 30 * DAY, TEST_NOW + 3650 * DAY, -1,
        {0},     {0}};
    if (change)
        change(&wish);
    cr_assert(certificate_compose_ca(ca, NULL, &wish, ca->algorithm, test_serial, &tbs, &fault),
              "%s", fault.detail);
    ca->der = test_certificate(ca, ca, tbs);
    ca->x509 = test_x509(ca, ca->der);
    const struct certificate *own = certificate_from_der(ca, ca->der, &fault);
    cr_assert_not_null(own, "%s", fault.detail);
    ca->facts = (struct issuer_facts){
        .subject_der = own->subject_der,
        .ski = own->ski,
        .algorithm = ca->algorithm,
        .not_before = wish.not_before,
        .not_after = wish.not_after,
        .ceiling_s = 3660 * DAY,
        .allowed_ekus = EKU_ALL_LEAF,
    };
    text_list_add(ca, &ca->facts.ocsp_urls, "http://pki.example/ocsp/x");
    text_list_add(ca, &ca->facts.ca_issuers_urls, "http://pki.example/ca/x");
    text_list_add(ca, &ca->facts.crl_urls, "http://pki.example/crl/x");
    text_list_add(ca, &ca->facts.crl_urls, "http://two.example/crl/x");
    text_list_add(ca, &ca->facts.allowed_policies, "1.3.6.1.4.1.99999.1");
    text_list_add(ca, &ca->facts.allowed_policies, "2.23.140.1.2.1");
    return ca;
}

struct certificate_wish test_wish(TALLOC_CTX *ctx)
{
    struct certificate_wish wish = {
        .spki = test_spki(ctx, test_key(ctx, "P-256")),
        .key_usage = USAGE_DIGITAL_SIGNATURE,
        .ekus = EKU_SERVER_AUTH | EKU_CLIENT_AUTH,
        .not_before = TEST_NOW,
        .not_after = TEST_NOW + 90 * DAY,
    };
    name_list_add(ctx, &wish.names, NAME_DNS, "www.example.com");
    name_list_add(ctx, &wish.names, NAME_DNS, "*.apps.example.com");
    return wish;
}

struct bytes test_compose(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                          const struct certificate_wish *wish)
{
    struct fault fault = {0};
    struct bytes tbs = {0};
    cr_assert(certificate_compose(ctx, facts, wish, test_serial, &tbs, &fault), "%s: %s",
              fault.field, fault.detail);
    return tbs;
}

X509 *test_leaf(TALLOC_CTX *ctx, const struct test_ca *ca, const struct certificate_wish *wish)
{
    const struct bytes tbs = test_compose(ctx, &ca->facts, wish);
    return test_x509(ctx, test_certificate(ctx, ca, tbs));
}

char *test_extension_text(TALLOC_CTX *ctx, X509 *x509, int nid)
{
    AUTO(BIO) *out = BIO_new(BIO_s_mem());
    const int index = X509_get_ext_by_NID(x509, nid, -1);
    char *text = NULL;

    if (index < 0)
        return mem_text(ctx, "absent");
    X509_EXTENSION *extension = X509_get_ext(x509, index);
    cr_assert_eq(X509_get_ext_by_NID(x509, nid, index), -1);
    cr_assert_eq(X509V3_EXT_print(out, extension, 0, 0), 1);
    const long size = BIO_get_mem_data(out, &text);
    return mem_printf(ctx, "%s%.*s", X509_EXTENSION_get_critical(extension) ? "critical " : "",
                      (int)size, text);
}

int test_verify(const struct test_ca *ca, X509 *leaf, int64_t when)
{
    AUTO(X509_STORE) *store = X509_STORE_new();
    AUTO(X509_STORE_CTX) *verifying = X509_STORE_CTX_new();
    cr_assert_eq(X509_STORE_add_cert(store, ca->x509), 1);
    cr_assert_eq(X509_STORE_CTX_init(verifying, store, leaf, NULL), 1);
    X509_STORE_CTX_set_time(verifying, 0, when);
    X509_STORE_CTX_set_flags(verifying, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE |
                                            X509_V_FLAG_POLICY_CHECK);
    if (X509_verify_cert(verifying) == 1)
        return X509_V_OK;
    return X509_STORE_CTX_get_error(verifying);
}

static struct bytes wrapped(TALLOC_CTX *ctx, uint8_t tag, struct bytes content)
{
    struct der_writer to;
    der_start(&to, ctx, content.size + 16);
    der_put_value(&to, tag, content);
    return der_finish(&to, ctx);
}

struct bytes test_general_name(TALLOC_CTX *ctx, uint8_t tag, struct bytes value)
{
    return wrapped(ctx, tag, value);
}

struct bytes test_sequence(TALLOC_CTX *ctx, struct bytes content)
{
    return wrapped(ctx, DER_SEQUENCE, content);
}

struct bytes test_join(TALLOC_CTX *ctx, struct bytes a, struct bytes b)
{
    struct der_writer to;
    der_start(&to, ctx, a.size + b.size);
    der_put(&to, b);
    der_put(&to, a);
    return der_finish(&to, ctx);
}

struct bytes test_extension(TALLOC_CTX *ctx, const char *oid, struct bytes value)
{
    struct der_writer to;
    der_start(&to, ctx, value.size + 64);
    der_put_value(&to, DER_OCTET_STRING, value);
    cr_assert(der_put_oid(&to, oid));
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

struct bytes test_extension_request(TALLOC_CTX *ctx, const char *attribute_oid,
                                    struct bytes extensions)
{
    struct der_writer to;
    der_start(&to, ctx, extensions.size + 64);
    der_put_value(&to, DER_SEQUENCE, extensions);
    der_wrap(&to, DER_SET, 0);
    cr_assert(der_put_oid(&to, attribute_oid));
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

struct bytes test_subject(TALLOC_CTX *ctx, const char *const *common_names, size_t count)
{
    struct der_writer to;
    der_start(&to, ctx, 256);
    for (size_t i = count; i-- > 0;) {
        const size_t mark = der_mark(&to);
        der_put_text(&to, DER_UTF8, common_names[i]);
        der_put_oid(&to, "2.5.4.3");
        der_wrap(&to, DER_SEQUENCE, mark);
        der_wrap(&to, DER_SET, mark);
    }
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

static struct bytes request_info(TALLOC_CTX *ctx, const struct test_request *request)
{
    struct der_writer to;
    der_start(&to, ctx, 1024);
    der_put_value(&to, DER_CONTEXT_CONSTRUCTED(0), request->attributes);
    der_put(&to, test_spki(ctx, request->key));
    if (request->subject.size)
        der_put(&to, request->subject);
    else
        der_put_value(&to, DER_SEQUENCE, (struct bytes){0});
    der_put_small(&to, 0);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

/* AlgorithmIdentifier of the key with the digest. */
static struct bytes signature_algorithm(TALLOC_CTX *ctx, const struct test_request *request)
{
    static const struct {
        int base;
        const char *digest;
        const char *oid;
    } known[] = {
        {EVP_PKEY_EC,      "SHA1",   "1.2.840.10045.4.1"    },
        {EVP_PKEY_EC,      "SHA256", "1.2.840.10045.4.3.2"  },
        {EVP_PKEY_EC,      "SHA384", "1.2.840.10045.4.3.3"  },
        {EVP_PKEY_RSA,     "MD5",    "1.2.840.113549.1.1.4" },
        {EVP_PKEY_RSA,     "SHA1",   "1.2.840.113549.1.1.5" },
        {EVP_PKEY_RSA,     "SHA256", "1.2.840.113549.1.1.11"},
        {EVP_PKEY_ED25519, NULL,     "1.3.101.112"          },
    };
    const int base = EVP_PKEY_get_base_id(request->key);
    struct der_writer to;

    der_start(&to, ctx, 64);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (known[i].base != base ||
            (known[i].digest && !text_equal(known[i].digest, request->digest)))
            continue;
        if (base == EVP_PKEY_RSA)
            der_put_value(&to, DER_NULL, (struct bytes){0});
        der_put_oid(&to, known[i].oid);
        der_wrap(&to, DER_SEQUENCE, 0);
        return der_finish(&to, ctx);
    }
    cr_assert_fail("no algorithm for %s", request->digest);
    return (struct bytes){0};
}

struct bytes test_request(TALLOC_CTX *ctx, const struct test_request *request)
{
    const struct bytes info = request_info(ctx, request);
    const char *digest = EVP_PKEY_get_base_id(request->key) == EVP_PKEY_ED25519 ? NULL
                                                                                : request->digest;
    struct der_writer to;

    der_start(&to, ctx, info.size + 512);
    der_put(&to, test_signature(ctx, request->key, digest, info));
    der_put_octet(&to, 0);
    der_wrap(&to, DER_BIT_STRING, 0);
    der_put(&to, signature_algorithm(ctx, request));
    der_put(&to, info);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

bool test_contains(struct bytes haystack, struct bytes needle)
{
    return memmem(haystack.data, haystack.size, needle.data, needle.size) != NULL;
}
