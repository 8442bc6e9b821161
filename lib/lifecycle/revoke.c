/* lib/lifecycle/revoke.c: encode what the CRL will say, then commit once (04 section 8.3). */
#include "lifecycle/revoke.h"

#include "core/clock.h"
#include "core/id.h"
#include "core/memory.h"

#include "core/banned.h"

/* The first stale commit has blocked the key, so that the second reading is complete; the others
 * are for what else may change: a new version, another revocation. */
#define STALE_TRIES 5

STATEMENT(revocation_commit,
          "SELECT outcome, refresh FROM revoke_commit($1, $2::timestamptz, $3::text[], $4::text[], "
          "$5::text[], $6::text[], $7::text[], $8::text[], $9, "
          "$10::timestamptz, $11::timestamptz, $12::boolean, $13, $14, $15, $16::inet, $17)");
STATEMENT(revocation_subject,
          "SELECT version_id, serial_number, revoked, same_key_versions, same_key_serials "
          "  FROM revocables WHERE version_id = $1");
STATEMENT(revocation_entered,
          "SELECT EXISTS (SELECT 1 FROM certificate_revocations WHERE id = $1) AS entered");

void revocable_from_row(TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                        struct revocable *ret_subject)
{
    *ret_subject = (struct revocable){
        .version_id = row_text(rows, row, "version_id"),
        .serial = row_text(rows, row, "serial_number"),
        .revoked = row_bool(rows, row, "revoked"),
        .same_key_versions = row_texts(ctx, rows, row, "same_key_versions"),
        .same_key_serials = row_texts(ctx, rows, row, "same_key_serials"),
    };
}

/* What revoke_commit is given for each version, in parallel lists. */
struct batch {
    struct text_list versions;
    struct text_list entries; /* hex */
    struct text_list ids;
    struct text_list audits;
    struct text_list mails;
    struct text_list hooks;
};

static bool batch_add(TALLOC_CTX *ctx, struct batch *batch, const char *version_id,
                      const struct crl_entry *entry, struct fault *fault)
{
    struct bytes der;

    if (!crl_entry_encode(ctx, entry, &der, fault))
        return false;
    text_list_add(ctx, &batch->versions, version_id);
    text_list_add(ctx, &batch->entries, hex_from_bytes(ctx, der));
    text_list_add(ctx, &batch->ids, id_new(ctx, "rev"));
    text_list_add(ctx, &batch->audits, id_new(ctx, "audit"));
    text_list_add(ctx, &batch->mails, id_new(ctx, "notif"));
    text_list_add(ctx, &batch->hooks, id_new(ctx, "notif"));
    return true;
}

static bool takes_the_key(const struct revoke_request *request)
{
    return request->reason == REVOKED_KEY_COMPROMISE && request->speaks_for_key;
}

/* The asked version first; a compromised key takes all of its versions along (04 section 8.2). */
static bool batch_fill(TALLOC_CTX *ctx, struct batch *batch, const struct revoke_request *request,
                       const struct revocable *subject, int64_t now_s, struct fault *fault)
{
    struct crl_entry entry = {
        .serial = subject->serial,
        .revoked_at = now_s,
        .reason = request->reason,
        .invalidity_date = request->invalidity_date,
    };

    if (!batch_add(ctx, batch, subject->version_id, &entry, fault))
        return false;
    if (!takes_the_key(request))
        return true;
    for (size_t i = 0; i < subject->same_key_versions.count; i++) {
        entry.serial = subject->same_key_serials.items[i];
        if (!batch_add(ctx, batch, subject->same_key_versions.items[i], &entry, fault))
            return false;
    }
    return true;
}

/* The commit may have come through although nobody told us. */
static const char *outcome_after_all(TALLOC_CTX *ctx, struct db *db, const char *revocation_id,
                                     const struct fault *fault)
{
    struct fault ignored = {0};

    if (fault->reason != DATABASE_COMMIT_UNKNOWN)
        return NULL;
    struct rows *rows = db_query(ctx, db, &revocation_entered, &ignored, TEXT(revocation_id));
    return rows && row_bool(rows, 0, "entered") ? "revoked" : NULL;
}

/* The database's word, or NULL; *ret_refresh what revoke_commit says of the web servers. */
static const char *revoke_once(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                               const struct revoke_request *request,
                               const struct revocable *subject, struct text_list *ret_refresh,
                               struct fault *fault)
{
    const bool compromised = takes_the_key(request);
    const int64_t now_s = clock_now_s();
    struct batch batch = {0};

    if (!batch_fill(ctx, &batch, request, subject, now_s, fault))
        return NULL;
    struct rows *rows = db_query(
        ctx, db, &revocation_commit, fault, TEXT(request->nonce), INSTANT(request->nonce_expires),
        TEXTS(&batch.versions), TEXTS(&batch.entries), TEXTS(&batch.ids), TEXTS(&batch.audits),
        TEXTS(&batch.mails), TEXTS(&batch.hooks), TEXT(revocation_reason_text(request->reason)),
        INSTANT(now_s), INSTANT(request->invalidity_date), BOOLEAN(compromised),
        TEXT(compromised ? "same_key" : "version"), TEXT(request->actor), TEXT(request->actor_type),
        TEXT(settings->audit_record_ip ? request->source_ip : NULL), TEXT(request->request_id));
    if (!rows)
        return outcome_after_all(ctx, db, batch.ids.items[0], fault);
    *ret_refresh = row_texts(ctx, rows, 0, "refresh");
    return row_text(rows, 0, "outcome");
}

static bool refuse_outcome(const char *outcome, struct fault *fault)
{
    if (text_equal(outcome, "already"))
        return fault_set(fault, ALREADY_REVOKED, "certificate",
                         "the certificate is revoked already");
    if (text_equal(outcome, "bad_nonce"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    fault_set(fault, DATABASE_BUSY, NULL,
              "certificates of this key appear faster than they are "
              "revoked");
    fault->retry_after_s = 5;
    return false;
}

bool lifecycle_revoke(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                      const struct revoke_request *request, struct fault *fault)
{
    struct revocable subject = *request->subject;
    struct text_list refresh = {0};
    const char *outcome = NULL;

    for (int i = 0; i < STALE_TRIES; i++) {
        outcome = revoke_once(ctx, db, settings, request, &subject, &refresh, fault);
        if (!outcome)
            return false;
        if (!text_equal(outcome, "stale"))
            break;
        struct rows *rows = db_query(ctx, db, &revocation_subject, fault, TEXT(subject.version_id));
        if (!rows)
            return false;
        revocable_from_row(ctx, rows, 0, &subject);
    }
    if (!text_equal(outcome, "revoked"))
        return refuse_outcome(outcome, fault);
    revocation_announce(ctx, db, settings, &refresh);
    db_wake(db, "notification-process");
    return true;
}
