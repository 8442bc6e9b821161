/* tests/unit/metric/metric.c: when a process writes what it counted. */
#include "metric/metric.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "core/auto.h"
#include "core/macro.h"
#include "core/memory.h"
#include "db/db.h"

#include "core/banned.h"

/* Nobody listens there. */
static struct db *dead_db(TALLOC_CTX *ctx)
{
    static const struct db_options options = {.url = "host=/nonexistent dbname=none",
                                              .role = "nobody",
                                              .application_name = "unit-metric",
                                              .statement_timeout_ms = 1000};

    return db_new(ctx, &options);
}

Test(metric, waits_only_for_what_was_counted, .init = metric_forget)
{
    cr_expect_not(metric_pending());
    cr_expect_eq(metric_pause_ms(-1), -1);
    cr_expect_eq(metric_pause_ms(60000), 60000);
    metric_add(METRIC_ACME_DIRECTORY, NULL, 0);
    cr_expect_not(metric_pending(), "nothing happened");

    metric_add(METRIC_ACME_DIRECTORY, NULL, 1);
    cr_expect(metric_pending());
    cr_expect_gt(metric_pause_ms(-1), 0);
    cr_expect_leq(metric_pause_ms(-1), 5001);
    cr_expect_eq(metric_pause_ms(1), 1);
    cr_expect(metric_flush(NULL, 0), "without a database nothing can be written");
    cr_expect(metric_pending());
}

Test(metric, keeps_what_could_not_be_written, .init = metric_forget)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = dead_db(scratch);

    metric_add(METRIC_ACME_PROBLEMS, "badNonce", 1);
    cr_expect(metric_flush(db, METRIC_FLUSH_US), "it is not five seconds old");
    cr_expect_not(metric_flush(db, 0));
    cr_expect(metric_pending());
    cr_expect_gt(metric_pause_ms(-1), 5001, "and is not tried again soon");
    cr_expect(metric_flush(db, METRIC_FLUSH_US), "nothing is tried meanwhile");
    cr_expect_not(metric_flush(db, 0), "unless the process ends");
}

Test(metric, takes_any_value_of_a_label, .init = metric_forget)
{
    static const char *const values[] = {"badNonce", "other", "of a stranger", "",
                                         NULL,       "bad",   "badNonce|other"};

    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        metric_add(METRIC_ACME_PROBLEMS, values[i], 1);
    metric_observe(METRIC_ACME_CHALLENGE_DURATION, "tls-alpn-01", 1e9);
    metric_observe(METRIC_ACME_CHALLENGE_DURATION, "none of ours", -1);
    cr_expect(metric_pending());
}

Test(metric, gauges_are_not_counted, .init = metric_forget, .signal = SIGABRT)
{
    metric_add(METRIC_ACME_ORDERS, NULL, 1);
}
