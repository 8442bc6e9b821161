/* jobs/issued/signer_reconcile.c: no certificate that nobody recorded (04 section 4.5, 00 decision
 * 51).
 *
 * Reads the signer's log and holds each signature against the database; what no row accounts for in
 * time is revoked. So a responder that was taken over cannot keep a certificate for itself. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/macro.h"
#include "core/memory.h"
#include "pki/crl_entry.h"
#include "signer/log.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define BATCH_LINES   500
#define BATCH_ORPHANS 500
#define ACTOR         "certctl-job-signer-reconcile"

/* $1 node. One row, also where nothing was read yet. */
STATEMENT(
    reconcile_cursor,
    "SELECT coalesce(c.line_no, 0) AS line_no, c.line_sha256, coalesce(c.inode, 0) AS inode, "
    "coalesce(c.byte_offset, 0) AS byte_offset, EXISTS (SELECT 1 FROM signer_log_unrecorded u "
    "WHERE u.node_id = $1::text) AS unrecorded "
    "FROM (VALUES (1)) one LEFT JOIN signer_log_cursors c ON c.node_id = $1::text");

STATEMENT(reconcile_advance,
          "SELECT signer_log_advance($1::text, $2::bigint, $3::bigint, $4::bigint, $5::bigint, "
          "nullif($6::text, ''), $7::bigint, $8::bigint, $9::text::jsonb) AS mine");

STATEMENT(reconcile_break, "SELECT signer_log_break($1::text, '" ACTOR "', $2::text, $3::text, "
                           "$4::text::jsonb, $5::text)");

/* $1 node. Most signatures are recorded within milliseconds. */
STATEMENT(reconcile_recorded,
          "DELETE FROM signer_log_unrecorded u USING ca_instances c WHERE u.node_id = $1::text "
          "AND sha256(c.cert_der) = decode(u.ca_sha256, 'hex') "
          "AND signature_recorded(c.issuer_id, u.serial_number)");

/* $1 node, $2 grace in ms. By the signer's clock and by ours, whichever is earlier. */
STATEMENT(reconcile_orphans,
          "SELECT u.id, u.serial_number, c.id IS NOT NULL AS known FROM signer_log_unrecorded u "
          "LEFT JOIN ca_instances c ON sha256(c.cert_der) = decode(u.ca_sha256, 'hex') "
          "WHERE u.node_id = $1::text AND (c.id IS NOT NULL OR NOT u.told) "
          "AND least(u.signed_at, u.seen_at) < now() - $2::bigint * interval '1 millisecond' "
          "ORDER BY u.id LIMIT 500");

STATEMENT(reconcile_revoke,
          "SELECT signer_orphans_revoke($1::text, '" ACTOR "', $2::bigint[], $3::text[], "
          "$4::text[], $5::text[], $6::timestamptz, $7::text) AS revoked");

STATEMENT(reconcile_tell, "SELECT signer_strangers_tell($1::text, '" ACTOR "', $2::bigint[], "
                          "$3::text, $4::text)");

static bool read_cursor(TALLOC_CTX *ctx, struct job_run *run, struct log_position *ret_position,
                        bool *ret_unrecorded, struct fault *fault)
{
    struct rows *rows = db_query(ctx, run->db, &reconcile_cursor, fault,
                                 TEXT(run->settings->node_id));

    if (!rows)
        return false;
    *ret_position = (struct log_position){
        .line = row_integer(rows, 0, "line_no"),
        .inode = row_integer(rows, 0, "inode"),
        .offset = row_integer(rows, 0, "byte_offset"),
    };
    const char *sha256 = row_text(rows, 0, "line_sha256");
    if (sha256 && strlen(sha256) == sizeof(ret_position->sha256) - 1)
        memcpy(ret_position->sha256, sha256, sizeof(ret_position->sha256));
    *ret_unrecorded = row_bool(rows, 0, "unrecorded");
    return true;
}

static void log_break(const struct job_run *run, const struct log_batch *batch)
{
    struct log_line line;

    log_begin(&line, LOG_ERROR, "the signer's log is broken");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "node", run->settings->node_id);
    log_text(&line, "why", batch->why);
    log_integer(&line, "breaks", (int64_t)batch->breaks); /* at most a batch */
    log_end(&line);
}

