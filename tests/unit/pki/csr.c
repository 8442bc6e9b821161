/* tests/unit/pki/csr.c: PKCS#10 requests read as evidence (04 section 6.2 and 6.3). */
#include "support.h"

#include <openssl/rsa.h>
#include <string.h>

#include "core/memory.h"
#include "pki/certificate.h"
#include "pki/csr.h"

#include "core/banned.h"

#define PKCS9_REQUEST     "1.2.840.113549.1.9.14"
#define MICROSOFT_REQUEST "1.3.6.1.4.1.311.2.1.14"
#define SAN               "2.5.29.17"
#define FEATURES          "1.3.6.1.5.5.7.1.24"

static struct bytes general(TALLOC_CTX *ctx, uint8_t tag, const char *text)
{
    return test_general_name(ctx, tag, bytes_of_text(text));
}

/* [0] { oid, [0] EXPLICIT UTF8String }. */
static struct bytes other_name(TALLOC_CTX *ctx, const char *oid, const char *text)
{
    struct der_writer to;
    der_start(&to, ctx, 64);
    der_put_text(&to, DER_UTF8, text);
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(0), 0);
    cr_assert(der_put_oid(&to, oid));
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(0), 0);
    return der_finish(&to, ctx);
}

/* A request of a fresh P-256 key with these attributes. */
static struct bytes request_with(TALLOC_CTX *ctx, struct bytes subject, struct bytes attributes)
{
    const struct test_request request = {test_key(ctx, "P-256"), "SHA256", subject, attributes};
    return test_request(ctx, &request);
}

static struct bytes asking(TALLOC_CTX *ctx, struct bytes extensions)
{
    return test_extension_request(ctx, PKCS9_REQUEST, extensions);
}

/* The attribute that asks for the subjectAltName with this content. */
static struct bytes asking_names(TALLOC_CTX *ctx, struct bytes names)
{
    return asking(ctx, test_extension(ctx, SAN, test_sequence(ctx, names)));
}

static struct bytes two_hosts(TALLOC_CTX *ctx)
{
    return test_join(ctx, general(ctx, 0x82, "www.example.com"),
                     general(ctx, 0x82, "api.example.com"));
}

Test(csr, good_request_is_read_whole)
{
    static const char *const common_names[] = {"first.example.com", "WWW.example.com"};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1};
    static const uint8_t staple[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes names = two_hosts(scratch);
    names = test_join(scratch, names, general(scratch, 0x82, "WWW.Example.com"));
    names = test_join(scratch, names, general(scratch, 0x82, "*.Wild.example.com"));
    names = test_join(scratch, names, general(scratch, 0x82, "localhost"));
    names = test_join(scratch, names, test_general_name(scratch, 0x87, BYTES_OF(v6)));
    names = test_join(scratch, names, test_general_name(scratch, 0x87, BYTES_OF(mapped)));
    names = test_join(scratch, names, general(scratch, 0x81, "Joe@example.com"));
    names = test_join(scratch, names, general(scratch, 0x86, "spiffe://example.org/web"));
    names = test_join(scratch, names,
                      other_name(scratch, "1.3.6.1.4.1.311.20.2.3", "joe@corp.example"));
    names = test_join(scratch, names, other_name(scratch, "1.3.6.1.5.2.2", "krb"));
    const struct bytes extensions = test_join(
        scratch, test_extension(scratch, SAN, test_sequence(scratch, names)),
        test_extension(scratch, FEATURES, BYTES_OF(staple)));
    const struct test_request request = {
        test_key(scratch, "P-256"), "SHA256", test_subject(scratch, common_names, 2),
        test_extension_request(scratch, PKCS9_REQUEST, extensions)};
    const struct bytes der = test_request(scratch, &request);
    struct fault fault = {0};
    const struct csr *csr = csr_from_der(scratch, der, false, &fault);

    cr_assert_not_null(csr, "%s %s", fault.detail, fault.cause);
    static const struct name wanted[] = {
        {NAME_DNS,   "www.example.com"         },
        {NAME_DNS,   "api.example.com"         },
        {NAME_DNS,   "*.wild.example.com"      },
        {NAME_DNS,   "localhost"               },
        {NAME_IP,    "2001:db8::7"             },
        {NAME_IP,    "192.0.2.1"               },
        {NAME_EMAIL, "Joe@example.com"         },
        {NAME_URI,   "spiffe://example.org/web"},
        {NAME_UPN,   "joe@corp.example"        },
        {NAME_OTHER, "1.3.6.1.5.2.2"           },
    };
    cr_assert_eq(csr->names.count, ARRAY_SIZE(wanted));
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        cr_expect_eq(csr->names.items[i].kind, wanted[i].kind, "%zu", i);
        cr_expect_str_eq(csr->names.items[i].value, wanted[i].value);
    }
    cr_expect_str_eq(csr->common_name, "WWW.example.com", "the last one");
    cr_expect_eq(csr->subject_count, 2);
    cr_expect(csr->must_staple);
    cr_expect_not(csr->asks_ca);
    cr_assert_eq(csr->extensions.count, 1);
    cr_expect_str_eq(csr->extensions.items[0], "1.3.6.1.5.5.7.1.24");
    cr_expect(bytes_equal(csr->spki, test_spki(scratch, request.key)));
    cr_expect(bytes_equal(csr->der, der));
    cr_expect_neq(csr->der.data, der.data, "it owns its bytes");
    cr_expect_eq(csr->key.bits, 256);
    cr_expect_eq(strlen(csr->sha256), 64);
    cr_expect_str_neq(csr->sha256, csr->spki_sha256);
}

