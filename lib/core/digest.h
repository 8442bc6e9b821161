/* lib/core/digest.h: SHA-256 and HMAC-SHA-256, with the algorithms fetched once per process
 * (OpenSSL 3.0 fetching by name costs more than the digest). They abort where OpenSSL fails: a
 * process whose SHA-256 does not work must not go on. */
#ifndef CERTCTL_CORE_DIGEST_H
#define CERTCTL_CORE_DIGEST_H

#include <openssl/evp.h>

#include "core/bytes.h"

#define DIGEST_SHA256_SIZE 32

void digest_sha256(struct bytes data, uint8_t ret_digest[DIGEST_SHA256_SIZE]);
/* Lower-case hex on ctx. */
char *digest_sha256_hex(TALLOC_CTX *ctx, struct bytes data);
/* base64url without padding on ctx. */
char *digest_sha256_base64url(TALLOC_CTX *ctx, struct bytes data);
void digest_hmac_sha256(struct bytes key, struct bytes data, uint8_t ret_mac[DIGEST_SHA256_SIZE]);
/* The process-wide fetched algorithms, for callers that sign or verify. */
const EVP_MD *digest_algorithm_sha256(void);
const EVP_MD *digest_algorithm_sha384(void);
const EVP_MD *digest_algorithm_sha512(void);

/* From RAND_priv_bytes, up to 64 bytes out of the thread's own stock, which a fork empties
 * in the child and which forgets what it gave; ends the process where the source fails, never a
 * weaker one. */
void random_bytes(uint8_t *ret_bytes, size_t size);

#endif
