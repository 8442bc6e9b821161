/* lib/lifecycle/revoke_bulk.c: page after page of what matches, a commit each (04 section 8.5). */
#include "lifecycle/revoke_bulk.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "lifecycle/revoke_batch.h"

#include "core/banned.h"

#define BATCH 500
/* So long the CRL jobs wait until it is quiet; then lists are made while we go on. */
#define QUIET_US INT64_C(20000000)

/* $1 the last id seen, $2 how many, $3 ids or NULL, $4 profile, $5 owner, $6 agent, $7 issuer,
 * $8 team, $9 source, $10 and $11 profiles and issuers that the asker may revoke in, or NULL. */
STATEMENT(bulk_page,
          "SELECT certificate_id, status, version_id, serial_number FROM bulk_revocables($1, "
          "$2::integer, $3::text[], $4, $5, $6, $7, $8, $9, $10::text[], $11::text[])");
STATEMENT(bulk_unknown_ids, "SELECT bulk_unknown($1::text[], $2::text[], $3::text[]) AS ids");
STATEMENT(bulk_siblings, "SELECT id, serial_number FROM revocable_others($1::text[], false, true)");

struct bulk {
    TALLOC_CTX *ctx; /* of the result */
    struct db *db;
    const struct settings *settings;
    const struct revoke_request *request;
    const struct bulk_criteria *criteria;
    struct bulk_result *result;
    bool block;
    int64_t began_us;
};

/* What of a page is to be revoked, in parallel lists. */
struct page {
    struct text_list certificates;
    struct text_list versions;
    struct text_list serials;
};

static void fail(struct bulk *bulk, const char *certificate_id, const char *error)
{
    bulk->result->matched++;
    bulk->result->failed++;
    text_list_add(bulk->ctx, &bulk->result->failed_ids, certificate_id);
    text_list_add(bulk->ctx, &bulk->result->errors, error);
}

static void count(struct bulk *bulk, bool revoked)
{
    bulk->result->matched++;
    bulk->result->revoked += revoked;
    bulk->result->skipped += !revoked;
}

static const struct text_list *profiles_of(const struct permission_scope *scope)
{
    return scope->everything ? NULL : &scope->profiles;
}

static const struct text_list *issuers_of(const struct permission_scope *scope)
{
    return scope->everything ? NULL : &scope->issuers;
}

static bool fail_unknown(struct bulk *bulk, struct fault *fault)
{
    const struct text_list *ids = &bulk->criteria->ids;

    if (ids->count == 0)
        return true;
    struct rows *rows = db_query(bulk->ctx, bulk->db, &bulk_unknown_ids, fault, TEXTS(ids),
                                 TEXTS(profiles_of(bulk->criteria->scope)),
                                 TEXTS(issuers_of(bulk->criteria->scope)));
    if (!rows)
        return false;
    const struct text_list unknown = row_texts(bulk->ctx, rows, 0, "ids");
    for (size_t i = 0; i < unknown.count; i++)
        fail(bulk, unknown.items[i], "certificate not found");
    return true;
}

static struct rows *page_read(TALLOC_CTX *ctx, const struct bulk *bulk, const char *after,
                              struct fault *fault)
{
    const struct bulk_criteria *criteria = bulk->criteria;

    return db_query(ctx, bulk->db, &bulk_page, fault, TEXT(after), INTEGER(BATCH),
                    TEXTS(criteria->ids.count > 0 ? &criteria->ids : NULL),
                    TEXT(criteria->profile_id), TEXT(criteria->owner_id), TEXT(criteria->agent_id),
                    TEXT(criteria->issuer_id), TEXT(criteria->team_id), TEXT(criteria->source),
                    TEXTS(profiles_of(bulk->criteria->scope)),
                    TEXTS(issuers_of(bulk->criteria->scope)));
}

static bool is_over(const char *status)
{
    return text_equal(status, "Revoked") || text_equal(status, "Archived");
}

static void page_take(TALLOC_CTX *ctx, struct bulk *bulk, const struct rows *rows,
                      struct page *page)
{
    for (size_t i = 0; i < rows->count; i++) {
        const char *id = row_text(rows, i, "certificate_id");

        if (is_over(row_text(rows, i, "status"))) {
            count(bulk, false);
        } else if (row_null(rows, i, "version_id")) {
            fail(bulk, id, "certificate has no issued version");
        } else {
            text_list_add(ctx, &page->certificates, id);
            text_list_add(ctx, &page->versions, row_text(rows, i, "version_id"));
            text_list_add(ctx, &page->serials, row_text(rows, i, "serial_number"));
        }
    }
}

static bool batch_fill(TALLOC_CTX *ctx, const struct bulk *bulk, const struct page *page,
                       int64_t now_s, struct revoke_batch *batch, struct fault *fault)
{
    struct crl_entry entry = {.revoked_at = now_s, .reason = bulk->request->reason};

    for (size_t i = 0; i < page->versions.count; i++) {
        entry.serial = page->serials.items[i];
        if (!revoke_batch_add(ctx, batch, page->versions.items[i], &entry, fault))
            return false;
    }
    if (!bulk->block)
        return true;
    struct rows *rows = db_query(ctx, bulk->db, &bulk_siblings, fault, TEXTS(&page->versions));
    for (size_t i = 0; rows && i < rows->count; i++) {
        entry.serial = row_text(rows, i, "serial_number");
        if (!revoke_batch_add(ctx, batch, row_text(rows, i, "id"), &entry, fault))
            return false;
    }
    return rows;
}