static bool store_break(TALLOC_CTX *ctx, struct job_run *run, const struct log_batch *batch,
                        struct fault *fault)
{
    AUTO(json_t) *details = json_object();
    const char *node = run->settings->node_id;

    json_set_text(details, "kind", "signer_log_broken");
    json_set_text(details, "node", node);
    json_set_text(details, "path", run->settings->signer_log_path);
    json_set_integer(details, "line", batch->after.line);
    json_set_text(details, "why", batch->why);
    json_set_integer(details, "breaks", (int64_t)batch->breaks); /* at most a batch */
    const char *message = mem_printf(ctx, "[ALERT] The signer's log on %s is broken: %s.", node,
                                     batch->why);
    return db_query(ctx, run->db, &reconcile_break, fault, TEXT(node), TEXT(id_new(ctx, "audit")),
                    TEXT(id_new(ctx, "ntf")), TEXT(json_to_text(ctx, details)),
                    TEXT(message)) != NULL;
}

/* The cursor, what is not recorded, and what is wrong with the log share one commit. */
static bool store_batch(TALLOC_CTX *ctx, struct job_run *run, const struct log_position *from,
                        const struct log_batch *batch, bool *ret_mine, struct fault *fault)
{
    const struct log_position *to = &batch->after;
    struct rows *rows = db_query(
        ctx, run->db, &reconcile_advance, fault, TEXT(run->settings->node_id), INTEGER(from->line),
        INTEGER(from->inode), INTEGER(from->offset), INTEGER(to->line), TEXT(to->sha256),
        INTEGER(to->inode), INTEGER(to->offset), TEXT(json_to_text(ctx, batch->signatures)));

    if (!rows)
        return false;
    *ret_mine = row_bool(rows, 0, "mine");
    return !*ret_mine || batch->breaks == 0 || store_break(ctx, run, batch, fault);
}

/* *ret_mine false: another process reads this node's log, and we leave it to it. */
static bool commit_batch(TALLOC_CTX *ctx, struct job_run *run, const struct log_position *from,
                         const struct log_batch *batch, bool *ret_mine, struct fault *fault)
{
    if (!db_begin(run->db, fault))
        return false;
    if (store_batch(ctx, run, from, batch, ret_mine, fault)) {
        if (*ret_mine && batch->breaks > 0)
            db_wake(run->db, "notification-process");
        if (db_commit(run->db, fault))
            return true;
    }
    db_rollback(run->db);
    return false;
}

/* *ret_more: there may be more to read. */
static bool read_batch(struct job_run *run, bool *ret_more, bool *ret_unrecorded, bool *ret_whole,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct log_position from;
    struct log_batch batch = {0};
    bool mine = true;

    *ret_more = false;
    if (!read_cursor(scratch, run, &from, ret_unrecorded, fault) ||
        !signer_log_read(scratch, run->settings->signer_log_path, &from,
                         (size_t)job_batch(run, BATCH_LINES), &batch, fault))
        return false;
    if (run->dry_run) {
        job_would("read", "lines of the signer's log", (int64_t)batch.lines); /* a batch */
        return true;
    }
    if (!batch.moved)
        return true;
    if (!commit_batch(scratch, run, &from, &batch, &mine, fault))
        return false;
    if (mine && batch.breaks > 0) {
        log_break(run, &batch);
        *ret_whole = false;
    }
    *ret_more = mine && batch.more;
    *ret_unrecorded = true;
    return true;
}

/* Arrays of one place an orphan. */
struct orphans {
    struct text_list rows;
    struct text_list ids;
    struct text_list audits;
    struct text_list entries;
    struct text_list strangers;
};

static bool gather_orphans(TALLOC_CTX *ctx, const struct rows *rows, int64_t now_s,
                           struct orphans *orphans, struct fault *fault)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct crl_entry entry = {.serial = row_text(rows, i, "serial_number"),
                                        .revoked_at = now_s};
        struct bytes der;

        if (!row_bool(rows, i, "known")) {
            text_list_add(ctx, &orphans->strangers, row_text(rows, i, "id"));
            continue;
        }
        if (!crl_entry_encode(ctx, &entry, &der, fault))
            return false;
        text_list_add(ctx, &orphans->rows, row_text(rows, i, "id"));
        text_list_add(ctx, &orphans->ids, id_new(ctx, "rev"));
        text_list_add(ctx, &orphans->audits, id_new(ctx, "audit"));
        text_list_add(ctx, &orphans->entries, hex_from_bytes(ctx, der));
    }
    return true;
}

