/* tests/bench/samples.c: durations, and what is said of them. */
#include "tests/bench/samples.h"

#include <stdlib.h>

#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

void samples_add(TALLOC_CTX *ctx, struct samples *samples, int64_t us)
{
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 1024;
        samples->us = mem_resize(ctx, samples->us, uint32_t, samples->room);
    }
    samples->us[samples->count++] = (uint32_t)most(0, least(us, (int64_t)UINT32_MAX));
}

void samples_join(TALLOC_CTX *ctx, struct samples *samples, const struct samples *more)
{
    for (size_t i = 0; i < more->count; i++)
        samples_add(ctx, samples, more->us[i]);
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void set_ms(json_t *object, const char *name, double us)
{
    json_set_new(object, name, json_real((double)(int64_t)(us + 0.5) / 1000.0));
}

/* The smallest sample that at least so many of a thousand do not pass. */
static double quantile(const struct samples *samples, size_t thousandths)
{
    const size_t rank = (samples->count * thousandths + 999) / 1000;

    return samples->us[rank > 0 ? rank - 1 : 0];
}

json_t *samples_json(struct samples *samples)
{
    json_t *object = json_object();
    double sum = 0;

    json_set_integer(object, "n", (int64_t)samples->count);
    if (samples->count == 0)
        return object;
    qsort(samples->us, samples->count, sizeof(samples->us[0]), compare);
    for (size_t i = 0; i < samples->count; i++)
        sum += samples->us[i];
    set_ms(object, "mean_ms", sum / (double)samples->count);
    set_ms(object, "p50_ms", quantile(samples, 500));
    set_ms(object, "p90_ms", quantile(samples, 900));
    set_ms(object, "p99_ms", quantile(samples, 990));
    set_ms(object, "max_ms", samples->us[samples->count - 1]);
    return object;
}
