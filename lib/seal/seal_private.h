/* lib/seal/seal_private.h: what the files of this room share. */
#ifndef CERTCTL_SEAL_PRIVATE_H
#define CERTCTL_SEAL_PRIVATE_H

#include "seal/seal.h"

#define SEAL_ROUNDS     600000U
#define SEAL_ROUNDS_OLD 100000U
#define SEAL_KEY_SIZE   32
#define SEAL_KEYS_MAX   256

/* PBKDF2-HMAC-SHA256 of the passphrase, remembered by passphrase, rounds and salt; lives until
 * SEAL_KEYS_MAX others were derived. NULL: OpenSSL failed. */
const uint8_t *seal_key(const char *passphrase, unsigned rounds, struct bytes salt);

/* Zeroed. Ends the process when there is no memory. */
struct secret *secret_empty(TALLOC_CTX *ctx, size_t size);
/* From the locked heap, where there is one that has room. */
uint8_t *secret_memory(size_t size);

#endif
