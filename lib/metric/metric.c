/* lib/metric/metric.c: see metric.h.
 *
 * One array holds a number for each series: of a counter one a value, of a histogram one a bound,
 * one for what is above them all, and one for the sum. */
#include "metric/metric.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/macro.h"
#include "core/memory.h"
#include "db/db.h"

#include "core/banned.h"

#define SHARDS       16
#define SLOTS_MAX    512
#define TRY_AGAIN_US INT64_C(60000000)

#ifndef CERTCTL_VERSION
#    define CERTCTL_VERSION "dev"
#endif

const struct metric_family metric_families[METRIC_COUNT] = {
#define COUNTER(id, name, label, values, help)                                                     \
    [METRIC_##id] = {name, METRIC_COUNTER, label, values, NULL, help},
#define HISTOGRAM(id, name, label, values, bounds, help)                                           \
    [METRIC_##id] = {name, METRIC_HISTOGRAM, label, values, bounds, help},
#define GAUGE(id, name, help) [METRIC_##id] = {name, METRIC_GAUGE, NULL, NULL, NULL, help},
#include "metric/families.def"
#undef COUNTER
#undef HISTOGRAM
#undef GAUGE
};

/* Of this process; a worker serves one request at a time. */
static struct {
    double slots[SLOTS_MAX];
    size_t first[METRIC_COUNT + 1];
    bool laid_out;
    bool pending;
    bool failed;
    int64_t since_us; /* when the oldest of it was counted, or last tried to write */
    const char *kind;
} counted;

/* $1 names, $2 labels, $3 values, $4 shard, $5 $6 $7 kind, host and version of this process, $8
 * pid. In order, so that two processes cannot deadlock; the commit need not be on disk. */
STATEMENT(
    metric_write,
    "WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS s), "
    "seen AS (INSERT INTO worker_registry AS w (host, pid, kind, version) "
    "SELECT $6::text, $8::integer, $5::text, $7::text FROM relaxed "
    "WHERE s = 'off' AND $5::text IS NOT NULL ON CONFLICT (host, pid) DO UPDATE "
    "SET last_seen = now(), version = EXCLUDED.version, kind = EXCLUDED.kind, "
    "started_at = CASE WHEN w.last_seen < now() - interval '1 hour' THEN now() "
    "ELSE w.started_at END) "
    "INSERT INTO metric_counters AS m (name, labels, shard, value) "
    "SELECT n.name, n.labels, $4::smallint, n.value::double precision "
    "FROM unnest($1::text[], $2::text[], $3::text[]) AS n (name, labels, value), relaxed "
    "WHERE s = 'off' ORDER BY n.name, n.labels "
    "ON CONFLICT (name, labels, shard) DO UPDATE SET value = m.value + EXCLUDED.value");

static size_t items_in(const char *list)
{
    size_t count = list ? 1 : 0;

    for (; list && *list; list++)
        count += *list == '|';
    return count;
}

static size_t parts_of(const struct metric_family *family)
{
    return family->kind == METRIC_HISTOGRAM ? items_in(family->bounds) + 2 : 1;
}

/* How many series a process may count in; none where the values are not ours to know. */
static size_t series_of(const struct metric_family *family)
{
    if (family->kind == METRIC_GAUGE || (family->label && !family->values))
        return 0;
    return family->label ? items_in(family->values) : 1;
}

static void lay_out(void)
{
    if (counted.laid_out)
        return;
    for (size_t i = 0; i < METRIC_COUNT; i++)
        counted.first[i + 1] = counted.first[i] +
                               series_of(&metric_families[i]) * parts_of(&metric_families[i]);
    if (counted.first[METRIC_COUNT] > SLOTS_MAX)
        abort(); /* the table of families outgrew its limit */
    counted.laid_out = true;
}

/* The place of a value in its list; the last one stands for what is not in it. */
static size_t place_of(const char *values, const char *value)
{
    const size_t length = value ? strlen(value) : 0;
    size_t place = 0;

    for (const char *at = values; at; place++) {
        const size_t width = strcspn(at, "|");
        if ((value && width == length && memcmp(at, value, length) == 0) || at[width] == '\0')
            return place;
        at += width + 1;
    }
    return 0;
}

static double *series(enum metric id, const char *value)
{
    const struct metric_family *family = &metric_families[id];

    lay_out();
    if (series_of(family) == 0)
        abort(); /* ours to get right; the first test meets it */
    if (!counted.pending)
        counted.since_us = clock_monotonic_us();
    counted.pending = true;
    return &counted.slots[counted.first[id] + place_of(family->values, value) * parts_of(family)];
}

void metric_add(enum metric id, const char *value, int64_t count)
{
    if (count != 0)
        *series(id, value) += (double)count; /* exact up to 2^53 */
}

void metric_observe(enum metric id, const char *value, double observed)
{
    const struct metric_family *family = &metric_families[id];
    double *slots = series(id, value);
    const char *at = family->bounds;
    size_t bucket = 0;

    for (; bucket < items_in(family->bounds); bucket++, at += strcspn(at, "|") + 1)
        if (observed <= strtod(at, NULL))
            break;
    slots[bucket] += 1;
    slots[parts_of(family) - 1] += observed;
}

bool metric_pending(void)
{
    return counted.pending;
}

void metric_worker_is(const char *kind)
{
    counted.kind = kind;
}

void metric_forget(void)
{
    const char *kind = counted.kind;

    memset(&counted, 0, sizeof(counted));
    counted.kind = kind;
}

/* Item `place` of a list. Child of ctx. */
static char *item(TALLOC_CTX *ctx, const char *list, size_t place)
{
    for (; place > 0; place--)
        list += strcspn(list, "|") + 1;
    return mem_text_n(ctx, list, strcspn(list, "|"));
}

struct batch {
    struct text_list names;
    struct text_list labels;
    struct text_list values;
};

static void batch_add(TALLOC_CTX *ctx, struct batch *batch, size_t id, size_t slot)
{
    const struct metric_family *family = &metric_families[id];
    const size_t parts = parts_of(family);
    const size_t part = slot % parts;
    const bool is_sum = parts > 1 && part == parts - 1;
    const bool is_bucket = parts > 1 && !is_sum;
    char *labels = mem_text(ctx, "");

    if (family->label)
        labels = mem_append(labels, "%s=\"%s\"", family->label,
                            item(ctx, family->values, slot / parts));
    if (is_bucket)
        labels = mem_append(labels, "%sle=\"%s\"", *labels ? "," : "",
                            part == parts - 2 ? "+Inf" : item(ctx, family->bounds, part));
    text_list_add(ctx, &batch->names,
                  mem_printf(ctx, "%s%s", family->name,
                             is_sum      ? "_sum"
                             : is_bucket ? "_bucket"
                                         : ""));
    text_list_add(ctx, &batch->labels, labels);
    text_list_add(ctx, &batch->values,
                  mem_printf(ctx, "%.17g", counted.slots[counted.first[id] + slot]));
}

static struct batch batch_of(TALLOC_CTX *ctx)
{
    struct batch batch = {0};

    for (size_t id = 0; id < METRIC_COUNT; id++)
        for (size_t slot = 0; slot < counted.first[id + 1] - counted.first[id]; slot++)
            if (counted.slots[counted.first[id] + slot] != 0)
                batch_add(ctx, &batch, id, slot);
    return batch;
}

static bool is_due(int64_t now_us, int64_t every_us)
{
    const int64_t wait_us = counted.failed && every_us > 0 ? TRY_AGAIN_US : every_us;

    return counted.pending && now_us - counted.since_us >= wait_us;
}

bool metric_flush(struct db *db, int64_t every_us)
{
    const int64_t now_us = clock_monotonic_us();
    struct fault ignored = {0}; /* counts are not worth a line each; who asks is told by false */
    char host[256] = "";

    if (!db || !is_due(now_us, every_us))
        return true;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct batch batch = batch_of(scratch);
    (void)gethostname(host, sizeof(host) - 1);
    counted.failed = !db_query(scratch, db, &metric_write, &ignored, TEXTS(&batch.names),
                               TEXTS(&batch.labels), TEXTS(&batch.values),
                               INTEGER(getpid() % SHARDS), TEXT(counted.kind), TEXT(host),
                               TEXT(CERTCTL_VERSION), INTEGER(getpid()));
    counted.since_us = now_us;
    if (counted.failed)
        return false;
    memset(counted.slots, 0, sizeof(counted.slots));
    counted.pending = false;
    return true;
}

int metric_pause_ms(int most_ms)
{
    const int64_t wait_us = counted.failed ? TRY_AGAIN_US : METRIC_FLUSH_US;
    const int64_t left_us = counted.since_us + wait_us - clock_monotonic_us();
    const int64_t left_ms = most(left_us / 1000 + 1, INT64_C(1));

    if (!counted.pending)
        return most_ms;
    return (int)(most_ms < 0 ? left_ms : least(left_ms, (int64_t)most_ms)); /* a minute at most */
}
