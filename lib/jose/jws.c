/* lib/jose/jws.c: the flattened JSON serialisation (RFC 7515 section 7.2.2) as ACME uses it.
 *
 * Verification speaks to OpenSSL directly: libjose would guess a missing alg, take one from an
 * unprotected header and ignore crit. The unit tests hold both verdicts against each other. */
#include "jose/jws.h"

#include <string.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

struct algorithm {
    const char *name;
    enum jws_use use;
    enum jwk_kind kind;            /* the one kind of key that it fits; not for MACs */
    size_t half;                   /* octets of r and of s (RFC 7518 section 3.4); 0: no ECDSA */
    const EVP_MD *(*digest)(void); /* NULL: the signature scheme hashes for itself */
};

static const struct algorithm algorithms[] = {
    {"RS256", JWS_REQUEST, JWK_RSA,     0,  digest_algorithm_sha256},
    {"ES256", JWS_REQUEST, JWK_P256,    32, digest_algorithm_sha256},
    {"ES384", JWS_REQUEST, JWK_P384,    48, digest_algorithm_sha384},
    {"ES512", JWS_REQUEST, JWK_P521,    66, digest_algorithm_sha512},
    {"EdDSA", JWS_REQUEST, JWK_ED25519, 0,  NULL                   },
    {"HS256", JWS_MAC,     JWK_RSA,     0,  digest_algorithm_sha256},
    {"HS384", JWS_MAC,     JWK_RSA,     0,  digest_algorithm_sha384},
    {"HS512", JWS_MAC,     JWK_RSA,     0,  digest_algorithm_sha512},
};

static const struct algorithm *algorithm_find(const char *name, enum jws_use use)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].use == use && text_equal(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

static char *algorithm_names(TALLOC_CTX *ctx, enum jws_use use)
{
    char *names = mem_text(ctx, "");

    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].use == use)
            names = mem_append(names, "%s%s", *names ? ", " : "", algorithms[i].name);
    return names;
}

/* Exactly three members, all text. One of the unprotected headers would be read by libraries that
 * prefer it to the protected one, so its presence alone is an attempt. */
static bool members_are_exact(const json_t *object, struct fault *fault)
{
    static const char *const wanted[] = {"protected", "payload", "signature"};
    static const char *const refused[] = {"header", "signatures"};

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (json_object_get(object, refused[i]))
            return fault_set(fault, JWS_MALFORMED, refused[i],
                             "the JWS must not have the member %s (RFC 8555 section 6.2)",
                             refused[i]);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (!json_text_at(object, wanted[i]))
            return fault_set(fault, JWS_MALFORMED, wanted[i],
                             "the JWS has no text member %s (RFC 7515 section 7.2.2)", wanted[i]);
    if (json_object_size(object) != ARRAY_SIZE(wanted))
        return fault_set(fault, JWS_MALFORMED, NULL,
                         "the JWS has members other than protected, payload and signature");
    return true;
}

static bool decode(TALLOC_CTX *ctx, const json_t *object, const char *name,
                   struct bytes *ret_octets, struct fault *fault)
{
    const char *text = json_text_at(object, name);

    if (!base64url_to_bytes(ctx, text, strlen(text), ret_octets))
        return fault_set(fault, JWS_MALFORMED, name,
                         "%s is not base64url without padding (RFC 7515 section 2)", name);
    return true;
}

static bool algorithm_is_allowed(const json_t *header, enum jws_use use, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *alg = json_text_at(header, "alg");

    if (!alg)
        return fault_set(fault, JWS_ALGORITHM, "alg",
                         "the protected header has no text member alg (RFC 7515 section 4.1.1)");
    if (!algorithm_find(alg, use))
        return fault_set(fault, JWS_ALGORITHM, "alg", "alg %s is not one of %s",
                         text_quote(scratch, alg), algorithm_names(scratch, use));
    return true;
}

/* We understand no extension, so `crit` cannot be satisfied (RFC 7515 section 4.1.11), and `b64`
 * would change the signing input (RFC 7797 section 3). */
static bool extensions_are_absent(const json_t *header, struct fault *fault)
{
    static const char *const refused[] = {"crit", "b64"};

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (json_object_get(header, refused[i]))
            return fault_set(fault, JWS_MALFORMED, refused[i],
                             "the protected header must not have the member %s "
                             "(RFC 7515 section 4.1.11)",
                             refused[i]);
    return true;
}

static bool type_is_jose(const json_t *header, struct fault *fault)
{
    const char *typ = json_text_at(header, "typ");

    if (!json_object_get(header, "typ") || text_equal(typ, "") || text_equal(typ, "jose+json") ||
        text_equal(typ, "application/jose+json"))
        return true;
    return fault_set(fault, JWS_MALFORMED, "typ",
                     "typ must be absent, jose+json or application/jose+json "
                     "(RFC 7515 section 4.1.9)");
}

static bool key_members_are_typed(const json_t *header, struct fault *fault)
{
    const json_t *kid = json_object_get(header, "kid");
    const json_t *jwk = json_object_get(header, "jwk");

    if (kid && !json_is_string(kid))
        return fault_set(fault, JWS_MALFORMED, "kid",
                         "kid must be a string (RFC 7515 section 4.1.4)");
    if (jwk && !json_is_object(jwk))
        return fault_set(fault, JWS_MALFORMED, "jwk",
                         "jwk must be an object (RFC 7515 section 4.1.3)");
    return true;
}

static bool header_is_accepted(const json_t *header, enum jws_use use, struct fault *fault)
{
    return algorithm_is_allowed(header, use, fault) && extensions_are_absent(header, fault) &&
           type_is_jose(header, fault) && key_members_are_typed(header, fault);
}

