/* jobs/queue/processor.c: issues what waited in the queue: for an approval, or a look at CAA
 * (07 sections 3.4, 3.5 and 3.7, 04 section 13).
 *
 * One job after the other: claim, issue, commit. A claim is a lease; who is killed loses it, and
 * job-timeout gives the job back. Nobody issues without the approval: it is looked at when the
 * grant is made, and again by issuance_commit. */
#include "core/auto.h"
#include "core/id.h"
#include "core/log.h"
#include "core/memory.h"
#include "lifecycle/issue.h"
#include "net/caa_record.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define LEASE_MS    150000
#define RETRY_BATCH 1000
#define STALE_TRIES 3

/* $1 batch, $2 audit id. */
STATEMENT(processor_retry, "SELECT job_retry($1::integer, $2::text) AS count");
/* $1 cap of the deployment, $2 who, $3 lease in ms. */
STATEMENT(processor_claim,
          "SELECT job_claim($1::integer, $2::text, $3::bigint * interval '1 millisecond') AS job");
/* $1 job: all that issuing takes. */
STATEMENT(
    processor_job,
    "SELECT j.id AS job_id, pem_der(j.csr_pem) AS csr_der, j.requested_by, m.id AS certificate_id, "
    "m.sans, m.owner_id, m.team_id, m.renewal_policy_id, o.order_id, o.account_id AS "
    "order_account_id, a.status AS account_status, o.not_before AS order_not_before, o.not_after "
    "AS order_not_after, job_approved(j.id, m.certificate_profile_id) AS approved, " ISSUE_COLUMNS
    "FROM jobs j JOIN managed_certificates m ON m.id = j.certificate_id "
    "JOIN certificate_profiles p ON p.id = m.certificate_profile_id "
    "JOIN issuers i ON i.id = m.issuer_id LEFT JOIN issuing_cas c ON c.issuer_id = i.id "
    "LEFT JOIN acme_orders o ON o.job_id = j.id LEFT JOIN acme_accounts a ON a.account_id = "
    "o.account_id WHERE j.id = $1::text");
/* $1 job. No row: no order, or its CAA is young enough. */
STATEMENT(processor_stale, "SELECT order_id, caa FROM acme_finalize_stale($1::text)");
/* $1 job, $2 who. */
STATEMENT(processor_caa, "SELECT acme_finalize_first($1::text, $2::text)");
/* $1 job, $2 who, $3 approval, $4 audit id, $5 $6 notices. */
STATEMENT(processor_unapproved,
          "SELECT job_unapproved($1::text, $2::text, $3::text, $4::text, $5::text, $6::text)");
/* $1 job, $2 who, $3 may be tried again, $4 why, $5 audit id. */
STATEMENT(processor_failed,
          "SELECT job_failed($1::text, $2::text, $3::boolean, $4::text, $5::text)");
STATEMENT(processor_waiting, "SELECT count(*) AS waiting FROM jobs WHERE status = 'Pending' AND "
                             "scheduled_at <= now() AND type = 'Issuance' AND csr_pem IS NOT NULL");
STATEMENT(processor_bypassable,
          "SELECT id FROM issuance_approval_requests WHERE state = 'pending' AND approval_kind = "
          "'cert_issuance' ORDER BY created_at");
/* $1 approval, $2 audit id. */
STATEMENT(processor_bypass, "SELECT approval_bypass($1::text, $2::text) AS done");

/* CERTCTL_APPROVAL_BYPASS: for development. Nobody is asked, and each time it is told. */
static bool bypass(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query_params(scratch, run->db, &processor_bypassable, fault, NULL, 0);

    for (size_t i = 0; rows && i < rows->count; i++)
        if (!db_query(scratch, run->db, &processor_bypass, fault, TEXT(row_text(rows, i, "id")),
                      TEXT(id_new(scratch, "audit"))))
            return false;
    return rows != NULL;
}

static bool issue_once(TALLOC_CTX *ctx, struct job_run *run, const char *job_id, const char *worker,
                       struct fault *fault)
{
    struct rows *rows = db_query(ctx, run->db, &processor_job, fault, TEXT(job_id));
    struct issue_request wanted;
    struct issue_result result = {0};

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, PROFILE_UNAVAILABLE, NULL, "the certificate has no profile");
    if (!issue_request_from_row(ctx, rows, &wanted, fault))
        return false;
    wanted.grant = issue_grant_from_job(ctx, rows, worker, fault);
    wanted.csr_der = row_bytes(ctx, rows, 0, "csr_der");
    wanted.wished = (struct validity){row_time(rows, 0, "order_not_before"),
                                      row_time(rows, 0, "order_not_after")};
    wanted.actor = row_text(rows, 0, "requested_by");
    if (!wanted.grant)
        return false;
    if (!lifecycle_issue(ctx, run->db, run->settings, &wanted, &result, fault))
        return false;
    if (result.outcome == ISSUE_DONE)
        return true;
    return fault_set(fault, RESOURCE_STATE, NULL, "the request was closed meanwhile");
}

