/* fcgi/pki/limit.h: how often one address may ask (06 section 12, 04 section 10.1).
 *
 * The bucket is the database's, and one for all workers. A worker takes tokens from it by the score
 * and hands them out itself, so that a limit of a thousand costs no round trip per request; it may
 * be exceeded by what the workers hold. */
#ifndef CERTCTL_FCGI_PKI_LIMIT_H
#define CERTCTL_FCGI_PKI_LIMIT_H

#include "db/db.h"

#define LIMIT_SLOTS 256

struct limit_slot {
    char address[48];
    bool refused;
    int64_t tokens;
    int64_t until_us; /* monotonic: all of this is void after it */
};

struct limit {
    struct limit_slot slots[LIMIT_SLOTS];
};

/* *ret_wait_s 0: allowed and counted; above: refused for so long. */
bool limit_take(struct limit *limit, struct db *db, const char *address, int64_t per_minute,
                int64_t *ret_wait_s, struct fault *fault);

#endif