Test(csr, without_names_or_subject)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct csr *csr = csr_from_der(
        scratch, request_with(scratch, (struct bytes){0}, (struct bytes){0}), false, &fault);
    cr_assert_not_null(csr, "%s", fault.detail);
    cr_expect_null(csr->common_name);
    cr_expect_eq(csr->names.count, 0);
    cr_expect_eq(csr->subject_count, 0);
}

static const struct {
    const char *kind;
    const char *digest;
    bool allow_sha1;
    enum fault_reason reason;
} signatures[] = {
    {"P-256",     "SHA256", false, REASON_NONE      },
    {"P-384",     "SHA384", false, REASON_NONE      },
    {"RSA-2048",  "SHA256", false, REASON_NONE      },
    {"Ed25519",   "SHA512", false, REASON_NONE      },
    {"P-256",     "SHA1",   false, CSR_BAD_SIGNATURE},
    {"P-256",     "SHA1",   true,  REASON_NONE      },
    {"RSA-2048",  "SHA1",   false, CSR_BAD_SIGNATURE},
    {"RSA-2048",  "SHA1",   true,  REASON_NONE      },
    {"RSA-2048",  "MD5",    false, CSR_BAD_SIGNATURE},
    {"RSA-2048",  "MD5",    true,  CSR_BAD_SIGNATURE},
    {"RSA-1024",  "SHA256", false, CSR_KEY_REJECTED },
    {"secp256k1", "SHA256", false, CSR_KEY_REJECTED },
};

Test(csr, keys_and_digests)
{
    for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct test_request request = {test_key(scratch, signatures[i].kind),
                                             signatures[i].digest,
                                             {0},
                                             asking_names(scratch, two_hosts(scratch))};
        struct fault fault = {0};
        const struct csr *csr = csr_from_der(scratch, test_request(scratch, &request),
                                             signatures[i].allow_sha1, &fault);
        cr_expect_eq(fault.reason, signatures[i].reason, "%s %s: %s", signatures[i].kind,
                     signatures[i].digest, fault.detail);
        cr_expect_eq(csr != NULL, signatures[i].reason == REASON_NONE);
    }
}

/* RSASSA-PSS hides its digest in its parameters (RFC 4055 section 3.1). */
Test(csr, pss_names_its_digest_in_its_parameters)
{
    static const struct {
        const char *digest;
        bool good;
    } cases[] = {
        {"SHA256", true },
        {"SHA384", true },
        {"SHA1",   false}
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    EVP_PKEY *key = test_key(scratch, "RSA-2048");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(X509_REQ) *request = X509_REQ_new();
        AUTO(EVP_MD_CTX) *signing = EVP_MD_CTX_new();
        AUTO_OPENSSL(uint8_t) *der = NULL;
        EVP_PKEY_CTX *padding = NULL;
        struct fault fault = {0};
        X509_REQ_set_pubkey(request, key);
        cr_assert_eq(
            EVP_DigestSignInit_ex(signing, &padding, cases[i].digest, NULL, NULL, key, NULL), 1);
        cr_assert_gt(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING), 0);
        cr_assert_gt(X509_REQ_sign_ctx(request, signing), 0);
        const int size = i2d_X509_REQ(request, &der);
        const struct csr *csr = csr_from_der(scratch, (struct bytes){der, (size_t)size}, false,
                                             &fault);
        cr_expect_eq(csr != NULL, cases[i].good, "%s: %s", cases[i].digest, fault.detail);
    }
}

