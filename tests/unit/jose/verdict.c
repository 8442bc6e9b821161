/* tests/unit/jose/verdict.c: one table of signed messages, judged by our own path and by libjose.
 *
 * Both must say the same wherever libjose knows the key; it knows no Ed25519. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "forge.h"
#include "jose/jws.h"
#include "libjose.h"

#include "core/banned.h"

AUTO_DEFINE(jose_cfg_t, jose_cfg_decref)

/* RFC 7515 appendix A.2: key, payload, signature. */
#define A2_KEY                                                                                     \
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"   \
    "Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7"  \
    "OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qC" \
    "o5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp" \
    "oQ\",\"e\":\"AQAB\"}"
#define A2_PAYLOAD                                                                                 \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define A2_SIGNATURE                                                                               \
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5" \
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb" \
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO" \
    "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
/* RFC 7515 appendix A.3: the payload is that of A.2. */
#define A3_KEY                                                                                     \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","     \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define A3_R         "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXF"
#define A3_S         "CgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define A3_SIGNATURE A3_R A3_S
/* RFC 7515 appendix A.4. */
#define A4_X                                                                                       \
    "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk"
#define A4_Y                                                                                       \
    "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"
#define A4_KEY "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"" A4_X "\",\"y\":\"" A4_Y "\"}"
#define A4_SIGNATURE                                                                               \
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8G" \
    "aSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
/* RFC 8037 appendix A.4. */
#define OKP_KEY                                                                                    \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define OKP_PAYLOAD "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
#define OKP_SIGNATURE                                                                              \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

#define ZERO_SIGNATURE                                                                             \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"                                                  \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

#define RS256 "eyJhbGciOiJSUzI1NiJ9"
#define ES256 "eyJhbGciOiJFUzI1NiJ9"
#define ES512 "eyJhbGciOiJFUzUxMiJ9"
#define EDDSA "eyJhbGciOiJFZERTQSJ9"

static const struct {
    const char *about;
    const char *key;
    const char *header;
    const char *payload;
    const char *signature;
    enum fault_reason reason; /* REASON_NONE: it verifies */
} table[] = {
    {"RFC 7515 A.2",                 A2_KEY,  RS256,                    A2_PAYLOAD,   A2_SIGNATURE,         REASON_NONE  },
    {"RFC 7515 A.3",                 A3_KEY,  ES256,                    A2_PAYLOAD,   A3_SIGNATURE,         REASON_NONE  },
    {"RFC 7515 A.4",                 A4_KEY,  ES512,                    "UGF5bG9hZA", A4_SIGNATURE,         REASON_NONE  },
    {"RFC 8037 A.4",                 OKP_KEY, EDDSA,                    OKP_PAYLOAD,  OKP_SIGNATURE,        REASON_NONE  },
    {"RSA, another payload",         A2_KEY,  RS256,                    "UGF5bG9hZA", A2_SIGNATURE,         JWS_SIGNATURE},
    {"P-256, another payload",       A3_KEY,  ES256,                    "UGF5bG9hZA", A3_SIGNATURE,         JWS_SIGNATURE},
    {"P-521, no payload",            A4_KEY,  ES512,                    "",           A4_SIGNATURE,         JWS_SIGNATURE},
    {"Ed25519, another payload",     OKP_KEY, EDDSA,                    "UGF5bG9hZA", OKP_SIGNATURE,        JWS_SIGNATURE},
    {"RSA, header with a space",     A2_KEY,  "eyJhbGciOiAiUlMyNTYifQ", A2_PAYLOAD,   A2_SIGNATURE,
     JWS_SIGNATURE                                                                                                       },
    {"RSA, no signature",            A2_KEY,  RS256,                    A2_PAYLOAD,   "",                   JWS_SIGNATURE},
    {"P-256, no signature",          A3_KEY,  ES256,                    A2_PAYLOAD,   "",                   JWS_SIGNATURE},
    {"Ed25519, no signature",        OKP_KEY, EDDSA,                    OKP_PAYLOAD,  "",                   JWS_SIGNATURE},
    {"RSA, three octets more",       A2_KEY,  RS256,                    A2_PAYLOAD,   "AAAA" A2_SIGNATURE,  JWS_SIGNATURE},
    {"P-256, three octets more",     A3_KEY,  ES256,                    A2_PAYLOAD,   "AAAA" A3_SIGNATURE,  JWS_SIGNATURE},
    {"RSA, one octet behind",        A2_KEY,  RS256,                    A2_PAYLOAD,   A2_SIGNATURE "A",     JWS_SIGNATURE},
    {"P-256, one octet behind",      A3_KEY,  ES256,                    A2_PAYLOAD,   A3_SIGNATURE "A",     JWS_SIGNATURE},
    {"P-521, three octets behind",   A4_KEY,  ES512,                    "UGF5bG9hZA", A4_SIGNATURE "AAAA",  JWS_SIGNATURE},
    {"Ed25519, one octet behind",    OKP_KEY, EDDSA,                    OKP_PAYLOAD,  OKP_SIGNATURE "A",    JWS_SIGNATURE},
    {"P-256, only r",                A3_KEY,  ES256,                    A2_PAYLOAD,   A3_R,                 JWS_SIGNATURE},
    {"Ed25519, three octets more",   OKP_KEY, EDDSA,                    OKP_PAYLOAD,  "AAAA" OKP_SIGNATURE,
     JWS_SIGNATURE                                                                                                       },
    {"P-256, r and s are zero",      A3_KEY,  ES256,                    A2_PAYLOAD,   ZERO_SIGNATURE,       JWS_SIGNATURE},
    {"an EC header over an RSA key", A2_KEY,  ES256,                    A2_PAYLOAD,   A3_SIGNATURE,         JWS_ALGORITHM},
    {"an RSA header over an EC key", A3_KEY,  RS256,                    A2_PAYLOAD,   A2_SIGNATURE,         JWS_ALGORITHM},
    {"the digest of another curve",  A3_KEY,  ES512,                    A2_PAYLOAD,   A4_SIGNATURE,         JWS_ALGORITHM},
    {"EdDSA over an EC key",         A3_KEY,  EDDSA,                    OKP_PAYLOAD,  OKP_SIGNATURE,        JWS_ALGORITHM},
};

