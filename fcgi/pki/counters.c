/* fcgi/pki/counters.c: see counters.h. */
#include "counters.h"

#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

#define SHARDS 16

/* $1 labels, $2 counts, $3 shard. In order, so that two workers cannot deadlock. */
STATEMENT(ocsp_counters,
          "INSERT INTO metric_counters AS m (name, labels, shard, value) "
          "SELECT 'certctl_ocsp_counter_total', n.label, $3::smallint, n.count::double precision "
          "FROM unnest($1::text[], $2::text[]) AS n (label, count) ORDER BY n.label "
          "ON CONFLICT (name, labels, shard) DO UPDATE SET value = m.value + EXCLUDED.value");

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

void counters_flush(struct counters *counters, struct db *db, int64_t every_us)
{
    AUTO(TALLOC_CTX) *scratch = NULL;
    const int64_t now_us = clock_monotonic_us();
    struct text_list names = {0};
    struct text_list counts = {0};
    struct fault ignored = {0};

    if (now_us - counters->flushed_us < every_us)
        return;
    counters->flushed_us = now_us;
    scratch = talloc_new(NULL);
    for (size_t i = 0; i < COUNTERS; i++) {
        if (counters->counts[i] == 0)
            continue;
        text_list_add(scratch, &names, mem_printf(scratch, "label=\"%s\"", labels[i]));
        text_list_add(scratch, &counts,
                      mem_printf(scratch, "%lld", (long long)counters->counts[i]));
    }
    if (names.count > 0 && db_query(scratch, db, &ocsp_counters, &ignored, TEXTS(&names),
                                    TEXTS(&counts), INTEGER(getpid() % SHARDS)))
        *counters = (struct counters){.flushed_us = now_us};
}