static void fill(struct jws *jws, const json_t *object, json_t *header)
{
    jws->protected_text = mem_text(jws, json_text_at(object, "protected"));
    jws->payload_text = mem_text(jws, json_text_at(object, "payload"));
    jws->header = mem_adopt(jws, header, json_decref);
    jws->alg = json_text_at(header, "alg");
    jws->url = json_text_at(header, "url");
    jws->nonce = json_text_at(header, "nonce");
    jws->kid = json_text_at(header, "kid");
    jws->jwk = json_object_get(header, "jwk");
}

struct jws *jws_from_json(TALLOC_CTX *ctx, const json_t *object, enum jws_use use,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct jws *jws = mem_new(scratch, struct jws);
    struct bytes header_text = {0};

    if (!json_is_object(object))
        return fault_set(fault, JWS_MALFORMED, NULL,
                         "a JWS is a JSON object (RFC 7515 section 7.2.2)");
    if (!members_are_exact(object, fault) ||
        !decode(scratch, object, "protected", &header_text, fault) ||
        !decode(jws, object, "payload", &jws->payload, fault) ||
        !decode(jws, object, "signature", &jws->signature, fault))
        return NULL;

    AUTO(json_t) *header = json_parse_object(header_text, JWS_MALFORMED, "the protected header",
                                             fault);
    if (!header || !header_is_accepted(header, use, fault))
        return NULL;

    fill(jws, object, TAKE(header));
    return talloc_steal(ctx, jws);
}

struct jws *jws_parse(TALLOC_CTX *ctx, struct bytes text, enum jws_use use, struct fault *fault)
{
    AUTO(json_t) *object = json_parse_object(text, JWS_MALFORMED, "the JWS", fault);

    return object ? jws_from_json(ctx, object, use, fault) : NULL;
}

/* RFC 7515 section 5.2, step 8: the received texts, never encoded anew. */
static struct bytes signing_input(TALLOC_CTX *ctx, const struct jws *jws)
{
    return bytes_of_text(mem_printf(ctx, "%s.%s", jws->protected_text, jws->payload_text));
}

static bool digest_verify(const struct algorithm *algorithm, EVP_PKEY *pkey, struct bytes signature,
                          struct bytes input)
{
    AUTO(EVP_MD_CTX) *ctx = EVP_MD_CTX_new();
    const EVP_MD *digest = algorithm->digest ? algorithm->digest() : NULL;

    if (!ctx)
        mem_exhausted(0, "EVP_MD_CTX");
    return EVP_DigestVerifyInit(ctx, NULL, digest, NULL, pkey) == 1 &&
           EVP_DigestVerify(ctx, signature.data, signature.size, input.data, input.size) == 1;
}

/* RFC 7518 section 3.4: r and s side by side, each in as many octets as the order has. OpenSSL
 * wants them as the DER of an ECDSA-Sig-Value. */
static ECDSA_SIG *ecdsa_from_raw(struct bytes raw, size_t half)
{
    if (raw.size != 2 * half)
        return NULL;

    AUTO(ECDSA_SIG) *pair = ECDSA_SIG_new();
    AUTO(BIGNUM) *r = BN_bin2bn(raw.data, (int)half, NULL); /* half is at most 66 */
    AUTO(BIGNUM) *s = BN_bin2bn(raw.data + half, (int)half, NULL);
    if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1)
        mem_exhausted(raw.size, "ECDSA_SIG");
    r = s = NULL; /* the pair's now */
    return TAKE(pair);
}

static bool ecdsa_verify(const struct algorithm *algorithm, EVP_PKEY *pkey, struct bytes raw,
                         struct bytes input)
{
    AUTO(ECDSA_SIG) *pair = ecdsa_from_raw(raw, algorithm->half);
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = pair ? i2d_ECDSA_SIG(pair, &der) : 0;

    if (size <= 0)
        return false;
    return digest_verify(algorithm, pkey, (struct bytes){der, (size_t)size}, input);
}

static void *did_not_verify(struct fault *fault)
{
    fault_set(fault, JWS_SIGNATURE, "signature", "signature did not verify");
    return fault_cause_openssl(fault, "verify");
}

bool jws_verify(const struct jws *jws, const struct jwk *key, struct fault *fault)
{
    const struct algorithm *algorithm = algorithm_find(jws->alg, JWS_REQUEST);

    if (!algorithm || algorithm->kind != key->kind)
        return fault_set(fault, JWS_ALGORITHM, "alg",
                         "alg %s does not fit the key (RFC 7518 section 3.1)", jws->alg);

    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes input = signing_input(scratch, jws);
    const bool good = algorithm->half ? ecdsa_verify(algorithm, key->pkey, jws->signature, input)
                                      : digest_verify(algorithm, key->pkey, jws->signature, input);
    if (!good)
        return did_not_verify(fault);
    return true;
}

bool jws_verify_mac(const struct jws *jws, struct bytes key, struct fault *fault)
{
    const struct algorithm *algorithm = algorithm_find(jws->alg, JWS_MAC);

    if (!algorithm)
        return fault_set(fault, JWS_ALGORITHM, "alg",
                         "alg %s is not a MAC (RFC 8555 section 7.3.4)", jws->alg);

    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes input = signing_input(scratch, jws);
    const char *digest = EVP_MD_get0_name(algorithm->digest());
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t size = 0;
    if (key.size == 0 || !EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, key.data, key.size,
                                    input.data, input.size, mac, sizeof(mac), &size))
        return did_not_verify(fault);
    if (!bytes_equal_secret(jws->signature, (struct bytes){mac, size}))
        return did_not_verify(fault);
    return true;
}

json_t *jws_algorithms(void)
{
    json_t *names = json_array();

    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].use == JWS_REQUEST)
            json_add_text(names, algorithms[i].name);
    return names;
}