Test(csr, another_key_did_not_sign)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes der = request_with(scratch, (struct bytes){0},
                                          asking_names(scratch, two_hosts(scratch)));
    uint8_t *patched = mem_copy(scratch, der.data, der.size);
    uint8_t *host = memmem(patched, der.size, "www.example", 11);
    struct fault fault = {0};

    host[0] = 'v';
    cr_expect_null(csr_from_der(scratch, (struct bytes){patched, der.size}, false, &fault));
    cr_expect_eq(fault.reason, CSR_BAD_SIGNATURE);
}

/* The point of the key is moved off its curve. */
Test(csr, point_off_the_curve)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes der = request_with(scratch, (struct bytes){0}, (struct bytes){0});
    const struct csr *good = csr_from_der(scratch, der, false, &(struct fault){0});
    uint8_t *patched = mem_copy(scratch, der.data, der.size);
    struct fault fault = {0};

    const uint8_t *spki = memmem(der.data, der.size, good->spki.data, good->spki.size);
    patched[(size_t)(spki - der.data) + good->spki.size - 1] ^= 1;
    cr_expect_null(csr_from_der(scratch, (struct bytes){patched, der.size}, false, &fault));
    cr_expect_eq(fault.reason, CSR_KEY_REJECTED, "%s", fault.detail);
}

Test(csr, sizes_and_rests)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes der = request_with(scratch, (struct bytes){0},
                                          asking_names(scratch, two_hosts(scratch)));
    struct fault fault = {0};

    for (size_t size = 0; size < der.size; size++) {
        AUTO(TALLOC_CTX) *result = talloc_new(NULL);
        uint8_t *cut = mem_copy(scratch, der.data, size);
        cr_expect_null(csr_from_der(result, (struct bytes){cut, size}, false, &fault));
        cr_expect_eq(fault.reason, CSR_MALFORMED, "%zu", size);
        cr_expect_eq(talloc_total_blocks(result), 1, "%zu: memory left", size);
    }
    uint8_t *longer = mem_zero(scratch, der.size + 1, "longer");
    memcpy(longer, der.data, der.size);
    cr_expect_null(csr_from_der(scratch, (struct bytes){longer, der.size + 1}, false, &fault));
    cr_expect_str_eq(fault.detail, "CSR is followed by other bytes");
}

/* One octet over the limit is refused for its size, none for its size below. */
Test(csr, at_most_64_kib)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const uint8_t *large = mem_zero(scratch, CSR_MAX_BYTES + 1, "large");
    struct fault fault = {0};
    cr_expect_null(csr_from_der(scratch, (struct bytes){large, CSR_MAX_BYTES + 1}, false, &fault));
    cr_expect_str_eq(fault.detail, "CSR is empty or above 64 KiB");
    cr_expect_null(csr_from_der(scratch, (struct bytes){large, CSR_MAX_BYTES}, false, &fault));
    cr_expect_str_neq(fault.detail, "CSR is empty or above 64 KiB");
}

/* Each stands behind a good name, so that not only the first is looked at. */
static const struct {
    const char *about;
    uint8_t tag;
    size_t size;
    const char *value;
    const char *detail; /* a part of it */
} bad_names[] = {
    {"NUL inside",       0x82, 5,  "a\0.ex",                "SAN dns rejected: contains NUL U+0000 at byte offset 1"},
    {"zero-width space", 0x82, 7,  "a\xe2\x80\x8b.ex",
     "zero-width character U+200B at byte offset 1"                                                                 },
    {"underscore",       0x82, 14, "_a.example.com",        "\"_a.example.com\""                                    },
    {"inner wildcard",   0x82, 15, "a.*.example.com",       "\"a.*.example.com\""                                   },
    {"empty dNSName",    0x82, 0,  "",                      "empty"                                                 },
    {"U-label",          0x82, 15, "b\xc3\xbc.example.com", "A-label"                                               },
    {"three octets",     0x87, 3,  "abc",                   "3 octets, not 4 or 16"                                 },
    {"no mailbox",       0x81, 3,  "joe",                   "CSR SAN email \"joe\" rejected"                        },
    {"relative URI",     0x86, 2,  "/x",                    "CSR SAN uri \"/x\" rejected"                           },
};