/* Our verdict; the fault's reason, REASON_NONE when it verifies. */
static enum fault_reason ours(const char *text, const char *key_text)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *json = json_loads(key_text, 0, NULL);
    struct fault fault = {0};
    const struct jwk *key = jwk_from_json(scratch, json, false, &fault);
    cr_assert_not_null(key, "%s", fault.detail);
    const struct jws *jws = jws_parse(scratch, bytes_of_text(text), JWS_REQUEST, &fault);
    cr_assert_not_null(jws, "%s", fault.detail);

    const bool good = jws_verify(jws, key, &fault);
    cr_expect_eq(good, fault.reason == REASON_NONE);
    return fault.reason;
}

static void silent(void *misc, const char *file, int line, uint64_t code, const char *format,
                   va_list args)
{
    (void)misc, (void)file, (void)line, (void)code, (void)format, (void)args;
}

static bool theirs(const char *text, const char *key_text)
{
    AUTO(jose_cfg_t) *cfg = jose_cfg();
    AUTO(json_t) *jws = json_loads(text, 0, NULL);
    AUTO(json_t) *key = json_loads(key_text, 0, NULL);

    jose_cfg_set_err_func(cfg, silent, NULL);
    return jose_jws_ver(cfg, jws, NULL, key, true);
}

static bool libjose_knows(const char *key_text)
{
    return !strstr(key_text, "OKP");
}

Test(verdict, is_the_one_of_the_table)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *text = forge_flat(scratch, table[i].header, table[i].payload,
                                      table[i].signature);

        cr_expect_eq(ours(text, table[i].key), table[i].reason, "%s", table[i].about);
        if (libjose_knows(table[i].key))
            cr_expect_eq(theirs(text, table[i].key), table[i].reason == REASON_NONE, "libjose: %s",
                         table[i].about);
    }
}

