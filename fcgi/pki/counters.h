/* fcgi/pki/counters.h: certctl_ocsp_counter_total (04 section 10.7), as an answer gathers it. */
#ifndef CERTCTL_FCGI_PKI_COUNTERS_H
#define CERTCTL_FCGI_PKI_COUNTERS_H

#include <stdint.h>

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
};

/* Hands what was counted over to the metrics of the process, which are flushed between requests. */
void counters_hand_over(struct counters *counters);

#endif