Test(csr, bad_names_are_refused_with_their_value)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(TALLOC_CTX) *result = talloc_new(NULL);
        struct bytes value = bytes_of_text(bad_names[i].value);
        value.size = bad_names[i].size;
        const struct bytes names = test_join(scratch, general(scratch, 0x82, "good.example.com"),
                                             test_general_name(scratch, bad_names[i].tag, value));
        const struct bytes der = request_with(scratch, (struct bytes){0},
                                              asking_names(scratch, names));
        struct fault fault = {0};

        cr_expect_null(csr_from_der(result, der, false, &fault), "%s", bad_names[i].about);
        cr_expect_eq(fault.reason, CSR_NAME_REJECTED, "%s: %s", bad_names[i].about, fault.detail);
        cr_expect(strstr(fault.detail, bad_names[i].detail), "%s: %s", bad_names[i].about,
                  fault.detail);
        cr_expect_eq(talloc_total_blocks(result), 1, "%s: memory left", bad_names[i].about);
    }
}

Test(csr, common_name_follows_the_unicode_rules)
{
    static const struct {
        const char *about;
        const char *common_name;
        const char *detail; /* NULL: accepted */
    } cases[] = {
        {"zero-width", "abcd\xe2\x80\x8b",
         "CSR Subject.CommonName rejected: contains zero-width character U+200B at byte offset 4"},
        {"homograph",  "p\xd0\xb0ypal.example",
         "CSR Subject.CommonName rejected: mixes ASCII letters with another script, character "
         "U+0430 at byte offset 1"                                                               },
        {"umlaut",     "M\xc3\xbcller GmbH",    NULL                                             },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *const names[] = {"good.example.com", cases[i].common_name};
        struct fault fault = {0};
        const struct csr *csr = csr_from_der(
            scratch, request_with(scratch, test_subject(scratch, names, 2), (struct bytes){0}),
            false, &fault);
        cr_expect_eq(csr == NULL, cases[i].detail != NULL, "%s", cases[i].about);
        cr_expect_str_eq(fault.detail, cases[i].detail ? cases[i].detail : "");
        if (csr)
            cr_expect_str_eq(csr->common_name, cases[i].common_name);
    }
}

static const uint8_t ca_true[] = {0x30, 0x03, 0x01, 0x01, 0xff};
static const uint8_t ca_false[] = {0x30, 0x00};

Test(csr, basic_constraints_are_noticed)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes yes = test_extension_request(
        scratch, PKCS9_REQUEST, test_extension(scratch, "2.5.29.19", BYTES_OF(ca_true)));
    const struct bytes no = test_extension_request(
        scratch, PKCS9_REQUEST, test_extension(scratch, "2.5.29.19", BYTES_OF(ca_false)));
    cr_expect(csr_from_der(scratch, request_with(scratch, (struct bytes){0}, yes), false, &fault)
                  ->asks_ca);
    cr_expect_not(csr_from_der(scratch, request_with(scratch, (struct bytes){0}, no), false, &fault)
                      ->asks_ca);
}

Test(csr, microsoft_attribute_is_read_too)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes asked = test_extension_request(
        scratch, MICROSOFT_REQUEST,
        test_extension(scratch, SAN, test_sequence(scratch, two_hosts(scratch))));
    const struct csr *csr = csr_from_der(scratch, request_with(scratch, (struct bytes){0}, asked),
                                         false, &fault);
    cr_assert_not_null(csr, "%s", fault.detail);
    cr_expect_eq(csr->names.count, 2);
}

