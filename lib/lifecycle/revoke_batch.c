/* lib/lifecycle/revoke_batch.c: entries for the CRL, ids for rows, one commit (04 section 8.3). */
#include "lifecycle/revoke_batch.h"

#include "core/id.h"
#include "core/memory.h"

#include "core/banned.h"

STATEMENT(revocation_commit,
          "SELECT outcome, written, refresh FROM revoke_commit($1, $2::timestamptz, $3::text[], "
          "$4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9, $10::timestamptz, "
          "$11::timestamptz, $12::boolean, $13, $14::boolean, $15::timestamptz, $16::boolean, "
          "$17, $18, $19::inet, $20)");
STATEMENT(revocation_entered, "SELECT revocation_entered($1) AS entered");

bool revoke_batch_add(TALLOC_CTX *ctx, struct revoke_batch *batch, const char *version_id,
                      const struct crl_entry *entry, struct fault *fault)
{
    struct bytes der;

    if (!crl_entry_encode(ctx, entry, &der, fault))
        return false;
    text_list_add(ctx, &batch->versions, version_id);
    text_list_add(ctx, &batch->serials, entry->serial);
    text_list_add(ctx, &batch->entries, hex_from_bytes(ctx, der));
    text_list_add(ctx, &batch->ids, id_new(ctx, "rev"));
    text_list_add(ctx, &batch->audits, id_new(ctx, "audit"));
    text_list_add(ctx, &batch->mails, id_new(ctx, "notif"));
    text_list_add(ctx, &batch->hooks, id_new(ctx, "notif"));
    return true;
}

/* The commit may have come through although nobody told us: then all of it did. */
static bool came_through(TALLOC_CTX *ctx, struct db *db, const struct revoke_batch *batch,
                         struct revoke_outcome *ret, const struct fault *fault)
{
    struct fault ignored = {0};

    if (fault->reason != DATABASE_COMMIT_UNKNOWN)
        return false;
    struct rows *rows = db_query(ctx, db, &revocation_entered, &ignored, TEXT(batch->ids.items[0]));
    if (!rows || !row_bool(rows, 0, "entered"))
        return false;
    *ret = (struct revoke_outcome){.word = "revoked", .versions = batch->versions};
    return true;
}

bool revoke_batch_commit(TALLOC_CTX *ctx, struct db *db, const struct revoke_batch *batch,
                         const struct revoke_terms *terms, struct revoke_outcome *ret,
                         struct fault *fault)
{
    const struct revoke_request *request = terms->request;
    struct rows *rows = db_query(
        ctx, db, &revocation_commit, fault, TEXT(request->nonce), INSTANT(request->nonce_expires),
        TEXTS(&batch->versions), TEXTS(&batch->entries), TEXTS(&batch->ids), TEXTS(&batch->audits),
        TEXTS(&batch->mails), TEXTS(&batch->hooks), TEXT(revocation_reason_text(request->reason)),
        INSTANT(terms->now_s), INSTANT(request->invalidity_date), BOOLEAN(terms->block),
        TEXT(terms->scope), BOOLEAN(request->once), INSTANT(terms->again), BOOLEAN(terms->quiet),
        TEXT(request->actor), TEXT(request->actor_type),
        TEXT(terms->settings->audit_record_ip ? request->source_ip : NULL),
        TEXT(request->request_id));

    if (!rows)
        return came_through(ctx, db, batch, ret, fault);
    *ret = (struct revoke_outcome){
        .word = row_text(rows, 0, "outcome"),
        .versions = row_texts(ctx, rows, 0, "written"),
        .refresh = row_texts(ctx, rows, 0, "refresh"),
    };
    return true;
}
