/* signer/key_drivers.c: the one list of key drivers, and what is common to them. 04 section 4.1. */
#include "signer/key_driver.h"

#include "core/auto.h"
#include "core/digest.h"

#include "core/banned.h"

static const struct key_driver *const drivers[] = {&key_driver_file};

const struct key_driver *key_driver_for(const char *reference, struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (drivers[i]->owns(reference))
            return drivers[i];
    return fault_set(fault, SIGNER_MESSAGE, "key_ref", "unknown key driver reference");
}

const struct key_driver *key_driver_default(void)
{
    return drivers[0];
}

static const EVP_MD *digest_of(enum signature_algorithm signature)
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

/* A key whose halves do not belong together, or a token that answers nonsense, is found before a
 * certificate with a bad signature has left. */
static bool prove(struct key *key, struct bytes tbs, struct bytes signature, struct fault *fault)
{
    const uint8_t *at = key->spki.data;
    AUTO(EVP_PKEY) *public_key = d2i_PUBKEY(NULL, &at, (long)key->spki.size);
    AUTO(EVP_MD_CTX) *verify = EVP_MD_CTX_new();

    if (!public_key || !verify ||
        EVP_DigestVerifyInit(verify, NULL, digest_of(key->signature), NULL, public_key) != 1 ||
        EVP_DigestVerify(verify, signature.data, signature.size, tbs.data, tbs.size) != 1) {
        fault_set(fault, SIGNER_KEY, "key_ref", "the key's own signature does not verify");
        return fault_cause_openssl(fault, key->reference);
    }
    key->proven = true;
    return true;
}

bool key_sign(TALLOC_CTX *ctx, struct key *key, struct bytes tbs, struct bytes *ret_signature,
              struct fault *fault)
{
    struct bytes signature;

    if (!key->driver->sign(ctx, key, tbs, &signature, fault))
        return false;
    if (!key->proven && !prove(key, tbs, signature, fault))
        return false;
    *ret_signature = signature;
    return true;
}
