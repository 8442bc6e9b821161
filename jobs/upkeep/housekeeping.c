/* jobs/upkeep/housekeeping.c: partitions ahead, retention behind (07 section 2, 05 section 5.8). */
#include "core/auto.h"
#include "core/macro.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define BATCH               5000
#define HEALTH_HISTORY_KEPT "720 hours"

STATEMENT(housekeeping_partitions_make, "SELECT partitions_ensure() AS items");
STATEMENT(housekeeping_partitions_drop,
          "SELECT partitions_drop_expired(interval '" HEALTH_HISTORY_KEPT "') AS items");

/* expires_at is 24 h after the request (05 section 2.10). $1 batch. */
STATEMENT(housekeeping_idempotency,
          "DELETE FROM api_idempotency WHERE (actor, key) IN (SELECT actor, key "
          "FROM api_idempotency WHERE expires_at < now() LIMIT $1::bigint)");
STATEMENT(housekeeping_idempotency_old,
          "SELECT count(*) AS items FROM api_idempotency WHERE expires_at < now()");

/* $1 batch. */
STATEMENT(housekeeping_runs,
          "DELETE FROM scheduler_runs WHERE id IN (SELECT id FROM scheduler_runs "
          "WHERE started_at < now() - interval '7 days' LIMIT $1::bigint)");
STATEMENT(housekeeping_runs_old, "SELECT count(*) AS items FROM scheduler_runs "
                                 "WHERE started_at < now() - interval '7 days'");

/* $1 batch. */
STATEMENT(housekeeping_invalidations,
          "DELETE FROM ocsp_invalidations WHERE id IN (SELECT id FROM ocsp_invalidations "
          "WHERE created_at < now() - interval '7 days' LIMIT $1::bigint)");
STATEMENT(housekeeping_invalidations_old, "SELECT count(*) AS items FROM ocsp_invalidations "
                                          "WHERE created_at < now() - interval '7 days'");

/* Of processes that ended long ago. $1 batch. */
STATEMENT(housekeeping_workers,
          "DELETE FROM worker_registry WHERE (host, pid) IN (SELECT host, pid FROM worker_registry "
          "WHERE last_seen < now() - interval '1 day' LIMIT $1::bigint)");
STATEMENT(housekeeping_workers_old, "SELECT count(*) AS items FROM worker_registry "
                                    "WHERE last_seen < now() - interval '1 day'");

/* The number in column "items" of a statement without parameters; -1 when it failed. */
static int64_t count_of(struct job_run *run, const struct statement *statement, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query_params(scratch, run->db, statement, fault, NULL, 0);

    return rows ? row_integer(rows, 0, "items") : -1;
}

static bool call(struct job_run *run, const struct statement *statement, struct fault *fault)
{
    const int64_t items = count_of(run, statement, fault);

    if (items < 0)
        return false;
    run->items_ok += items;
    return true;
}

static bool delete_old(struct job_run *run, const struct statement *statement, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t batch = job_batch(run, BATCH);
    int64_t gone = batch;

    while (gone == batch && !job_should_stop(run)) {
        struct rows *rows = db_query(scratch, run->db, statement, fault, INTEGER(batch));
        if (!rows)
            return false;
        gone = rows->affected;
        run->items_ok += gone;
        talloc_free(rows);
        if (run->limit > 0)
            break;
    }
    return true;
}

static bool say_what_is_old(struct job_run *run, struct fault *fault)
{
    const int64_t requests = count_of(run, &housekeeping_idempotency_old, fault);
    const int64_t runs = count_of(run, &housekeeping_runs_old, fault);
    const int64_t invalidations = count_of(run, &housekeeping_invalidations_old, fault);
    const int64_t workers = count_of(run, &housekeeping_workers_old, fault);

    job_would("delete", "api_idempotency", requests);
    job_would("delete", "scheduler_runs", runs);
    job_would("delete", "ocsp_invalidations", invalidations);
    job_would("delete", "worker_registry", workers);
    return requests >= 0 && runs >= 0 && invalidations >= 0 && workers >= 0;
}

static bool keep_house(struct job_run *run, struct fault *fault)
{
    bool good;

    if (run->dry_run)
        return say_what_is_old(run, fault);
    /* Each by itself: what fails is reported, and keeps nothing else from being done. */
    good = call(run, &housekeeping_partitions_make, fault);
    good &= call(run, &housekeeping_partitions_drop, fault);
    good &= delete_old(run, &housekeeping_idempotency, fault);
    good &= delete_old(run, &housekeeping_runs, fault);
    good &= delete_old(run, &housekeeping_invalidations, fault);
    good &= delete_old(run, &housekeeping_workers, fault);
    return good;
}

static const struct job housekeeping = {
    .name = "housekeeping",
    .interval_setting = AT(settings, housekeeping_interval_ms),
    .seeds_due_later = true,
    .limit_s = 600,
    .run = keep_house,
};

int main(int argc, char **argv)
{
    return job_main(&housekeeping, argc, argv);
}
