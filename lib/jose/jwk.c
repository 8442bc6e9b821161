/* lib/jose/jwk.c: public keys in JSON (RFC 7517; RFC 7518 section 6; RFC 8037 section 2): which are
 * taken, and how they are kept. */
#include "jose/jwk.h"

#include <string.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "jose/jwk_key.h"

#include "core/banned.h"

#define RSA_BITS_LEAST  2048
#define RSA_BITS_MOST   8192
#define RSA_BITS_USABLE 16384 /* what OpenSSL verifies at all */
#define EXPONENT_OCTETS 4

#define PEM_BEGIN   "-----BEGIN ACME ACCOUNT JWK-----"
#define PEM_END     "-----END ACME ACCOUNT JWK-----"
#define PEM_COLUMNS 64 /* RFC 7468 section 2 */
#define WHITE_SPACE " \t\r\n"

/* What a kind of key consists of. Members stand in thumbprint order (RFC 7638 section 3). */
struct shape {
    enum jwk_kind kind;
    const char *kty;
    const char *crv; /* NULL: the kind has no curve */
    size_t octets;   /* of a coordinate, exactly (RFC 7518 section 6.2.1.2) */
    const char *members[4];
};

static const struct shape shapes[] = {
    {JWK_RSA,     "RSA", NULL,      0,  {"e", "kty", "n", NULL}  },
    {JWK_P256,    "EC",  "P-256",   32, {"crv", "kty", "x", "y"} },
    {JWK_P384,    "EC",  "P-384",   48, {"crv", "kty", "x", "y"} },
    {JWK_P521,    "EC",  "P-521",   66, {"crv", "kty", "x", "y"} },
    {JWK_ED25519, "OKP", "Ed25519", 32, {"crv", "kty", "x", NULL}},
};

/* RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2. The value is never looked at. */
static bool has_private_member(const json_t *json)
{
    static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (json_object_get(json, names[i]))
            return true;
    return false;
}

static bool kty_is_known(const char *kty)
{
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        if (text_equal(kty, shapes[i].kty))
            return true;
    return false;
}

static const struct shape *shape_find(const json_t *json, struct fault *fault)
{
    const char *kty = json_text_at(json, "kty");
    const char *crv = json_text_at(json, "crv");
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!kty)
        return fault_set(fault, JWK_REJECTED, "kty",
                         "the JWK has no text member kty (RFC 7517 section 4.1)");
    if (!kty_is_known(kty))
        return fault_set(fault, JWK_REJECTED, "kty", "kty %s is not accepted: RSA, EC or OKP",
                         text_quote(scratch, kty));
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        if (text_equal(kty, shapes[i].kty) && (!shapes[i].crv || text_equal(crv, shapes[i].crv)))
            return &shapes[i];
    if (!crv)
        return fault_set(fault, JWK_REJECTED, "crv",
                         "the JWK has no text member crv (RFC 7518 section 6.2.1.1)");
    return fault_set(fault, JWK_REJECTED, "crv",
                     "crv %s is not accepted: P-256, P-384, P-521 or Ed25519",
                     text_quote(scratch, crv));
}

static bool member_octets(TALLOC_CTX *ctx, const json_t *json, const char *name,
                          struct bytes *ret_octets, struct fault *fault)
{
    const char *text = json_text_at(json, name);

    if (!text)
        return fault_set(fault, JWK_REJECTED, name, "the JWK has no text member %s", name);
    if (!base64url_to_bytes(ctx, text, strlen(text), ret_octets))
        return fault_set(fault, JWK_REJECTED, name,
                         "%s is not base64url without padding (RFC 7515 section 2)", name);
    return true;
}

/* RFC 7518 section 2: a Base64urlUInt has no octets that are not needed. */
static bool is_odd_and_minimal(struct bytes number)
{
    return number.size > 0 && number.data[0] != 0 && (number.data[number.size - 1] & 1) == 1;
}

static size_t bit_length(struct bytes number)
{
    size_t bits = (number.size - 1) * 8;

    for (unsigned first = number.data[0]; first; first >>= 1)
        bits++;
    return bits;
}

static bool modulus_is_accepted(struct bytes n, bool weak, struct fault *fault)
{
    const size_t bits_least = weak ? 1 : RSA_BITS_LEAST;
    const size_t bits_most = weak ? RSA_BITS_USABLE : RSA_BITS_MOST;

    if (!is_odd_and_minimal(n))
        return fault_set(
            fault, JWK_REJECTED, "n",
            "n must be odd and without leading zero octets (RFC 7518 section 6.3.1.1)");

    const size_t bits = bit_length(n);
    if (bits < bits_least || bits > bits_most)
        return fault_set(fault, JWK_REJECTED, "n", "n has %zu bits, not %zu to %zu", bits,
                         bits_least, bits_most);
    return true;
}

static bool exponent_is_accepted(struct bytes e, bool weak, struct fault *fault)
{
    if (!is_odd_and_minimal(e) || (e.size == 1 && e.data[0] == 1))
        return fault_set(fault, JWK_REJECTED, "e",
                         "e must be odd, at least 3 and without leading zero octets "
                         "(RFC 8017 section 3.1)");
    if (!weak && e.size > EXPONENT_OCTETS)
        return fault_set(fault, JWK_REJECTED, "e", "e must be below 2^32");
    return true;
}

static bool rsa_is_accepted(const json_t *json, bool weak, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes n = {0};
    struct bytes e = {0};

    return member_octets(scratch, json, "n", &n, fault) && modulus_is_accepted(n, weak, fault) &&
           member_octets(scratch, json, "e", &e, fault) && exponent_is_accepted(e, weak, fault);
}

