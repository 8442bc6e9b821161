/* tests/unit/jose/jwk.c: which keys we take (RFC 7517, 7518 section 6, 8037), and how we keep
 * them. */
#include "jose/jwk.h"

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "forge.h"
#include "libjose.h"

#include "core/banned.h"

/* RFC 7638 section 3.1. */
#define RFC7638_N                                                                                  \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP" \
    "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY" \
    "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f" \
    "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
/* RFC 8037 appendix A.2. */
#define RFC8037_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
/* RFC 7515 appendix A.3. */
#define RFC7515_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define RFC7515_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"

#define RFC7638_SENT                                                                               \
    "{\"kty\":\"RSA\",\"n\":\"" RFC7638_N                                                          \
    "\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}"
#define RFC7638_KEPT "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\"}"
#define RFC8037_KEPT "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"" RFC8037_X "\"}"

#define RSA_WITH(e)    "{\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"" e "\"}"
#define EC_WITH(x, y)  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" x "\",\"y\":\"" y "\"}"
#define OKP_WITH(c, x) "{\"kty\":\"OKP\",\"crv\":\"" c "\",\"x\":\"" x "\"}"
#define EC_PLUS(more)                                                                              \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC7515_X "\",\"y\":\"" RFC7515_Y "\"," more "}"

static const char *const kinds[] = {"RSA-2048", "P-256", "P-384", "P-521", "Ed25519"};

static json_t *parsed(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);

    cr_assert_not_null(json, "%s", text);
    return json;
}