static const struct {
    const char *kind;
    const char *header;
    size_t signature_size;
} fresh[] = {
    {"RSA-2048", "{\"alg\":\"RS256\"}", 256},
    {"RSA-3072", "{\"alg\":\"RS256\"}", 384},
    {"P-256",    "{\"alg\":\"ES256\"}", 64 },
    {"P-384",    "{\"alg\":\"ES384\"}", 96 },
    {"P-521",    "{\"alg\":\"ES512\"}", 132},
    {"Ed25519",  "{\"alg\":\"EdDSA\"}", 64 },
};

/* The same message with one octet of the signature changed. */
static char *with_octet_changed(TALLOC_CTX *ctx, const char *text, size_t at)
{
    AUTO(json_t) *jws = json_loads(text, 0, NULL);
    const char *encoded = json_text_at(jws, "signature");
    struct bytes signature = {0};

    cr_assert(base64url_to_bytes(ctx, encoded, strlen(encoded), &signature));
    uint8_t *octets = mem_copy(ctx, signature.data, signature.size);
    octets[at] ^= 1;
    json_set_text(jws, "signature",
                  base64url_from_bytes(ctx, (struct bytes){octets, signature.size}));
    return json_to_text(ctx, jws);
}

Test(verdict, is_shared_for_fresh_keys)
{
    for (size_t i = 0; i < ARRAY_SIZE(fresh); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(EVP_PKEY) *pkey = forge_key(fresh[i].kind);
        struct fault fault = {0};
        const struct jwk *key = jwk_from_pkey(scratch, pkey, &fault);
        cr_assert_not_null(key, "%s: %s", fresh[i].kind, fault.detail);
        const char *key_text = json_to_text(scratch, key->json);
        const bool both = libjose_knows(key_text);
        const char *text = forge_signed(scratch, pkey, fresh[i].header, "{}");

        cr_expect_eq(ours(text, key_text), REASON_NONE, "%s", fresh[i].kind);
        if (both)
            cr_expect(theirs(text, key_text), "libjose: %s", fresh[i].kind);
        for (size_t at = 0; at < fresh[i].signature_size; at += fresh[i].signature_size / 8) {
            const char *changed = with_octet_changed(scratch, text, at);

            cr_expect_eq(ours(changed, key_text), JWS_SIGNATURE, "%s at %zu", fresh[i].kind, at);
            if (both)
                cr_expect_not(theirs(changed, key_text), "libjose: %s at %zu", fresh[i].kind, at);
        }
    }
}

/* RFC 7518 section 3.4: the DER that OpenSSL makes is not what JOSE sends. */
Test(verdict, refuses_the_der_form_of_ecdsa)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes raw = {0};
    AUTO(ECDSA_SIG) *pair = ECDSA_SIG_new();
    AUTO_OPENSSL(uint8_t) *der = NULL;

    cr_assert(base64url_to_bytes(scratch, A3_SIGNATURE, strlen(A3_SIGNATURE), &raw));
    cr_assert_eq(
        ECDSA_SIG_set0(pair, BN_bin2bn(raw.data, 32, NULL), BN_bin2bn(raw.data + 32, 32, NULL)), 1);
    const int size = i2d_ECDSA_SIG(pair, &der);
    cr_assert_gt(size, 64);
    const char *text = forge_flat(scratch, ES256, A2_PAYLOAD,
                                  base64url_from_bytes(scratch, (struct bytes){der, (size_t)size}));

    cr_expect_eq(ours(text, A3_KEY), JWS_SIGNATURE);
    cr_expect_not(theirs(text, A3_KEY), "libjose");
}

/* A MAC over the public key, taken for a symmetric one, is the classic confusion. */
Test(verdict, never_takes_a_mac_for_a_signature)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *json = json_loads(A3_KEY, 0, NULL);
    struct fault fault = {0};
    const struct jwk *key = jwk_from_json(scratch, json, false, &fault);
    cr_assert_not_null(key, "%s", fault.detail);
    const char *text = forge_flat(scratch, forge_encoded(scratch, "{\"alg\":\"HS256\"}"),
                                  A2_PAYLOAD, "AAAA");
    const struct jws *jws = jws_parse(scratch, bytes_of_text(text), JWS_MAC, &fault);
    cr_assert_not_null(jws, "%s", fault.detail);

    cr_expect_not(jws_verify(jws, key, &fault));
    cr_expect_eq(fault.reason, JWS_ALGORITHM);
}
