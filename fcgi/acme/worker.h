/* fcgi/acme/worker.h: what a worker keeps over requests: caches, each fact re-checked in SQL where
 * it matters. A worker may die at any instant and nobody misses them. */
#ifndef CERTCTL_FCGI_ACME_WORKER_H
#define CERTCTL_FCGI_ACME_WORKER_H

#include "fcgi/acme/acme.h"
#include "net/guard.h"
#include "seal/seal.h"

/* So many profiles are remembered; the oldest goes. */
#define ACME_PROFILES_MAX 16

struct acme_nonce_key {
    uint8_t id;
    struct bytes sealed;
    struct secret *secret; /* NULL until a nonce needs it */
};

struct acme_worker {
    struct acme_nonce_key nonce_keys[2]; /* the newest first */
    size_t nonce_key_count;
    TALLOC_CTX *nonce_keys_owner; /* of what the keys point to */
    int64_t nonce_keys_read_us;
    struct fault nonce_fault; /* why there is no key, or none that opens */
    struct acme_profile *profiles[ACME_PROFILES_MAX];
    size_t profile_next;
    struct guard *guard; /* no cache: the table of addresses, as the settings have it */
};

#endif