/* Where a second place could say what the first does not, nothing is believed. */
Test(csr, ambiguous_requests_are_refused)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes one = test_extension(scratch, SAN,
                                            test_sequence(scratch, two_hosts(scratch)));
    const struct bytes asked = test_extension_request(scratch, PKCS9_REQUEST, one);
    const struct bytes again = test_extension_request(scratch, MICROSOFT_REQUEST, one);
    static const uint8_t junk[] = {0x30, 0x03, 0x82, 0x05, 'a'};
    static const uint8_t rest[] = {0x30, 0x03, 0x82, 0x01, 'a', 0x00};
    static const uint8_t no_features[] = {0x30, 0x02, 0x05, 0x00};
    const struct bytes twice = test_join(scratch, one, one);
    const struct bytes short_names = test_extension(scratch, SAN, BYTES_OF(junk));
    const struct bytes long_names = test_extension(scratch, SAN, BYTES_OF(rest));
    const struct bytes features = test_extension(scratch, FEATURES, BYTES_OF(no_features));
    const struct bytes constraints = test_extension(scratch, "2.5.29.19", BYTES_OF(rest));
    const struct {
        const char *about;
        struct bytes attributes;
    } cases[] = {
        {"both attributes", test_join(scratch, asked,                    again)},
        {"one attribute twice",                 test_join(scratch,              asked,     asked)},
        {"an extension twice",           asking(scratch,                            twice)                            },
        {"SAN cut short",           asking(scratch, short_names)},
        {"SAN with a rest",     asking(scratch,                      long_names)                                               },
        {"extensions that are none",      asking(scratch,  BYTES_OF(rest))},
        {"tlsfeature of no integers",  asking(scratch,                  features)                                                              },
        {"basicConstraints with a rest",        asking(scratch,        constraints)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fault fault = {0};
        cr_expect_null(csr_from_der(scratch,
                                    request_with(scratch, (struct bytes){0}, cases[i].attributes),
                                    false, &fault),
                       "%s", cases[i].about);
        cr_expect_eq(fault.reason, CSR_MALFORMED, "%s: %s", cases[i].about, fault.detail);
    }
}

static struct bytes many_names(TALLOC_CTX *ctx, size_t count)
{
    struct der_writer to;
    char text[16];
    der_start(&to, ctx, 32 * count);
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "n%zu.test", i);
        der_put_text(&to, 0x82, text);
    }
    return der_finish(&to, ctx);
}

Test(csr, at_most_1000_names)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes most_names = asking_names(scratch, many_names(scratch, 1000));
    const struct bytes too_many = asking_names(scratch, many_names(scratch, 1001));
    const struct csr *csr = csr_from_der(
        scratch, request_with(scratch, (struct bytes){0}, most_names), false, &fault);
    cr_assert_not_null(csr, "%s", fault.detail);
    cr_expect_eq(csr->names.count, 1000);
    cr_expect_null(
        csr_from_der(scratch, request_with(scratch, (struct bytes){0}, too_many), false, &fault));
    cr_expect_eq(fault.reason, CSR_NAME_REJECTED);
}

Test(csr, pem_is_read_by_openssl)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes der = request_with(scratch, (struct bytes){0},
                                          asking_names(scratch, two_hosts(scratch)));
    const struct csr *csr = csr_from_der(scratch, der, false, &fault);
    char *pem = csr_to_pem(scratch, csr);
    AUTO(BIO) *in = BIO_new_mem_buf(pem, -1);
    AUTO(X509_REQ) *read = PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
    AUTO_OPENSSL(uint8_t) *again = NULL;

    cr_assert_not_null(read, "%s", pem);
    cr_assert_eq(i2d_X509_REQ(read, &again), (int)der.size);
    cr_expect_eq(memcmp(again, der.data, der.size), 0);
}

/* OpenSSL's reader of whole requests, which csr.c does not use. */
static bool openssl_accepts(struct bytes der)
{
    const uint8_t *at = der.data;
    AUTO(X509_REQ) *request = d2i_X509_REQ(NULL, &at, (long)der.size);

    return request && at == der.data + der.size &&
           X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1;
}

/* A request around this CertificationRequestInfo, signed over it by the Ed25519 key. */
static struct bytes signed_info(TALLOC_CTX *ctx, EVP_PKEY *key, struct bytes info)
{
    static const uint8_t ed25519[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};
    struct der_writer to;