Test(jwk, has_the_thumbprint_of_the_rfc)
{
    static const struct {
        const char *about;
        const char *text;
        const char *kept;
        const char *thumbprint;
    } examples[] = {
        {"RFC 7638 section 3.1", RFC7638_SENT, RFC7638_KEPT,
         "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
        { "RFC 8037 section A.3",    OKP_WITH("Ed25519",   RFC8037_X), RFC8037_KEPT,
         "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(json_t) *json = parsed(examples[i].text);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_json(scratch, json, false, &fault);

        cr_assert_not_null(key, "%s: %s", examples[i].about, fault.detail);
        cr_expect_str_eq(key->thumbprint, examples[i].thumbprint, "%s", examples[i].about);
        cr_expect_str_eq(json_to_text(scratch, key->json), examples[i].kept, "%s",
                         examples[i].about);
    }
}

static const struct {
    const char *about;
    const char *text;
    const char *field;  /* NULL: accepted */
    const char *detail; /* a part of it */
} cases[] = {
    {"an EC key",                     EC_WITH(RFC7515_X,                                            RFC7515_Y),                                 NULL,NULL},
    {"an Ed25519 key",                               OKP_WITH("Ed25519",                                                                            RFC8037_X),                                                                      NULL,NULL},
    {"members that change nothing",
     EC_PLUS("\"alg\":\"RS256\",\"use\":\"enc\",\"key_ops\":[\"sign\"]"),                                                                                       NULL,                                                                                                     NULL},
    {"an array",                           "[]",                                                                                       "jwk",                    "JSON object"},
    {"nothing in it",                  "{}",                                                                              "kty",                                                                                       "no text member kty"},
    {"kty is a number",           "{\"kty\":1}",                                                                       "kty",           "no text member kty"},
    {"a symmetric key",           "{\"kty\":\"oct\"}",                                                                       "kty",                                                                                       "\"oct\" is not accepted"             },
    {"kty in lower case",      "{\"kty\":\"rsa\"}",                                                                  "kty",    "not accepted"},
    {"no curve",                 "{\"kty\":\"EC\"}",                                                                             "crv",                                                                                                           "no text member crv"                                                                                                          },
    {"a curve of another kty",           OKP_WITH("P-256",                                                                       RFC8037_X),"crv","\"P-256\""},
    {"secp256k1",                          "{\"kty\":\"EC\",\"crv\":\"secp256k1\"}",                                                                           "crv",                                                                                                                                      "\"secp256k1\""                                                                                                                                                                                                                                                                                },
    {"Ed448",                          OKP_WITH("Ed448",RFC8037_X),"crv","\"Ed448\""},
    {"X25519",                     OKP_WITH("X25519",                                                                                RFC8037_X),                                                                                                                                                                                                              "crv",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "\"X25519\""},
    {"private d",EC_PLUS("\"d\":\"c2VjcmV0\""),"jwk","private key material"},
    {"private k",                     EC_PLUS("\"k\":\"c2VjcmV0\""),                                                           "jwk",                                                                                                                                    "private key material"                                                                                                            },
    {"private p",                     EC_PLUS("\"p\":\"c2VjcmV0\""),                                "jwk",           "private key material"},
    {"private q",                     EC_PLUS("\"q\":\"c2VjcmV0\""),                                "jwk",                                      "private key material"},
    {"private dp",                     EC_PLUS("\"dp\":\"c2VjcmV0\""),                                "jwk",                                      "private key material"},
    {"private dq",                    EC_PLUS("\"dq\":\"c2VjcmV0\""),                              "jwk",                                    "private key material"},
    {"private qi",                    EC_PLUS("\"qi\":\"c2VjcmV0\""),                               "jwk",                                       "private key material"},
    {"private oth",                    EC_PLUS("\"oth\":[]"),                               "jwk",                                      "private key material"},
    {"a private member that is null",                   EC_PLUS("\"d\":null"),                                       "jwk",                                              "private key material"},
    {"no x", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"y\":\"" RFC7515_Y "\"}",                      "x",                     "no text member x"},
    {"no y",                          "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC7515_X "\"}",                          "y",                                            "no text member y"},
    {"padding",                          EC_WITH(RFC7515_X "=", RFC7515_Y),               "x","base64url"},
    {"stray bits in the last character",
     EC_WITH("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV",                                     RFC7515_Y),                                                                     "x","base64url"},
    {"x is 31 octets",                               EC_WITH("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVA",                                                          RFC7515_Y),                                                                                     "x",
     "31 octets"},
    {"x is 33 octets",                    EC_WITH("AH_NzidxdsRdQYPL7m_bS3tYBzM1e-nvE7rPbjx70VRF",                                                                                RFC7515_Y),                                                                                                           "x",
     "33 octets"},
    {"empty x",                            EC_WITH("",                                                                                   RFC7515_Y),                                                                                                                             "x","0 octets"},
    {"no point of the curve",                     EC_WITH(RFC7515_Y,RFC7515_X),                                                                                                                               "jwk","not a valid P-256"},
    {"Ed25519 with 31 octets",OKP_WITH("Ed25519","11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ"),
     "x","31 octets"},
    {"e is 1",         RSA_WITH("AQ"),                                "e",                                                                  "at least 3"},
    {"e is 2",                               RSA_WITH("Ag"),                                                                    "e",                                                                                                   "odd"},
    {"e is 3",                    RSA_WITH("Aw"),                                                                                NULL,                                                                                                                   NULL                                                                                                                                  },
    {"e is 2^32 - 1",                   RSA_WITH("_____w"),                                                                               NULL,                                                 NULL                                                                      },
    {"e is 2^32 + 1",                          RSA_WITH("AQAAAAE"),                                                                                      "e",                       "below 2^32"},
    {"e with a leading zero",                           RSA_WITH("AAEAAQ"),                                                                                       "e", "leading zero"},
    {"empty e",                           RSA_WITH(""),                                                                                       "e",                                                                   "odd"},
    {"no n",                   "{\"kty\":\"RSA\",\"e\":\"AQAB\"}",                                                                               "n",                                                                             "no text member n"},
    {"empty n",                 "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"\"}",                                                                             "n",                                                                                                               "odd"                                                                                                                                                                                                                                              },
};

Test(jwk, comes_from_json)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(json_t) *json = parsed(cases[i].text);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_json(scratch, json, false, &fault);

        cr_expect_eq(key != NULL, cases[i].field == NULL, "%s: %s", cases[i].about, fault.detail);
        if (!cases[i].field || key)
            continue;
        cr_expect_eq(fault.reason, JWK_REJECTED, "%s", cases[i].about);
        cr_expect_str_eq(fault.field, cases[i].field, "%s", cases[i].about);
        cr_expect_not_null(strstr(fault.detail, cases[i].detail), "%s: %s", cases[i].about,
                           fault.detail);
        cr_expect_null(strstr(fault.detail, "c2VjcmV0"), "%s: echoed", cases[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left behind", cases[i].about);
    }
}

/* An odd number of so many bits; nobody checks for primes. */
static json_t *rsa_of(TALLOC_CTX *ctx, size_t bits, uint8_t last)
{
    const size_t size = (bits + 7) / 8;
    uint8_t *n = mem_array(ctx, uint8_t, size);

    n[0] = (uint8_t)(1u << ((bits + 7) % 8));
    n[size - 1] |= last;

    json_t *json = json_object();
    json_set_text(json, "kty", "RSA");
    json_set_text(json, "n", base64url_from_bytes(ctx, (struct bytes){n, size}));
    json_set_text(json, "e", "AQAB");
    return json;
}

Test(jwk, keeps_the_limits_of_rsa)
{
    static const struct {
        const char *about;
        size_t bits;
        uint8_t last;
        bool weak;
        bool accepted;
    } limits[] = {
        {"one bit short",             2047,  1, false, false},
        {"the least",                 2048,  1, false, true },
        {"the most",                  8192,  1, false, true },
        {"one bit more",              8193,  1, false, false},
        {"even",                      2048,  0, false, false},
        {"small, to be revoked",      512,   1, true,  true },
        {"large, to be revoked",      16384, 1, true,  true },
        {"larger than OpenSSL takes", 16385, 1, true,  false},
        {"even, to be revoked",       2048,  0, true,  false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(json_t) *json = rsa_of(scratch, limits[i].bits, limits[i].last);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_json(scratch, json, limits[i].weak, &fault);

        cr_expect_eq(key != NULL, limits[i].accepted, "%s: %s", limits[i].about, fault.detail);
        if (key)
            cr_expect_eq(EVP_PKEY_get_bits(key->pkey), (int)limits[i].bits, "%s", limits[i].about);
        else
            cr_expect_str_eq(fault.field, "n", "%s", limits[i].about);
    }
}

Test(jwk, waives_the_size_of_e_for_revocation_only)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *json = parsed(RSA_WITH("AQAAAAE"));
    struct fault fault = {0};

    cr_expect_not_null(jwk_from_json(scratch, json, true, &fault), "%s", fault.detail);
    cr_expect_null(jwk_from_json(scratch, json, false, &fault));
}

/* Taken modulo p, one key would have two thumbprints. */
Test(jwk, refuses_a_coordinate_plus_the_prime)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(EVP_PKEY) *pkey = forge_key("P-521");
    AUTO(BIGNUM) *x = NULL;
    AUTO(BIGNUM) *p = NULL;
    uint8_t octets[66];
    struct fault fault = {0};
    const struct jwk *key = jwk_from_pkey(scratch, pkey, &fault);

    cr_assert_not_null(key, "%s", fault.detail);
    cr_assert_eq(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x), 1);
    cr_assert_eq(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_P, &p), 1);
    cr_assert_eq(BN_add(x, x, p), 1);
    cr_assert_eq(BN_bn2binpad(x, octets, sizeof(octets)), 66);

    AUTO(json_t) *again = json_deep_copy(key->json);
    json_set_text(again, "x", base64url_from_bytes(scratch, BYTES_OF(octets)));
    cr_expect_null(jwk_from_json(scratch, again, false, &fault));
    cr_expect_eq(fault.reason, JWK_REJECTED);
}

