/* signer/key_drivers.c: the one list of key drivers, and what is common to them. 04 section 4.1. */
#include "signer/key_driver.h"

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "signer/key_algorithm.h"
#include "signer/safe_file.h"

#include "core/banned.h"

static const struct key_driver *const drivers[] = {&key_driver_file, &key_driver_pkcs11};

const struct key_driver *key_driver_for(const char *reference, struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (drivers[i]->owns(reference))
            return drivers[i];
    return fault_set(fault, SIGNER_MESSAGE, "key_ref", "unknown key driver reference");
}

const struct key_driver *key_driver_named(const char *name, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (!name || text_equal(drivers[i]->name, name))
            return drivers[i];
    return fault_set(fault, SIGNER_MESSAGE, "driver", "unknown key driver %s",
                     text_quote(scratch, name));
}

void key_drivers_close(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (drivers[i]->close)
            drivers[i]->close();
}

bool key_forget_beside(const struct key *key, struct fault *fault)
{
    static const char *const endings[] = {".facts", ".rate", ".state"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *slash = strrchr(key->beside, '/');

    for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
        if (!safe_file_remove(key->beside, endings[i], fault))
            return false;
    return safe_directory_flush(mem_text_n(scratch, key->beside, slash - key->beside), fault);
}

/* A key whose halves do not belong together, or a token that answers nonsense, is found before a
 * certificate with a bad signature has left. */
static bool prove(struct key *key, struct bytes tbs, struct bytes signature, struct fault *fault)
{
    const uint8_t *at = key->spki.data;
    AUTO(EVP_PKEY) *public_key = d2i_PUBKEY(NULL, &at, (long)key->spki.size);
    AUTO(EVP_MD_CTX) *verify = EVP_MD_CTX_new();

    if (!public_key || !verify ||
        EVP_DigestVerifyInit(verify, NULL, key_algorithm_digest(key->signature), NULL,
                             public_key) != 1 ||
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