static bool coordinate_is_accepted(const struct shape *shape, const json_t *json, const char *name,
                                   struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes octets = {0};

    if (!member_octets(scratch, json, name, &octets, fault))
        return false;
    if (octets.size != shape->octets)
        return fault_set(fault, JWK_REJECTED, name, "%s has %zu octets, %s needs %zu (%s)", name,
                         octets.size, shape->crv, shape->octets,
                         shape->kind == JWK_ED25519 ? "RFC 8037 section 2"
                                                    : "RFC 7518 section 6.2.1.2");
    return true;
}

static bool members_are_accepted(const struct shape *shape, const json_t *json, bool weak,
                                 struct fault *fault)
{
    if (shape->kind == JWK_RSA)
        return rsa_is_accepted(json, weak, fault);
    return coordinate_is_accepted(shape, json, "x", fault) &&
           (shape->kind == JWK_ED25519 || coordinate_is_accepted(shape, json, "y", fault));
}

static json_t *required_members(const struct shape *shape, const json_t *json)
{
    json_t *required = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(shape->members) && shape->members[i]; i++)
        json_set_text(required, shape->members[i], json_text_at(json, shape->members[i]));
    return required;
}

static EVP_PKEY *import(const struct shape *shape, const json_t *required, struct fault *fault)
{
    EVP_PKEY *pkey = jwk_key_import(shape->kind, required);

    if (!pkey) {
        fault_set(fault, JWK_REJECTED, "jwk", "the JWK is not a valid %s public key (%s)",
                  shape->crv ? shape->crv : shape->kty,
                  shape->kind == JWK_ED25519 ? "RFC 8037 section 2" : "RFC 7518 section 6");
        return fault_cause_openssl(fault, "JWK import");
    }
    return pkey;
}

struct jwk *jwk_from_json(TALLOC_CTX *ctx, const json_t *json, bool weak, struct fault *fault)
{
    if (!json_is_object(json))
        return fault_set(fault, JWK_REJECTED, "jwk", "a JWK is a JSON object (RFC 7517 section 4)");
    if (has_private_member(json))
        return fault_set(fault, JWK_REJECTED, "jwk", "the JWK contains private key material");

    const struct shape *shape = shape_find(json, fault);
    if (!shape || !members_are_accepted(shape, json, weak, fault))
        return NULL;

    AUTO(json_t) *required = required_members(shape, json);
    EVP_PKEY *pkey = import(shape, required, fault);
    if (!pkey)
        return NULL;

    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct jwk *key = mem_new(ctx, struct jwk);
    key->kind = shape->kind;
    key->pkey = mem_adopt(key, pkey, EVP_PKEY_free);
    key->thumbprint = digest_sha256_base64url(key, bytes_of_text(json_to_text(scratch, required)));
    key->json = mem_adopt(key, TAKE(required), json_decref);
    return key;
}

struct jwk *jwk_from_pkey(TALLOC_CTX *ctx, EVP_PKEY *pkey, struct fault *fault)
{
    AUTO(json_t) *json = jwk_key_export(pkey);

    if (!json) {
        fault_set(fault, JWK_REJECTED, "key", "the key is neither RSA, EC nor Ed25519");
        return fault_cause_openssl(fault, "JWK export");
    }

    const struct shape *shape = shape_find(json, fault);
    if (!shape)
        return NULL;

    AUTO(json_t) *required = required_members(shape, json);
    return jwk_from_json(ctx, required, true, fault);
}

char *jwk_to_pem(TALLOC_CTX *ctx, const struct jwk *jwk)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *body = base64_from_bytes(scratch, bytes_of_text(json_to_text(scratch, jwk->json)));
    char *pem = mem_text(ctx, PEM_BEGIN "\n");

    for (size_t at = 0; at < strlen(body); at += PEM_COLUMNS)
        pem = mem_append(pem, "%.*s\n", PEM_COLUMNS, body + at);
    return mem_append(pem, PEM_END "\n");
}

/* The JSON inside, or size 0. */
static struct bytes pem_body(TALLOC_CTX *ctx, const char *pem)
{
    struct bytes body = {0};

    if (!text_starts(pem, PEM_BEGIN))
        return body;

    const char *first = pem + strlen(PEM_BEGIN);
    const char *end = strstr(first, PEM_END);
    if (!end || strspn(first, WHITE_SPACE) == 0)
        return body;

    const char *after = end + strlen(PEM_END);
    const char *text = text_trim(ctx, mem_text_n(ctx, first, (size_t)(end - first)));
    if (after[strspn(after, WHITE_SPACE)] != '\0' ||
        !base64_to_bytes(ctx, text, strlen(text), &body))
        return (struct bytes){0};
    return body;
}

/* What we stored ourselves does not read: whoever asked is not to blame. */
static void *stored_key_unreadable(struct fault *fault, const char *why)
{
    fault_set(fault, INTERNAL, "jwk_pem", "the stored account key cannot be read");
    return fault_cause(fault, "%s", why);
}

struct jwk *jwk_from_pem(TALLOC_CTX *ctx, const char *pem, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault inner = {0};
    const struct bytes body = pem_body(scratch, pem);

    if (body.size == 0)
        return stored_key_unreadable(fault, "not an ACME ACCOUNT JWK in PEM");

    AUTO(json_t) *json = json_parse_object(body, JWK_REJECTED, "the stored JWK", &inner);
    struct jwk *key = json ? jwk_from_json(ctx, json, false, &inner) : NULL;
    if (!key)
        return stored_key_unreadable(fault, inner.detail);
    return key;
}
