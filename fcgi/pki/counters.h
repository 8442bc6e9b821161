/* fcgi/pki/counters.h: certctl_ocsp_counter_total (04 section 10.7), gathered here and flushed
 * after an answer (07 section 10.2). */
#ifndef CERTCTL_FCGI_PKI_COUNTERS_H
#define CERTCTL_FCGI_PKI_COUNTERS_H

#include "db/db.h"

enum counter {
    COUNT_REQUEST_GET,
    COUNT_REQUEST_POST,
    COUNT_REQUEST_SUCCESS,
    COUNT_REQUEST_INVALID,
    COUNT_ISSUER_NOT_FOUND,
    COUNT_CERT_NOT_FOUND,
    COUNT_SIGNING_FAILED,
    COUNT_NONCE_ECHOED,
    COUNT_NONCE_MALFORMED,
    COUNT_RATE_LIMITED,
    COUNT_CACHE_HIT,
    COUNT_CACHE_MISS,
    COUNTERS,
};

struct counters {
    int64_t counts[COUNTERS];
    int64_t flushed_us;
};

/* Writes what was counted since the last time, where that is `every_us` ago; what cannot be written
 * is kept for the next time. */
void counters_flush(struct counters *counters, struct db *db, int64_t every_us);

#endif
