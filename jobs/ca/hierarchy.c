/* jobs/ca/hierarchy.c: CA requests that are approved on this host (04 section 5.2). With
 * certctl-admin the only peer of the signer's admin socket. */
#include "core/auto.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"

#include "jobs/ca/bootstrap.h"
#include "jobs/ca/carry_out.h"
#include "jobs/ca/close.h"
#include "jobs/ca/load.h"

#include "core/banned.h"

#define BATCH 20

STATEMENT(ca_requests_expire,
          "UPDATE ca_requests SET state = 'expired', finished_at = now() "
          "WHERE state = 'pending' AND created_at < now() - interval '7 days' RETURNING id");
STATEMENT(ca_requests_stale, "SELECT count(*) AS stale FROM ca_requests "
                             "WHERE state = 'pending' AND created_at < now() - interval '7 days'");

/* $1 batch. */
STATEMENT(ca_requests_waiting,
          "SELECT id, kind, issuer_id, requested_by, body::text AS body FROM ca_requests "
          "WHERE state IN ('pending', 'approved') "
          "ORDER BY created_at, id LIMIT $1::bigint");

/* $1 id, $2 HTTP status, $3 why. */
STATEMENT(ca_request_fail,
          "UPDATE ca_requests SET state = 'failed', error_status = $2::integer, error = $3::text, "
          "finished_at = now() WHERE id = $1::text AND state IN ('pending', 'approved')");

static bool expire(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query_params(
        scratch, run->db, run->dry_run ? &ca_requests_stale : &ca_requests_expire, fault, NULL, 0);

    if (!rows)
        return false;
    if (run->dry_run)
        job_would("expire", "ca_requests", row_integer(rows, 0, "stale"));
    for (size_t i = 0; !run->dry_run && i < rows->count; i++) {
        ca_approval_remove(run->settings->state_dir, row_text(rows, i, "id"));
        run->items_ok++;
    }
    return true;
}

/* What the API shows as the status of the request that was queued. */
static int64_t http_status(const struct fault *fault)
{
    switch (fault_reason_kind(fault->reason)) {
    case KIND_MALFORMED:
    case KIND_POLICY:
        return 400;
    case KIND_UNAUTHORIZED:
    case KIND_FORBIDDEN:
        return 403;
    case KIND_NOT_FOUND:
        return 404;
    case KIND_CONFLICT:
        return 409;
    case KIND_RATE_LIMITED:
        return 429;
    case KIND_UPSTREAM:
    case KIND_UNAVAILABLE:
        return 503;
    case KIND_NONE:
    case KIND_INTERNAL:
        return 500;
    }
    return 500;
}

/* Signer, database or approval file not to be had: the next look tries again. All else ends the
 * request. */
static bool ended(struct job_run *run, const char *id, const struct fault *why, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    job_item_failed(run, id, why);
    if (run->dry_run || why->reason == FILE_FAILED ||
        fault_reason_kind(why->reason) == KIND_UNAVAILABLE)
        return true;
    if (!db_query(scratch, run->db, &ca_request_fail, fault, TEXT(id), INTEGER(http_status(why)),
                  TEXT(why->detail)))
        return false;
    ca_approval_remove(run->settings->state_dir, id);
    return true;
}

/* Only what the file says counts; approved_at in the row is for display. */
static bool approved(const struct job_run *run, const char *id, const struct ca_request *request,
                     bool *ret_approved, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *sha256 = ca_request_sha256(scratch, request);
    enum ca_approval approval;

    *ret_approved = text_equal(run->settings->ca_approval, "api");
    if (*ret_approved)
        return true;
    if (!ca_approval_read(run->settings->state_dir, id, sha256, &approval, fault))
        return false;
    if (approval == CA_APPROVAL_OTHER)
        return fault_set(fault, FORBIDDEN, "body",
                         "the fields are not those that were approved on the signer's host");
    *ret_approved = approval == CA_APPROVAL_GIVEN;
    return true;
}

/* Reads the body even in a dry run: what is approved should be what can be done. */
static bool carry_out_kind(struct job_run *run, const char *id, const struct ca_request *request,
                           struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const bool both = text_equal(request->kind, "bootstrap");
    struct ca_bootstrap bootstrap;
    struct ca_order order;

    if (both ? !ca_bootstrap_from_body(scratch, request->body, &bootstrap, fault)
             : !ca_order_from_body(scratch, request->kind, request->body, &order, fault))
        return false;
    if (run->dry_run) {
        job_would(request->kind, request->issuer_id, 1);
        return true;
    }
    return both ? ca_bootstrap_carry_out(run, id, request, &bootstrap, fault)
                : ca_carry_out(run, id, request, &order, fault);
}

static bool carry_out(struct job_run *run, const struct rows *rows, size_t row, bool *ret_done,
                      struct fault *fault)
{
    const char *id = row_text(rows, row, "id");
    AUTO(json_t) *body = json_parse_object(bytes_of_text(row_text(rows, row, "body")),
                                           INPUT_INVALID, "body", fault);
    const struct ca_request request = {
        .kind = row_text(rows, row, "kind"),
        .issuer_id = row_text(rows, row, "issuer_id"),
        .requested_by = row_text(rows, row, "requested_by"),
        .body = body,
    };
    bool may = false;

    *ret_done = false;
    if (!body || !approved(run, id, &request, &may, fault))
        return false;
    if (!may)
        return true;
    if (!carry_out_kind(run, id, &request, fault))
        return false;
    *ret_done = !run->dry_run;
    return true;
}

static void say_done(struct job_run *run, const char *id)
{
    struct log_line line;

    run->items_ok++;
    ca_approval_remove(run->settings->state_dir, id);
    log_begin(&line, LOG_INFO, "CA request carried out");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "item", id);
    log_end(&line);
}

static bool work(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!ca_close(run, fault) || !ca_load(run, fault) || !expire(run, fault))
        return false;
    struct rows *rows = db_query(scratch, run->db, &ca_requests_waiting, fault,
                                 INTEGER(job_batch(run, BATCH)));
    if (!rows)
        return false;
    for (size_t i = 0; i < rows->count && !job_should_stop(run); i++) {
        const char *id = row_text(rows, i, "id");
        struct fault why = {0};
        bool done = false;

        if (!carry_out(run, rows, i, &done, &why) && !ended(run, id, &why, fault))
            return false;
        if (done)
            say_done(run, id);
    }
    return ca_close(run, fault); /* what these requests retired */
}

static const struct confine_path confine_paths[] = {
    JOB_CONFINE_PATHS,
    {CONFINE_WRITE,       AT(settings, state_dir),    "/ca-approvals"},
    {CONFINE_READ_BESIDE, AT(settings, ca_cert_path), NULL           },
};
static const struct confine_plan confine_plan = {.paths = confine_paths,
                                                 .path_count = ARRAY_SIZE(confine_paths)};

static const struct job ca_hierarchy = {
    .name = "ca-hierarchy",
    .interval_ms = 10000,
    .limit_s = 60,
    .confine = &confine_plan,
    .run = work,
};

int main(int argc, char **argv)
{
    return job_main(&ca_hierarchy, argc, argv);
}