static bool issue(TALLOC_CTX *ctx, struct job_run *run, const char *job_id, const char *worker,
                  struct fault *fault)
{
    for (int i = 0; i < STALE_TRIES; i++) {
        if (issue_once(ctx, run, job_id, worker, fault))
            return true;
        if (fault->reason != ISSUANCE_STALE)
            return false;
    }
    return false;
}

/* Nobody's fault, or not for long. */
static bool may_succeed_later(const struct fault *fault)
{
    const enum fault_kind kind = fault_reason_kind(fault->reason);

    return kind == KIND_UNAVAILABLE || kind == KIND_UPSTREAM || kind == KIND_INTERNAL ||
           fault->reason == ISSUANCE_STALE;
}

/* False: not even this could be written; the lease ends by itself. */
static bool note_failure(TALLOC_CTX *ctx, struct job_run *run, const char *job_id,
                         const char *worker, const struct fault *why, struct fault *fault)
{
    if (why->reason == APPROVAL_PENDING)
        return db_query(ctx, run->db, &processor_unapproved, fault, TEXT(job_id), TEXT(worker),
                        TEXT(id_new(ctx, "apr")), TEXT(id_new(ctx, "audit")),
                        TEXT(id_new(ctx, "notif")), TEXT(id_new(ctx, "notif"))) != NULL;
    return db_query(ctx, run->db, &processor_failed, fault, TEXT(job_id), TEXT(worker),
                    BOOLEAN(may_succeed_later(why)),
                    TEXT(mem_printf(ctx, "issuer renewal failed: %s", why->detail)),
                    TEXT(id_new(ctx, "audit"))) != NULL;
}

static void say_issued(struct job_run *run, const char *job_id)
{
    struct log_line line;

    run->items_ok++;
    log_begin(&line, LOG_INFO, "certificate issued");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "item", job_id);
    log_end(&line);
}

/* An approval may take a week, and CAA binds for 8 hours (01 section 11.6): acme-finalize, which
 * may ask DNS, looks at it first. *ret_waits: the job is not ours any more. */
static bool leave_to_caa(TALLOC_CTX *ctx, struct job_run *run, const char *job_id,
                         const char *worker, bool *ret_waits, struct fault *fault)
{
    const struct settings *settings = run->settings;
    struct rows *rows = db_query(ctx, run->db, &processor_stale, fault, TEXT(job_id));
    struct log_line line;

    if (!rows)
        return false;
    *ret_waits = rows->count > 0 && caa_wanted(settings->acme_caa_mode, row_text(rows, 0, "caa"),
                                               &settings->acme_caa_identities);
    if (!*ret_waits)
        return true;
    if (!db_query(ctx, run->db, &processor_caa, fault, TEXT(job_id), TEXT(worker)))
        return false;
    log_begin(&line, LOG_INFO, "CAA is looked at first");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "item", job_id);
    log_text(&line, "order", row_text(rows, 0, "order_id"));
    log_end(&line);
    db_wake(run->db, "acme-finalize");
    return true;
}

/* *ret_any: there was one. */
static bool work_one(struct job_run *run, bool *ret_any, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *worker = mem_printf(scratch, "%s@%s", id_new(scratch, "worker"), run->host);
    struct fault why = {0};
    bool waits = false;

    struct rows *rows = db_query(scratch, run->db, &processor_claim, fault,
                                 INTEGER(run->settings->renewal_concurrency), TEXT(worker),
                                 INTEGER(LEASE_MS));
    if (!rows)
        return false;
    *ret_any = !row_null(rows, 0, "job");
    if (!*ret_any)
        return true;
    const char *job_id = row_text(rows, 0, "job");
    if (!leave_to_caa(scratch, run, job_id, worker, &waits, fault))
        return false;
    if (waits)
        return true;
    if (issue(scratch, run, job_id, worker, &why)) {
        say_issued(run, job_id);
        return true;
    }
    job_item_failed(run, job_id, &why);
    return note_failure(scratch, run, job_id, worker, &why, fault);
}

static bool say_what_waits(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query_params(scratch, run->db, &processor_waiting, fault, NULL, 0);

    if (rows)
        job_would("issue", "jobs", row_integer(rows, 0, "waiting"));
    return rows != NULL;
}

static bool work(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    bool any = true;

    if (run->dry_run)
        return say_what_waits(run, fault);
    if (run->settings->approval_bypass && !bypass(run, fault))
        return false;
    if (!db_query(scratch, run->db, &processor_retry, fault, INTEGER(RETRY_BATCH),
                  TEXT(id_new(scratch, "audit"))))
        return false;
    while (any && !job_should_stop(run))
        if (!work_one(run, &any, fault))
            return false;
    return true;
}

static const struct job job_processor = {
    .name = "job-processor",
    .interval_setting = AT(settings, job_processor_interval_ms),
    .limit_s = 120,
    .run = work,
};

int main(int argc, char **argv)
{
    return job_main(&job_processor, argc, argv);
}
