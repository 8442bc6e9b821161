/* tests/fuzz/net_tlsalpn.c: the certificate of a stranger who wants to prove a name or an address;
 * what is good holds the digest, and is good for no other identifier and no other proof. */
#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "net/tlsalpn01.h"

#include "core/banned.h"

#define PROOF "token.thumbprint"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const identifiers[] = {"a.test", "192.0.2.1", "2001:db8::1"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes der = bytes_copy(scratch, (struct bytes){data, size});
    uint8_t digest[DIGEST_SHA256_SIZE];
    struct fault fault = {0};
    unsigned good = 0;

    digest_sha256(bytes_of_text(PROOF), digest);
    for (size_t i = 0; i < ARRAY_SIZE(identifiers); i++) {
        if (!tlsalpn01_certificate_check(der, identifiers[i], PROOF, &fault))
            continue;
        good++;
        if (!memmem(data, size, digest, sizeof(digest)) ||
            tlsalpn01_certificate_check(der, identifiers[i], PROOF "x", &fault))
            mem_exhausted(size, "a proof without the digest");
    }
    if (good > 1)
        mem_exhausted(size, "a proof of two identifiers");
    return 0;
}