    der_start(&to, ctx, info.size + 128);
    der_put(&to, test_signature(ctx, key, NULL, info));
    der_put_octet(&to, 0);
    der_wrap(&to, DER_BIT_STRING, 0);
    der_put(&to, BYTES_OF(ed25519));
    der_put(&to, info);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

/* Every octet of what is signed is changed and signed again, so that the signature hides nothing:
 * what we accept OpenSSL accepts, and nothing that it refuses. */
Test(csr, what_we_accept_openssl_accepts)
{
    static const uint8_t changes[] = {0x01, 0x02, 0x04, 0x20, 0x80, 0xff};
    static const char *const common_name = "www.example.com";
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    EVP_PKEY *key = test_key(scratch, "Ed25519");
    const struct test_request request = {key, NULL, test_subject(scratch, &common_name, 1),
                                         asking_names(scratch, two_hosts(scratch))};
    struct bytes whole = test_request(scratch, &request);
    struct bytes info;
    size_t accepted = 0;

    cr_assert(der_read_tag(&whole, DER_SEQUENCE, &whole));
    cr_assert(der_read(&whole, NULL, NULL, &info));
    for (size_t i = 0; i < info.size * ARRAY_SIZE(changes); i++) {
        AUTO(TALLOC_CTX) *turn = talloc_new(NULL);
        uint8_t *changed = mem_copy(turn, info.data, info.size);
        struct fault fault = {0};
        changed[i / ARRAY_SIZE(changes)] ^= changes[i % ARRAY_SIZE(changes)];
        const struct bytes der = signed_info(turn, key, (struct bytes){changed, info.size});
        const struct csr *csr = csr_from_der(turn, der, false, &fault);
        accepted += csr != NULL;
        cr_expect(!csr || openssl_accepts(der), "octet %zu to %02x", i / ARRAY_SIZE(changes),
                  changed[i / ARRAY_SIZE(changes)]);
    }
    cr_expect_gt(accepted, 50, "changed letters of names are good");
}

/* What stands around the signed part: only one form of each is good. */
Test(csr, the_frame_has_one_form)
{
    static const uint8_t good[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};
    static const uint8_t with_null[] = {0x30, 0x07, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x05, 0x00};
    static const uint8_t of_ecdsa[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                       0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    static const uint8_t junk[] = {0x30, 0x02, 0x05, 0x00};
    static const struct {
        const char *about;
        struct bytes algorithm;
        uint8_t unused_bits;
        size_t cut; /* octets off the signature's end */
        enum fault_reason reason;
    } cases[] = {
        {"good",                    BYTES_OF(good),      0, 0,  REASON_NONE      },
        {"NULL as parameters",      BYTES_OF(with_null), 0, 0,  CSR_BAD_SIGNATURE},
        {"algorithm of other keys", BYTES_OF(of_ecdsa),  0, 0,  CSR_BAD_SIGNATURE},
        {"no algorithm",            BYTES_OF(junk),      0, 0,  CSR_MALFORMED    },
        {"unused bits",             BYTES_OF(good),      1, 0,  CSR_MALFORMED    },
        {"short signature",         BYTES_OF(good),      0, 1,  CSR_BAD_SIGNATURE},
        {"empty signature",         BYTES_OF(good),      0, 64, CSR_BAD_SIGNATURE},
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    EVP_PKEY *key = test_key(scratch, "Ed25519");
    const struct test_request request = {key, NULL, {0}, asking_names(scratch, two_hosts(scratch))};
    struct bytes whole = test_request(scratch, &request);
    struct bytes info;

    cr_assert(der_read_tag(&whole, DER_SEQUENCE, &whole));
    cr_assert(der_read(&whole, NULL, NULL, &info));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct bytes signature = test_signature(scratch, key, NULL, info);
        struct fault fault = {0};
        struct der_writer to;
        signature.size -= cases[i].cut;
        der_start(&to, scratch, info.size + 128);
        der_put(&to, signature);
        der_put_octet(&to, cases[i].unused_bits);
        der_wrap(&to, DER_BIT_STRING, 0);
        der_put(&to, cases[i].algorithm);
        der_put(&to, info);
        der_wrap(&to, DER_SEQUENCE, 0);
        const struct bytes der = der_finish(&to, scratch);
        const struct csr *csr = csr_from_der(scratch, der, false, &fault);
        cr_expect_eq(fault.reason, cases[i].reason, "%s: %s", cases[i].about, fault.detail);
        cr_expect_eq(csr != NULL, cases[i].reason == REASON_NONE, "%s", cases[i].about);
        cr_expect(!csr || openssl_accepts(der), "%s", cases[i].about);
    }
}

/* Some clients leave out the attributes altogether; OpenSSL reads that too. */
Test(csr, attributes_may_be_missing)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    EVP_PKEY *key = test_key(scratch, "Ed25519");
    struct fault fault = {0};
    struct der_writer to;

    der_start(&to, scratch, 128);
    der_put(&to, test_spki(scratch, key));
    der_put_value(&to, DER_SEQUENCE, (struct bytes){0});
    der_put_small(&to, 0);
    der_wrap(&to, DER_SEQUENCE, 0);
    const struct bytes der = signed_info(scratch, key, der_finish(&to, scratch));
    const struct csr *csr = csr_from_der(scratch, der, false, &fault);
    cr_assert_not_null(csr, "%s", fault.detail);
    cr_expect_eq(csr->names.count, 0);
    cr_expect(openssl_accepts(der));
}