Test(jwk, comes_from_a_key_and_back)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(EVP_PKEY) *pkey = forge_key(kinds[i]);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_pkey(scratch, pkey, &fault);

        cr_assert_not_null(key, "%s: %s", kinds[i], fault.detail);
        cr_expect_eq(key->kind, (enum jwk_kind)i, "%s", kinds[i]);
        cr_expect_eq(EVP_PKEY_eq(key->pkey, pkey), 1, "%s", kinds[i]);
        cr_expect_null(json_object_get(key->json, "d"), "%s: private", kinds[i]);

        const struct jwk *again = jwk_from_json(scratch, key->json, false, &fault);
        cr_assert_not_null(again, "%s: %s", kinds[i], fault.detail);
        cr_expect_str_eq(again->thumbprint, key->thumbprint, "%s", kinds[i]);
    }
}

Test(jwk, has_the_thumbprint_that_libjose_finds)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (text_equal(kinds[i], "Ed25519"))
            continue; /* libjose knows no OKP */

        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(EVP_PKEY) *pkey = forge_key(kinds[i]);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_pkey(scratch, pkey, &fault);
        cr_assert_not_null(key, "%s: %s", kinds[i], fault.detail);

        AUTO(json_t) *theirs = jose_jwk_thp(NULL, key->json, "S256");
        cr_expect_str_eq(key->thumbprint, json_string_value(theirs), "%s", kinds[i]);
    }
}

