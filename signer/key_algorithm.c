/* signer/key_algorithm.c: the table of CA key algorithms. 04 section 4.1. */
#include "signer/key_algorithm.h"

#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/text.h"

#include "core/banned.h"

static const struct key_algorithm algorithms[] = {
    {"RSA-2048",   "RSA", NULL,    NULL,                  2048, SIGNATURE_RSA_SHA256  },
    {"RSA-3072",   "RSA", NULL,    NULL,                  3072, SIGNATURE_RSA_SHA256  },
    {"RSA-4096",   "RSA", NULL,    NULL,                  4096, SIGNATURE_RSA_SHA256  },
    {"ECDSA-P256", "EC",  "P-256", "1.2.840.10045.3.1.7", 256,  SIGNATURE_ECDSA_SHA256},
    {"ECDSA-P384", "EC",  "P-384", "1.3.132.0.34",        384,  SIGNATURE_ECDSA_SHA384},
};

static bool algorithm_matches(const struct key_algorithm *algorithm, const EVP_PKEY *key)
{
    char group[32] = "";

    if (EVP_PKEY_is_a(key, algorithm->type) != 1 || EVP_PKEY_get_bits(key) != algorithm->bits)
        return false;
    if (!algorithm->curve)
        return true;
    /* P-256 is the only 256-bit curve that we sign with, not the only one there is. */
    return EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           EC_curve_nist2nid(algorithm->curve) == OBJ_sn2nid(group);
}

const struct key_algorithm *key_algorithm_of(const EVP_PKEY *key, struct fault *fault)
{
    char group[32] = "unknown";

    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithm_matches(&algorithms[i], key))
            return &algorithms[i];
    if (EVP_PKEY_is_a(key, "RSA") == 1)
        return fault_set(fault, SIGNER_KEY, "key_ref",
                         "signer: unsupported key algorithm: RSA modulus %d bits (supported: 2048, "
                         "3072, 4096)",
                         EVP_PKEY_get_bits(key));
    if (EVP_PKEY_is_a(key, "EC") == 1) {
        (void)EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
        return fault_set(fault, SIGNER_KEY, "key_ref",
                         "signer: unsupported key algorithm: curve %s (supported: P-256, P-384)",
                         group);
    }
    return fault_set(fault, SIGNER_KEY, "key_ref", "signer: unsupported key algorithm: %s",
                     EVP_PKEY_get0_type_name(key));
}

const struct key_algorithm *key_algorithm_named(const char *name, struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (text_equal(algorithms[i].name, name))
            return &algorithms[i];
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return fault_set(fault, SIGNER_MESSAGE, "algorithm",
                     "signer: unsupported key algorithm: %s (supported: RSA-2048, RSA-3072, "
                     "RSA-4096, ECDSA-P256, ECDSA-P384)",
                     text_quote(scratch, name));
}

const EVP_MD *key_algorithm_digest(enum signature_algorithm signature)
{
    switch (signature) {
    case SIGNATURE_RSA_SHA256:
    case SIGNATURE_ECDSA_SHA256:
        return digest_algorithm_sha256();
    case SIGNATURE_ECDSA_SHA384:
        return digest_algorithm_sha384();
    }
    return NULL;
}

struct bytes key_algorithm_spki(TALLOC_CTX *ctx, const EVP_PKEY *key)
{
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_PUBKEY(key, &der);

    return size > 0 ? bytes_copy(ctx, (struct bytes){der, size}) : (struct bytes){0};
}