static void say_revoked(struct job_run *run, int64_t revoked)
{
    struct log_line line;

    if (revoked == 0)
        return;
    run->items_ok += revoked;
    log_begin(&line, LOG_WARN, "certificates that nobody recorded were revoked");
    log_text(&line, "job", run->entry->name);
    log_integer(&line, "count", revoked);
    log_end(&line);
}

static bool revoke_orphans(TALLOC_CTX *ctx, struct job_run *run, const struct orphans *orphans,
                           int64_t now_s, struct fault *fault)
{
    if (orphans->rows.count == 0)
        return true;
    struct rows *rows = db_query(
        ctx, run->db, &reconcile_revoke, fault, TEXT(run->settings->node_id), TEXTS(&orphans->rows),
        TEXTS(&orphans->ids), TEXTS(&orphans->audits), TEXTS(&orphans->entries), INSTANT(now_s),
        TEXT(id_new(ctx, "ntf")));
    if (!rows)
        return false;
    db_wake(run->db, "crl-generation");
    db_wake(run->db, "notification-process");
    say_revoked(run, row_integer(rows, 0, "revoked"));
    return true;
}

static bool tell_strangers(TALLOC_CTX *ctx, struct job_run *run, const struct orphans *orphans,
                           struct fault *fault)
{
    if (orphans->strangers.count == 0)
        return true;
    if (!db_query(ctx, run->db, &reconcile_tell, fault, TEXT(run->settings->node_id),
                  TEXTS(&orphans->strangers), TEXT(id_new(ctx, "audit")), TEXT(id_new(ctx, "ntf"))))
        return false;
    db_wake(run->db, "notification-process");
    log_message(LOG_ERROR, "%zu signatures are of a CA that the database does not know",
                orphans->strangers.count);
    return true;
}

/* *ret_more: a whole batch was due, so there may be others. */
static bool judge_batch(struct job_run *run, bool *ret_more, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t now_s = clock_now_s();
    struct orphans orphans = {0};
    struct rows *due = db_query(scratch, run->db, &reconcile_orphans, fault,
                                TEXT(run->settings->node_id),
                                INTEGER(run->settings->signer_reconcile_grace_ms));

    if (!due)
        return false;
    *ret_more = due->count == BATCH_ORPHANS;
    if (run->dry_run) {
        job_would("revoke", "certificates that nobody recorded", (int64_t)due->count); /* a batch */
        *ret_more = false;
        return true;
    }
    return gather_orphans(scratch, due, now_s, &orphans, fault) &&
           revoke_orphans(scratch, run, &orphans, now_s, fault) &&
           tell_strangers(scratch, run, &orphans, fault);
}

static bool judge(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    bool more = true;

    if (!run->dry_run &&
        !db_query(scratch, run->db, &reconcile_recorded, fault, TEXT(run->settings->node_id)))
        return false;
    while (more && !job_should_stop(run))
        if (!judge_batch(run, &more, fault))
            return false;
    return true;
}

static bool look(struct job_run *run, struct fault *fault)
{
    bool more = true;
    bool unrecorded = false;
    bool whole = true;

    while (more && !job_should_stop(run))
        if (!read_batch(run, &more, &unrecorded, &whole, fault))
            return false;
    if (unrecorded && !judge(run, fault))
        return false;
    return whole || fault_set(fault, RESOURCE_STATE, NULL, "the signer's log is broken");
}

/* The signer's log, and what it was before it was rotated. */
static const struct confine_path confine_paths[] = {
    JOB_CONFINE_PATHS, {CONFINE_READ_BESIDE, AT(settings, signer_log_path), NULL}
};
static const struct confine_plan confine_plan = {.paths = confine_paths,
                                                 .path_count = ARRAY_SIZE(confine_paths)};

static const struct job signer_reconcile = {
    .name = "signer-reconcile",
    .interval_setting = AT(settings, signer_reconcile_interval_ms),
    .limit_s = 60,
    .confine = &confine_plan,
    .run = look,
};

int main(int argc, char **argv)
{
    return job_main(&signer_reconcile, argc, argv);
}
