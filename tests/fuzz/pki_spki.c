/* tests/fuzz/pki_spki.c: keys as the signer walks them; OpenSSL must size each of them alike. */
#include <openssl/x509.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/key.h"
#include "pki/key_import.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const uint8_t *at = mem_copy(scratch, data, size);
    struct key_facts walked;
    struct fault fault = {0};

    if (!key_facts_from_spki((struct bytes){at, size}, &walked, &fault))
        return 0;
    AUTO(EVP_PKEY) *made = key_from_spki((struct bytes){at, size}, &walked, &fault);
    AUTO(EVP_PKEY) *key = d2i_PUBKEY(NULL, &at, (long)size);
    if (key && EVP_PKEY_get_bits(key) != walked.bits)
        abort();
    if (!key != !made || (key && EVP_PKEY_eq(key, made) != 1))
        abort();
    return 0;
}
