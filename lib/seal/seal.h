/* lib/seal/seal.h: secrets at rest (04 section 15): AES-256-GCM under a key that PBKDF2 makes of
 * the passphrase.
 *
 * A process opens a blob once and keeps what it held: a first open costs some 0.1 s of CPU, since
 * 600,000 rounds are done for its salt. Derived keys are remembered by salt, so that the next blob
 * of that salt costs microseconds. */
#ifndef CERTCTL_SEAL_SEAL_H
#define CERTCTL_SEAL_SEAL_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/settings.h"
#include "db/db.h"

#define SEAL_PASSPHRASE_LEAST 32 /* bytes; shorter ones are refused where settings are read */

/* What opens: the current one, then that of before a rotation. NULL: not set. Borrowed. */
struct seal_passphrases {
    const char *current;
    const char *previous;
};

struct seal_passphrases seal_passphrases_of(const struct settings *settings);

/* Octets in memory that is locked and in no core dump where the system allows it; cleansed when the
 * talloc context that they hang on goes. */
struct secret {
    uint8_t *data;
    size_t size;
};

struct secret *secret_new(TALLOC_CTX *ctx, struct bytes from);

/* A v3 blob on ctx, under the current passphrase and a salt of its own. NULL with SEAL_KEY_MISSING
 * where no passphrase is set; nothing else of the caller's can go wrong. */
struct bytes *seal_write(TALLOC_CTX *ctx, const struct seal_passphrases *passphrases,
                         struct bytes plain, struct fault *fault);

/* Opens v3, v2 and v1, under the current passphrase, then the previous one. NULL: SEAL_KEY_MISSING,
 * or SEAL_UNREADABLE, which does not say which version or passphrase failed. */
struct secret *seal_open(TALLOC_CTX *ctx, const struct seal_passphrases *passphrases,
                         struct bytes blob, struct fault *fault);

/* 1, 2 or 3: as what seal_open would try the blob first. A v1 blob that happens to begin like
 * another counts as that one. */
unsigned seal_version(struct bytes blob);

/* Whether the blob is what seal_write makes under the current passphrase: nothing to re-seal. False
 * where none is set. */
bool seal_is_current(const struct seal_passphrases *passphrases, struct bytes blob);

/* How many keys this process has derived: tests see by it what a cache has saved. */
size_t seal_derivations(void);

/* The rule of start-up: false with SEAL_KEY_MISSING when no passphrase is set and the database has
 * a connector's secret. It asks, over a connection of its own as `role`, only where none is set; a
 * database that does not answer is no refusal, since then nothing is known. */
bool seal_start_check(const struct settings *settings, const char *role, struct fault *fault);
/* The same over a connection that is open already. */
bool seal_start_check_on(struct db *db, const struct settings *settings, struct fault *fault);

#endif
