/* lib/lifecycle/discard.h: signatures that nobody keeps, since their commit failed or lost a race:
 * entered as revoked as soon as the database takes it (00 decision 64). What this process cannot
 * enter before it ends, certctl-job-signer-reconcile finds in the signer's log. */
#ifndef CERTCTL_LIFECYCLE_DISCARD_H
#define CERTCTL_LIFECYCLE_DISCARD_H

#include <stddef.h>
#include <stdint.h>

#include "db/db.h"

struct discard {
    const char *issuer_id;
    const char *ca_id;
    const char *serial;
    const char *spki_sha256;
    int64_t not_after;
    const char *actor;
    const char *request_id;
    const char *why;
};

/* Never fails: what cannot be entered now is owed, and tried again by discard_owed. A certificate
 * whose commit came through after all is left alone, also when the server is still at it. */
void discard_signature(struct db *db, const struct discard *discard);

/* Between requests: tries what is owed, at most once a second, until one fails. */
void discard_owed(struct db *db);
/* For tests: how many are owed by this process. */
size_t discard_count(void);

#endif
