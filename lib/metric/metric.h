/* lib/metric/metric.h: counters of many processes (07 section 10.2).
 *
 * A process counts in memory and writes what it counted into metric_counters from time to time:
 * after an answer, when idle, at its end; never within a request or a business transaction. What a
 * killed process had not written yet is lost. The table of families (families.def) says what there
 * is, so that everything is shown from zero. */
#ifndef CERTCTL_METRIC_METRIC_H
#define CERTCTL_METRIC_METRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

#define METRIC_FLUSH_US INT64_C(5000000)

enum metric {
#define COUNTER(id, name, label, values, help)           METRIC_##id,
#define HISTOGRAM(id, name, label, values, bounds, help) METRIC_##id,
#define GAUGE(id, name, help)                            METRIC_##id,
#include "metric/families.def"
#undef COUNTER
#undef HISTOGRAM
#undef GAUGE
    METRIC_COUNT
};

enum metric_kind { METRIC_COUNTER, METRIC_HISTOGRAM, METRIC_GAUGE };

struct metric_family {
    const char *name;
    enum metric_kind kind;
    const char *label;
    const char *values; /* separated by '|' */
    const char *bounds; /* likewise */
    const char *help;
};

extern const struct metric_family metric_families[METRIC_COUNT];

/* Counts. `value` is that of the family's label, NULL where it has none. Costs a search in the
 * family's values; no memory, no lock. Aborts on a gauge, and on a counter whose values are not
 * listed: those are counted in SQL. */
void metric_add(enum metric id, const char *value, int64_t count);
/* One observation, in the unit of the family's bounds. */
void metric_observe(enum metric id, const char *value, double observed);

/* Whether something waits to be written. */
bool metric_pending(void);

/* Writes what was counted in one statement, where the oldest of it is `every_us` old (0: now). What
 * cannot be written is kept; after a failure a minute passes before the next try. False: it failed.
 * The db must not be in a transaction. */
bool metric_flush(struct db *db, int64_t every_us);

/* As `metric_flush`, when it is next worth calling: milliseconds, at most `most_ms`; -1 stands for
 * no limit. */
int metric_pause_ms(int most_ms);

/* The kind of this process, for the gauge of workers: each flush refreshes its row. */
void metric_worker_is(const char *kind);

/* Forgets what was counted, for tests. */
void metric_forget(void);

#endif
