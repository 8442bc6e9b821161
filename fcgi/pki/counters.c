/* fcgi/pki/counters.c: see counters.h. */
#include "counters.h"

#include <stddef.h>

#include "metric/metric.h"

#include "core/banned.h"

static const char *const labels[COUNTERS] = {
    [COUNT_REQUEST_GET] = "request_get",
    [COUNT_REQUEST_POST] = "request_post",
    [COUNT_REQUEST_SUCCESS] = "request_success",
    [COUNT_REQUEST_INVALID] = "request_invalid",
    [COUNT_ISSUER_NOT_FOUND] = "issuer_not_found",
    [COUNT_CERT_NOT_FOUND] = "cert_not_found",
    [COUNT_SIGNING_FAILED] = "signing_failed",
    [COUNT_NONCE_ECHOED] = "nonce_echoed",
    [COUNT_NONCE_MALFORMED] = "nonce_malformed",
    [COUNT_RATE_LIMITED] = "rate_limited",
    [COUNT_CACHE_HIT] = "cache_hit",
    [COUNT_CACHE_MISS] = "cache_miss",
};

void counters_hand_over(struct counters *counters)
{
    for (size_t i = 0; i < COUNTERS; i++)
        metric_add(METRIC_OCSP, labels[i], counters->counts[i]);
    *counters = (struct counters){0};
}
