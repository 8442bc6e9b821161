/* lib/auth/key.h: API keys as texts (06 section 3.1).
 *
 * A key that we mint is "cck_", 43 base64url characters of 32 random bytes, and 6 base62 digits of
 * the CRC-32 of what precedes: a scanner finds leaked keys by the prefix and drops false hits by
 * the checksum. Keys that others made are opaque. Only SHA-256 digests are ever stored. */
#ifndef CERTCTL_AUTH_KEY_H
#define CERTCTL_AUTH_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/digest.h"

#define API_KEY_LENGTH        53
#define API_KEY_PREFIX_LENGTH 12 /* what may be shown of it */

char *api_key_new(TALLOC_CTX *ctx);
/* Of our form, with the right checksum. */
bool api_key_minted(const char *key);
void api_key_digest(const char *key, uint8_t ret_digest[DIGEST_SHA256_SIZE]);

#endif