/* Of the batch, what was written is in its order. */
static void count_written(struct bulk *bulk, const struct page *page,
                          const struct text_list *written)
{
    size_t at = 0;

    for (size_t i = 0; i < page->versions.count; i++) {
        const bool found = at < written->count &&
                           text_equal(written->items[at], page->versions.items[i]);
        count(bulk, found);
        at += found;
    }
}

/* False with REASON_NONE: what was read is not so any more. */
static bool revoke_at_once(TALLOC_CTX *ctx, struct bulk *bulk, const struct page *page,
                           struct fault *fault)
{
    const struct revoke_terms terms = {
        .settings = bulk->settings,
        .request = bulk->request,
        .scope = bulk->block ? "same_key" : "latest",
        .block = bulk->block,
        .now_s = clock_now_s(),
        .quiet = clock_monotonic_us() - bulk->began_us < QUIET_US,
    };
    struct revoke_batch batch = {0};
    struct revoke_outcome outcome;

    if (!batch_fill(ctx, bulk, page, terms.now_s, &batch, fault) ||
        !revoke_batch_commit(ctx, bulk->db, &batch, &terms, &outcome, fault) ||
        text_equal(outcome.word, "stale"))
        return false;
    count_written(bulk, page, &outcome.versions);
    return true;
}

static bool database_is_away(const struct fault *fault)
{
    return fault->reason == DATABASE_UNREACHABLE || fault->reason == DATABASE_COMMIT_UNKNOWN ||
           fault->reason == SCHEMA_MISMATCH;
}

static bool revoke_alone(TALLOC_CTX *ctx, struct bulk *bulk, const char *certificate_id,
                         bool *ret_revoked, struct fault *fault)
{
    struct revoke_request request = *bulk->request;
    struct revocable subject;

    request.scope = REVOKE_LATEST;
    request.subject = &subject;
    if (!lifecycle_revocable(ctx, bulk->db, &request, certificate_id, &subject, fault))
        return false;
    if (subject.revoked || is_over(subject.status))
        return true;
    *ret_revoked = lifecycle_revoke(ctx, bulk->db, bulk->settings, &request, NULL, fault);
    return *ret_revoked || fault->reason == ALREADY_REVOKED;
}

static bool revoke_one_by_one(TALLOC_CTX *ctx, struct bulk *bulk, const struct page *page,
                              struct fault *fault)
{
    for (size_t i = 0; i < page->certificates.count; i++) {
        const char *id = page->certificates.items[i];
        bool revoked = false;

        *fault = (struct fault){0};
        if (revoke_alone(ctx, bulk, id, &revoked, fault))
            count(bulk, revoked);
        else if (database_is_away(fault))
            return false;
        else
            fail(bulk, id,
                 fault_reason_kind(fault->reason) == KIND_INTERNAL ? "Failed to revoke certificate"
                                                                   : fault->detail);
    }
    *fault = (struct fault){0};
    return true;
}

/* Nothing changes; the first ids are shown. */
static void only_count(struct bulk *bulk, const struct page *page)
{
    for (size_t i = 0; i < page->certificates.count; i++) {
        count(bulk, true);
        if (bulk->result->ids.count < BULK_IDS_SHOWN)
            text_list_add(bulk->ctx, &bulk->result->ids, page->certificates.items[i]);
    }
}

static bool page_revoke(TALLOC_CTX *ctx, struct bulk *bulk, const struct page *page,
                        struct fault *fault)
{
    if (page->certificates.count == 0)
        return true;
    if (bulk->criteria->dry_run) {
        only_count(bulk, page);
        return true;
    }
    if (!revoke_at_once(ctx, bulk, page, fault) &&
        (database_is_away(fault) || !revoke_one_by_one(ctx, bulk, page, fault)))
        return false;
    db_wake(bulk->db, "ocsp-refresh");
    return true;
}

/* *ret_after: the last id; NULL: there is nothing more. */
static bool page_do(struct bulk *bulk, char **ret_after, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct rows *rows = page_read(scratch, bulk, *ret_after, fault);
    struct page page = {0};

    if (!rows)
        return false;
    page_take(scratch, bulk, rows, &page);
    if (!page_revoke(scratch, bulk, &page, fault))
        return false;
    *ret_after = rows->count == BATCH
                     ? mem_text(bulk->ctx, row_text(rows, rows->count - 1, "certificate_id"))
                     : NULL;
    return true;
}

bool lifecycle_revoke_bulk(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                           const struct revoke_request *request,
                           const struct bulk_criteria *criteria, struct bulk_result *ret_result,
                           struct fault *fault)
{
    struct bulk bulk = {
        .ctx = ctx,
        .db = db,
        .settings = settings,
        .request = request,
        .criteria = criteria,
        .result = ret_result,
        .block = request->reason == REVOKED_KEY_COMPROMISE && request->speaks_for_key,
        .began_us = clock_monotonic_us(),
    };
    const struct text_list nothing = {0};
    char *after = mem_text(ctx, "");

    *ret_result = (struct bulk_result){0};
    if (!fail_unknown(&bulk, fault))
        return false;
    while (after)
        if (!page_do(&bulk, &after, fault))
            return false;
    if (ret_result->revoked > 0 && !criteria->dry_run) {
        revocation_announce(ctx, db, settings, &nothing);
        db_wake(db, "notification-process");
    }
    return true;
}
