/* tests/bench/samples.h: durations, and what is said of them. */
#ifndef CERTCTL_BENCH_SAMPLES_H
#define CERTCTL_BENCH_SAMPLES_H

#include <jansson.h>
#include <stdint.h>
#include <talloc.h>

struct samples {
    uint32_t *us; /* on the ctx of the first add */
    size_t count;
    size_t room;
};

void samples_add(TALLOC_CTX *ctx, struct samples *samples, int64_t us);
void samples_join(TALLOC_CTX *ctx, struct samples *samples, const struct samples *more);
/* {"n", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms"}; sorts. */
json_t *samples_json(struct samples *samples);

#endif
