/* jobs/upkeep/rate_limit_gc.c: idle rate windows, old failures, expired replays (06 section 12). */
#include "core/auto.h"
#include "core/macro.h"
#include "metric/metric.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define BATCH           5000
#define FAILURE_KEPT_MS (INT64_C(24) * 3600 * 1000)

/* The age stands twice: a bucket that is taken while the DELETE waits for its row is looked at once
 * more, with the outer condition alone. $1 kept for so many ms, $2 batch. */
STATEMENT(
    rate_limit_buckets_expire,
    "DELETE FROM rate_limit_buckets WHERE bucket_key IN (SELECT bucket_key "
    "FROM rate_limit_buckets WHERE updated_at < now() - $1::bigint * interval '1 millisecond' "
    "LIMIT $2::bigint) AND updated_at < now() - $1::bigint * interval '1 millisecond'");
STATEMENT(rate_limit_buckets_idle,
          "SELECT count(*) AS idle FROM rate_limit_buckets "
          "WHERE updated_at < now() - $1::bigint * interval '1 millisecond'");

STATEMENT(login_failures_expire,
          "DELETE FROM login_failures WHERE bucket_key IN (SELECT bucket_key "
          "FROM login_failures WHERE updated_at < now() - $1::bigint * interval '1 millisecond' "
          "LIMIT $2::bigint) AND updated_at < now() - $1::bigint * interval '1 millisecond'");
STATEMENT(login_failures_idle, "SELECT count(*) AS idle FROM login_failures "
                               "WHERE updated_at < now() - $1::bigint * interval '1 millisecond'");

/* $1 is 0: a replay row leaves at its expiry, never before. */
STATEMENT(replay_guard_expire,
          "DELETE FROM replay_guard WHERE (scope, key) IN (SELECT scope, key "
          "FROM replay_guard WHERE expires_at < now() - $1::bigint * interval '1 millisecond' "
          "LIMIT $2::bigint)");
STATEMENT(replay_guard_idle, "SELECT count(*) AS idle FROM replay_guard "
                             "WHERE expires_at < now() - $1::bigint * interval '1 millisecond'");

struct sweep {
    const char *what;
    const struct statement *expire;
    const struct statement *idle;
    int64_t kept_ms;
};

/* Batches, each its own transaction, until one is not full. */
static bool sweep_table(struct job_run *run, const struct sweep *sweep, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t batch = job_batch(run, BATCH);
    int64_t gone = batch;

    if (run->dry_run) {
        struct rows *rows = db_query(scratch, run->db, sweep->idle, fault, INTEGER(sweep->kept_ms));
        if (rows)
            job_would("delete", sweep->what, row_integer(rows, 0, "idle"));
        return rows != NULL;
    }
    while (gone == batch && !job_should_stop(run)) {
        struct rows *rows = db_query(scratch, run->db, sweep->expire, fault,
                                     INTEGER(sweep->kept_ms), INTEGER(batch));
        if (!rows)
            return false;
        gone = rows->affected;
        run->items_ok += gone;
        if (sweep->expire == &replay_guard_expire)
            metric_add(METRIC_ACME_GC_NONCES, NULL, gone);
        talloc_free(rows);
        if (run->limit > 0)
            break;
    }
    return true;
}

static bool collect(struct job_run *run, struct fault *fault)
{
    const struct sweep sweeps[] = {
        {"rate_limit_buckets", &rate_limit_buckets_expire, &rate_limit_buckets_idle,
         run->settings->rate_limit_bucket_ttl_ms                                                    },
        {"login_failures",     &login_failures_expire,     &login_failures_idle,     FAILURE_KEPT_MS},
        {"replay_guard",       &replay_guard_expire,       &replay_guard_idle,       0              },
    };
    bool good = true;

    /* One table that cannot be swept does not keep the others from it; the last fault stands. */
    for (size_t i = 0; i < ARRAY_SIZE(sweeps); i++)
        good &= sweep_table(run, &sweeps[i], fault);
    return good;
}

static const struct job rate_limit_gc = {
    .name = "rate-limit-gc",
    .interval_setting = AT(settings, rate_limit_janitor_interval_ms),
    .seeds_due_later = true,
    .limit_s = 60,
    .run = collect,
};

int main(int argc, char **argv)
{
    return job_main(&rate_limit_gc, argc, argv);
}
