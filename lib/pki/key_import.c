/* lib/pki/key_import.c: see key_import.h (RFC 3279, 5480, 8410 for what stands inside an SPKI).
 *
 * Making a curve costs OpenSSL 3.0 more than verifying a signature on it; so each process makes
 * each curve once, and a key is a copy of that with a point of its own. */
#include "pki/key_import.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdio.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/der.h"

#include "core/banned.h"

AUTO_DEFINE(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
AUTO_DEFINE(OSSL_PARAM, OSSL_PARAM_free)

static const struct curve {
    int bits;
    const char *group; /* OpenSSL's name */
} curves[] = {
    {256, "prime256v1"},
    {384, "secp384r1" },
    {521, "secp521r1" },
};

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

static EVP_PKEY *from_point(const struct curve *curve, struct bytes point)
{
    const EVP_PKEY *template = curve_template(curve);
    AUTO(EVP_PKEY) *pkey = EVP_PKEY_new();

    if (!pkey)
        mem_exhausted(0, "EVP_PKEY");
    if (!template || EVP_PKEY_copy_parameters(pkey, template) != 1 ||
        EVP_PKEY_set1_encoded_public_key(pkey, point.data, point.size) != 1)
        return NULL;
    return TAKE(pkey);
}

EVP_PKEY *key_from_point(int curve_bits, struct bytes point)
{
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (curves[i].bits == curve_bits)
            return from_point(&curves[i], point);
    return NULL;
}

EVP_PKEY *key_from_rsa(struct bytes modulus, struct bytes exponent)
{
    AUTO(BIGNUM) *n = BN_bin2bn(modulus.data, (int)modulus.size, NULL); /* some KiB at most */
    AUTO(BIGNUM) *e = BN_bin2bn(exponent.data, (int)exponent.size, NULL);
    AUTO(OSSL_PARAM_BLD) *build = OSSL_PARAM_BLD_new();

    if (!n || !e || !build || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        mem_exhausted(modulus.size, "RSA key");
    AUTO(OSSL_PARAM) *params = OSSL_PARAM_BLD_to_param(build);
    if (!params)
        mem_exhausted(modulus.size, "RSA key");
    return from_params("RSA", EVP_PKEY_PUBLIC_KEY, params);
}

EVP_PKEY *key_from_ed25519(struct bytes octets)
{
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, octets.data, octets.size);
}

/* Of what key_facts_from_spki has accepted: the octets behind the count of unused bits. */
static bool key_octets(struct bytes spki, struct bytes *ret_octets)
{
    struct bytes inside;
    struct bytes bits;

    if (!der_read_tag(&spki, DER_SEQUENCE, &inside) || !der_read_tag(&inside, DER_SEQUENCE, NULL) ||
        !der_read_tag(&inside, DER_BIT_STRING, &bits) || bits.size < 2)
        return false;
    *ret_octets = (struct bytes){bits.data + 1, bits.size - 1};
    return true;
}

/* RFC 3279 section 2.3.1; the numbers are positive, so a leading zero octet changes nothing. */
static EVP_PKEY *from_rsa_octets(struct bytes octets)
{
    struct bytes modulus;
    struct bytes exponent;

    if (!der_read_tag(&octets, DER_SEQUENCE, &octets) ||
        !der_read_tag(&octets, DER_INTEGER, &modulus) ||
        !der_read_tag(&octets, DER_INTEGER, &exponent))
        return NULL;
    return key_from_rsa(modulus, exponent);
}

static EVP_PKEY *from_octets(const struct key_facts *facts, struct bytes octets)
{
    switch (facts->kind) {
    case KEY_RSA:
        return from_rsa_octets(octets);
    case KEY_ECDSA:
        return key_from_point(facts->bits, octets);
    case KEY_ED25519:
        return key_from_ed25519(octets);
    }
    return NULL;
}

EVP_PKEY *key_from_spki(struct bytes spki, struct key_facts *ret_facts, struct fault *fault)
{
    struct key_facts facts;
    struct bytes octets;

    if (!key_facts_from_spki(spki, &facts, fault))
        return NULL;
    EVP_PKEY *pkey = key_octets(spki, &octets) ? from_octets(&facts, octets) : NULL;
    if (!pkey) {
        fault_set(fault, CSR_KEY_REJECTED, "key", "public key cannot be decoded");
        return fault_cause_openssl(fault, "key_from_spki");
    }
    *ret_facts = facts;
    return pkey;
}
