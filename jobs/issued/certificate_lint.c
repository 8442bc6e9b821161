/* jobs/issued/certificate_lint.c: holds what was issued against the rules of today (00 decision
 * 50), so that a rule that came with an upgrade finds the certificates from before.
 *
 * The walk goes by id, a page a statement: findings, audit rows, alert and the place in the walk
 * are stored together, so a kill repeats at most a page that nobody saw. At the end it begins
 * anew. */
#include "core/auto.h"
#include "core/id.h"
#include "core/log.h"
#include "core/memory.h"
#include "lifecycle/ca_order.h"
#include "pki/lint.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define BATCH 500
#define PAGES 200

/* $1 linter, $2 batch. chain NULL: it was looked at, no CA of ours issued it, or it was not
 * kept. */
STATEMENT(lint_page,
          "SELECT v.id, CASE WHEN v.ca_id IS NOT NULL AND v.pem_chain <> '' AND NOT EXISTS "
          "(SELECT 1 FROM certificate_lints l WHERE l.version_id = v.id AND l.linter >= "
          "$1::integer) THEN v.pem_chain END AS chain FROM certificate_versions v "
          "WHERE v.id > (SELECT w.after FROM certificate_lint_walk w) ORDER BY v.id "
          "LIMIT $2::bigint");

/* $1 linter, $2 versions, $3 their errors or '', $4 their warnings, a line each, $5 audit ids, $6
 * the last id of the page, '' at the end, $7 id of the alert. One alert a day. */
STATEMENT(
    lint_store,
    "WITH told AS (SELECT v.certificate_id, v.serial_number, t.* FROM unnest($2::text[], "
    "$3::text[], $4::text[], $5::text[]) AS t (id, error, warnings, audit_id) "
    "JOIN certificate_versions v ON v.id = t.id), "
    "stored AS (INSERT INTO certificate_lints (version_id, linter, error, warnings) "
    "SELECT t.id, $1::integer, nullif(t.error, ''), "
    "string_to_array(nullif(t.warnings, ''), E'\\n') FROM told t "
    "ON CONFLICT (version_id) DO UPDATE SET linter = EXCLUDED.linter, error = EXCLUDED.error, "
    "warnings = EXCLUDED.warnings, linted_at = now()), "
    "audited AS (INSERT INTO audit_events (id, actor, actor_type, action, resource_type, "
    "resource_id, details) SELECT t.audit_id, 'system', 'System', 'certificate_lint_failed', "
    "'certificate', t.certificate_id, jsonb_build_object('version_id', t.id, 'serial', "
    "t.serial_number, 'rule', t.error, 'linter', $1::integer) FROM told t "
    "WHERE t.error <> ''), "
    "alerted AS (INSERT INTO notification_events (id, type, channel, recipient, message, "
    "severity, subject, payload, dedup_key) SELECT $7::text, 'SystemAlert', 'Email', '', "
    "'Certificate ' || t.certificate_id || ' breaks a rule: ' || t.error || "
    "'. The audit trail names all (certificate_lint_failed).', 'warning', "
    "'Stored certificates break rules of RFC 5280', jsonb_build_object('linter', "
    "$1::integer), 'certificate-lint:' || current_date FROM told t WHERE t.error <> '' "
    "ORDER BY t.id LIMIT 1 ON CONFLICT (dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING) "
    "UPDATE certificate_lint_walk SET after = $6::text");

/* What a page has to store, in parallel lists. */
struct findings {
    struct text_list versions;
    struct text_list errors;
    struct text_list warnings;
    struct text_list audit_ids;
};

/* What is wrong with it, or "". */
static const char *judge(TALLOC_CTX *ctx, const char *pem, struct text_list *warnings)
{
    struct certificate **chain = NULL;
    size_t count = 0;
    struct fault fault = {0};

    if (!ca_chain_read(ctx, pem, &chain, &count, &fault))
        return mem_printf(ctx, "the stored chain cannot be read: %s", fault.detail);
    if (count < 2)
        return "the stored chain lacks the certificate of its CA";
    return certificate_lint_signed(ctx, chain[0], chain[1], warnings, &fault)
               ? ""
               : mem_text(ctx, fault.detail);
}

static void look_at(TALLOC_CTX *ctx, struct job_run *run, struct findings *findings,
                    const char *version, const char *pem)
{
    struct text_list warnings = {0};
    const char *error = judge(ctx, pem, &warnings);

    text_list_add(ctx, &findings->versions, version);
    text_list_add(ctx, &findings->errors, error);
    text_list_add(ctx, &findings->warnings, text_list_join(ctx, &warnings, "\n"));
    text_list_add(ctx, &findings->audit_ids, id_new(ctx, "audit"));
    run->items_ok++;
    if (*error)
        log_message(LOG_WARN, "certificate version %s breaks a rule: %s", version, error);
}

static bool store(TALLOC_CTX *ctx, struct job_run *run, const struct findings *findings,
                  const char *after, struct fault *fault)
{
    return db_query(ctx, run->db, &lint_store, fault, INTEGER(LINT_VERSION),
                    TEXTS(&findings->versions), TEXTS(&findings->errors),
                    TEXTS(&findings->warnings), TEXTS(&findings->audit_ids), TEXT(after),
                    TEXT(id_new(ctx, "notif")));
}

/* *ret_more: the walk is not at its end. A page that was begun is finished: some 0.1 s. */
static bool do_page(struct job_run *run, bool *ret_more, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t batch = job_batch(run, BATCH);
    struct findings findings = {0};
    struct rows *rows = db_query(scratch, run->db, &lint_page, fault, INTEGER(LINT_VERSION),
                                 INTEGER(batch));

    if (!rows)
        return false;
    for (size_t i = 0; i < rows->count; i++)
        if (!row_null(rows, i, "chain"))
            look_at(scratch, run, &findings, row_text(rows, i, "id"), row_text(rows, i, "chain"));
    *ret_more = (int64_t)rows->count == batch; /* a few hundred */
    if (run->dry_run) {
        job_would("store findings of", "certificate versions",
                  (int64_t)findings.versions.count); /* at most a batch */
        return true;
    }
    return store(scratch, run, &findings, *ret_more ? row_text(rows, rows->count - 1, "id") : "",
                 fault);
}

static bool walk(struct job_run *run, struct fault *fault)
{
    bool more = true;

    for (int page = 0; more && page < PAGES && !job_should_stop(run); page++) {
        if (!do_page(run, &more, fault))
            return false;
        if (run->dry_run || run->limit > 0)
            break;
    }
    return true;
}

static const struct job certificate_lint_job = {
    .name = "certificate-lint",
    .interval_setting = AT(settings, certificate_lint_interval_ms),
    .seeds_due_later = true,
    .limit_s = 300,
    .run = walk,
};

int main(int argc, char **argv)
{
    return job_main(&certificate_lint_job, argc, argv);
}
