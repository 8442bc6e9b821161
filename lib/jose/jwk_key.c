/* lib/jose/jwk_key.c: a JWK's numbers as OpenSSL's key (RFC 7518 section 6, RFC 8037 section 2).
 *
 * Making a curve costs OpenSSL 3.0 more than verifying a signature on it; so each process makes
 * each curve once, and a key is a copy of that with a point of its own. */
#include "jose/jwk_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <string.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

AUTO_DEFINE(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
AUTO_DEFINE(OSSL_PARAM, OSSL_PARAM_free)

#define OCTETS_MOST        66 /* a coordinate of P-521 */
#define POINT_UNCOMPRESSED 0x04

static const struct curve {
    enum jwk_kind kind;
    const char *crv;
    const char *group; /* OpenSSL's name */
    size_t octets;     /* of a coordinate */
} curves[] = {
    {JWK_P256, "P-256", "prime256v1", 32},
    {JWK_P384, "P-384", "secp384r1",  48},
    {JWK_P521, "P-521", "secp521r1",  66},
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

static EVP_PKEY *from_params(const char *type, int selection, OSSL_PARAM *params)
{
    AUTO(EVP_PKEY_CTX) *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (!ctx)
        mem_exhausted(0, "EVP_PKEY_CTX");
    if (EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1)
        return NULL;
    return pkey;
}

/* A key without a point, made at first use and kept for the life of the process. */
static const EVP_PKEY *curve_template(const struct curve *curve)
{
    static EVP_PKEY *templates[ARRAY_SIZE(curves)];
    EVP_PKEY **slot = &templates[curve - curves];
    char group[16];

    if (*slot)
        return *slot;
    (void)snprintf(group, sizeof(group), "%s", curve->group);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_end(),
    };
    *slot = from_params("EC", EVP_PKEY_KEY_PARAMETERS, params);
    return *slot;
}

/* OpenSSL refuses coordinates that are not below the prime and points off the curve (SEC 1 section
 * 2.3.4). */
static EVP_PKEY *import_ec(const struct curve *curve, const json_t *members)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes x = member(scratch, members, "x");
    const struct bytes y = member(scratch, members, "y");
    const EVP_PKEY *template = curve_template(curve);
    AUTO(EVP_PKEY) *pkey = EVP_PKEY_new();
    uint8_t point[1 + 2 * OCTETS_MOST] = {POINT_UNCOMPRESSED};

    if (!pkey)
        mem_exhausted(0, "EVP_PKEY");
    if (!template || x.size != curve->octets || y.size != curve->octets)
        return NULL;
    memcpy(point + 1, x.data, x.size);
    memcpy(point + 1 + x.size, y.data, y.size);
    if (EVP_PKEY_copy_parameters(pkey, template) != 1 ||
        EVP_PKEY_set1_encoded_public_key(pkey, point, 1 + x.size + y.size) != 1)
        return NULL;
    return TAKE(pkey);
}

static EVP_PKEY *import_rsa(const json_t *members)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes n = member(scratch, members, "n");
    const struct bytes e = member(scratch, members, "e");
    AUTO(BIGNUM) *modulus = BN_bin2bn(n.data, (int)n.size, NULL); /* jwk.c bounds both */
    AUTO(BIGNUM) *exponent = BN_bin2bn(e.data, (int)e.size, NULL);
    AUTO(OSSL_PARAM_BLD) *build = OSSL_PARAM_BLD_new();

    if (!modulus || !exponent || !build ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) != 1)
        mem_exhausted(n.size, "RSA key");
    AUTO(OSSL_PARAM) *params = OSSL_PARAM_BLD_to_param(build);
    if (!params)
        mem_exhausted(n.size, "RSA key");
    return from_params("RSA", EVP_PKEY_PUBLIC_KEY, params);
}

static EVP_PKEY *import_ed25519(const json_t *members)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes x = member(scratch, members, "x");

    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.data, x.size);
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
