/* tests/fuzz/seal_open.c: a blob as somebody may have left it in the database. One salt for all, so
 * that no input costs 600,000 rounds. Without its last octet nothing opens that opened with it. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "seal/seal.h"

#include "core/banned.h"

#define SALT_AT   1
#define SALT_SIZE 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct seal_passphrases passphrases = {
        "correct horse battery staple, thirty-two and more",
        "the passphrase of before the rotation, also long"};
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    /* An exact block, so that reading one octet too far is seen. */
    uint8_t *copy = mem_copy(ctx, data, size);
    struct fault fault = {0};

    if (seal_version((struct bytes){copy, size}) != 1)
        for (size_t i = 0; i < SALT_SIZE; i++)
            copy[SALT_AT + i] = (uint8_t)i;
    const struct secret *secret = seal_open(ctx, &passphrases, (struct bytes){copy, size}, &fault);
    if (!secret && fault.reason != SEAL_UNREADABLE)
        abort();
    if (secret && (secret->size + 28 > size ||
                   seal_open(ctx, &passphrases, (struct bytes){copy, size - 1}, &fault)))
        abort();
    return 0;
}
