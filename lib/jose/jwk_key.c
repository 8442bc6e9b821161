/* lib/jose/jwk_key.c: a JWK's numbers as OpenSSL's key (RFC 7518 section 6, RFC 8037 section 2);
 * pki/key_import.c makes it. */
#include "jose/jwk_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <string.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/key_import.h"

#include "core/banned.h"

#define OCTETS_MOST        66 /* a coordinate of P-521 */
#define POINT_UNCOMPRESSED 0x04

static const struct curve {
    enum jwk_kind kind;
    const char *crv;
    const char *group; /* OpenSSL's name */
    int bits;
    size_t octets; /* of a coordinate */
} curves[] = {
    {JWK_P256, "P-256", "prime256v1", 256, 32},
    {JWK_P384, "P-384", "secp384r1",  384, 48},
    {JWK_P521, "P-521", "secp521r1",  521, 66},
};

static struct bytes member(TALLOC_CTX *ctx, const json_t *members, const char *name)
{
    const char *text = json_text_at(members, name);
    struct bytes octets = {0};

    if (!text || !base64url_to_bytes(ctx, text, strlen(text), &octets))
        return (struct bytes){0};
    return octets;
}

static void set_member(json_t *members, const char *name, struct bytes octets)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    json_set_text(members, name, base64url_from_bytes(scratch, octets));
}

/* Coordinates not below the prime and points off the curve are refused. */
static EVP_PKEY *import_ec(const struct curve *curve, const json_t *members)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes x = member(scratch, members, "x");
    const struct bytes y = member(scratch, members, "y");
    uint8_t point[1 + 2 * OCTETS_MOST] = {POINT_UNCOMPRESSED};

    if (!x.data || !y.data || x.size != curve->octets || y.size != curve->octets)
        return NULL;
    memcpy(point + 1, x.data, x.size);
    memcpy(point + 1 + x.size, y.data, y.size);
    return key_from_point(curve->bits, (struct bytes){point, 1 + x.size + y.size});
}

/* jwk.c bounds both numbers. */
static EVP_PKEY *import_rsa(const json_t *members)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return key_from_rsa(member(scratch, members, "n"), member(scratch, members, "e"));
}

static EVP_PKEY *import_ed25519(const json_t *members)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return key_from_ed25519(member(scratch, members, "x"));
}

EVP_PKEY *jwk_key_import(enum jwk_kind kind, const json_t *members)
{
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (curves[i].kind == kind)
            return import_ec(&curves[i], members);
    return kind == JWK_RSA ? import_rsa(members) : import_ed25519(members);
}

/* In `octets` octets, or in as many as the number needs for 0. */
static bool export_number(const EVP_PKEY *pkey, const char *param, size_t octets, json_t *members,
                          const char *name)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(BIGNUM) *number = NULL;

    if (EVP_PKEY_get_bn_param(pkey, param, &number) != 1)
        return false;
    const size_t size = octets ? octets : (size_t)BN_num_bytes(number); /* not negative */
    uint8_t *digits = mem_array(scratch, uint8_t, size);
    if (BN_bn2binpad(number, digits, (int)size) < 0) /* some hundred octets */
        return false;
    set_member(members, name, (struct bytes){digits, size});
    return true;
}

static bool export_ec(const EVP_PKEY *pkey, json_t *members)
{
    char group[64] = "";

    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++) {
        if (!text_equal(curves[i].group, group))
            continue;
        json_set_text(members, "crv", curves[i].crv);
        json_set_text(members, "kty", "EC");
        return export_number(pkey, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].octets, members, "x") &&
               export_number(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].octets, members, "y");
    }
    return false;
}

static bool export_rsa(const EVP_PKEY *pkey, json_t *members)
{
    if (!export_number(pkey, OSSL_PKEY_PARAM_RSA_E, 0, members, "e"))
        return false;
    json_set_text(members, "kty", "RSA");
    return export_number(pkey, OSSL_PKEY_PARAM_RSA_N, 0, members, "n");
}

static bool export_ed25519(const EVP_PKEY *pkey, json_t *members)
{
    uint8_t x[32];
    size_t size = sizeof(x);

    if (EVP_PKEY_get_raw_public_key(pkey, x, &size) != 1 || size != sizeof(x))
        return false;
    json_set_text(members, "crv", "Ed25519");
    json_set_text(members, "kty", "OKP");
    set_member(members, "x", BYTES_OF(x));
    return true;
}

json_t *jwk_key_export(const EVP_PKEY *pkey)
{
    AUTO(json_t) *members = json_object();
    bool done = false;

    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        done = export_rsa(pkey, members);
        break;
    case EVP_PKEY_EC:
        done = export_ec(pkey, members);
        break;
    case EVP_PKEY_ED25519:
        done = export_ed25519(pkey, members);
        break;
    default:
        break;
    }
    return done ? TAKE(members) : NULL;
}
