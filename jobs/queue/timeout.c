/* jobs/queue/timeout.c: ends what nobody decided in time, and gives back the jobs of lost workers
 * (07 section 3.8). */
#include "core/auto.h"
#include "core/id.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define BATCH 1000

/* $1 timeout in ms, $2 batch. */
STATEMENT(timeout_approvals,
          "SELECT id FROM issuance_approval_requests WHERE state = 'pending' AND created_at < "
          "now() - $1::bigint * interval '1 millisecond' ORDER BY created_at LIMIT $2::integer");
/* $1 approval, $2 timeout in ms, $3 $4 audit ids. */
STATEMENT(timeout_expire, "SELECT approval_expire($1::text, $2::bigint * interval '1 millisecond', "
                          "$3::text, $4::text) AS done");
/* $1 batch. */
STATEMENT(timeout_leases,
          "SELECT id FROM jobs WHERE status = 'Running' AND agent_id IS NULL AND lease_until < "
          "now() ORDER BY lease_until LIMIT $1::integer");
/* $1 job, $2 audit id. */
STATEMENT(timeout_lease_lost, "SELECT job_lease_lost($1::text, $2::text) AS done");

static void count_item(struct job_run *run, const struct rows *done, const char *item,
                       const struct fault *why)
{
    if (!done)
        job_item_failed(run, item, why);
    else if (row_bool(done, 0, "done"))
        run->items_ok++;
}

static bool expire_approvals(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t timeout_ms = run->settings->job_awaiting_approval_timeout_ms;
    struct rows *rows = db_query(scratch, run->db, &timeout_approvals, fault, INTEGER(timeout_ms),
                                 INTEGER(job_batch(run, BATCH)));

    if (rows && run->dry_run)
        job_would("expire", "approvals", (int64_t)rows->count); /* at most a batch */
    for (size_t i = 0; rows && !run->dry_run && i < rows->count && !job_should_stop(run); i++) {
        const char *id = row_text(rows, i, "id");
        struct fault why = {0};

        count_item(run,
                   db_query(scratch, run->db, &timeout_expire, &why, TEXT(id), INTEGER(timeout_ms),
                            TEXT(id_new(scratch, "audit")), TEXT(id_new(scratch, "audit"))),
                   id, &why);
    }
    return rows != NULL;
}

static bool give_back_lost(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, run->db, &timeout_leases, fault,
                                 INTEGER(job_batch(run, BATCH)));

    if (rows && run->dry_run)
        job_would("give back", "jobs", (int64_t)rows->count); /* at most a batch */
    for (size_t i = 0; rows && !run->dry_run && i < rows->count && !job_should_stop(run); i++) {
        const char *id = row_text(rows, i, "id");
        struct fault why = {0};

        count_item(run,
                   db_query(scratch, run->db, &timeout_lease_lost, &why, TEXT(id),
                            TEXT(id_new(scratch, "audit"))),
                   id, &why);
    }
    if (rows && rows->count > 0)
        db_wake(run->db, "job-processor");
    return rows != NULL;
}

static bool look(struct job_run *run, struct fault *fault)
{
    return expire_approvals(run, fault) && give_back_lost(run, fault);
}

static const struct job job_timeout = {
    .name = "job-timeout",
    .interval_setting = AT(settings, job_timeout_interval_ms),
    .limit_s = 120,
    .run = look,
};

int main(int argc, char **argv)
{
    return job_main(&job_timeout, argc, argv);
}