Test(jwk, comes_from_no_other_kind_of_key)
{
    static const char *const others[] = {"secp256k1", "brainpoolP256r1", "P-224", "Ed448",
                                         "X25519"};

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(EVP_PKEY) *pkey = forge_key(others[i]);
        struct fault fault = {0};

        cr_expect_null(jwk_from_pkey(scratch, pkey, &fault), "%s", others[i]);
        cr_expect_eq(fault.reason, JWK_REJECTED, "%s", others[i]);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left behind", others[i]);
    }
}

Test(jwk, comes_from_a_small_key_of_a_certificate)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(EVP_PKEY) *pkey = forge_key("RSA-1024");
    struct fault fault = {0};
    const struct jwk *key = jwk_from_pkey(scratch, pkey, &fault);

    cr_assert_not_null(key, "%s", fault.detail);
    cr_expect_eq(EVP_PKEY_eq(key->pkey, pkey), 1);
}

/* The JSON of RFC 8037 appendix A.3 in base64; its 76 octets need two lines. */
#define STORED_BEGIN  "-----BEGIN ACME ACCOUNT JWK-----"
#define STORED_FIRST  "eyJjcnYiOiJFZDI1NTE5Iiwia3R5IjoiT0tQIiwieCI6IjExcVlBWUt4Q3JmVlNf"
#define STORED_SECOND "N1R5V1FIT2c3aGN2UGFwaU1scndJYWFQY0hVUm8ifQ=="
#define STORED_END    "-----END ACME ACCOUNT JWK-----"
#define STORED        STORED_BEGIN "\n" STORED_FIRST "\n" STORED_SECOND "\n" STORED_END "\n"

Test(jwk, is_written_as_the_tables_hold_it)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *json = parsed(OKP_WITH("Ed25519", RFC8037_X));
    struct fault fault = {0};
    const struct jwk *key = jwk_from_json(scratch, json, false, &fault);

    cr_assert_not_null(key, "%s", fault.detail);
    cr_expect_str_eq(jwk_to_pem(scratch, key), STORED);
}

Test(jwk, is_written_and_read_again)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(EVP_PKEY) *pkey = forge_key(kinds[i]);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_pkey(scratch, pkey, &fault);
        cr_assert_not_null(key, "%s: %s", kinds[i], fault.detail);

        const struct jwk *again = jwk_from_pem(scratch, jwk_to_pem(scratch, key), &fault);
        cr_assert_not_null(again, "%s: %s", kinds[i], fault.cause);
        cr_expect_str_eq(again->thumbprint, key->thumbprint, "%s", kinds[i]);
    }
}

Test(jwk, comes_from_stored_text)
{
    static const struct {
        const char *about;
        const char *pem;
        bool accepted;
    } stored[] = {
        {"as written",               STORED,                                                       true },
        {"no newline at the end",    STORED_BEGIN "\n" STORED_FIRST STORED_SECOND "\n" STORED_END,
         true                                                                                           },
        {"CR and trailing space",
         STORED_BEGIN " \r\n" STORED_FIRST " \r\n" STORED_SECOND "\t\r\n" STORED_END "  \r\n",
         true                                                                                           },
        {"nothing",                  "",                                                           false},
        {"no lines",                 STORED_BEGIN STORED_FIRST STORED_SECOND STORED_END,           false},
        {"nothing inside",           STORED_BEGIN "\n" STORED_END "\n",                            false},
        {"no end",                   STORED_BEGIN "\n" STORED_FIRST "\n" STORED_SECOND "\n",       false},
        {"something before",         "x" STORED,                                                   false},
        {"something after",          STORED "x",                                                   false},
        {"padding missing",          STORED_BEGIN "\nbnVsbA\n" STORED_END "\n",                    false},
        {"null",                     STORED_BEGIN "\nbnVsbA==\n" STORED_END "\n",                  false},
        {"an object that is no key", STORED_BEGIN "\ne30=\n" STORED_END "\n",                      false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_pem(scratch, stored[i].pem, &fault);

        cr_expect_eq(key != NULL, stored[i].accepted, "%s: %s", stored[i].about, fault.cause);
        if (key) {
            cr_expect_str_eq(key->thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "%s",
                             stored[i].about);
            continue;
        }
        cr_expect_eq(fault.reason, INTERNAL, "%s", stored[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left behind", stored[i].about);
    }
}
