/* lib/lifecycle/revoke.c: one version, and what goes along with it, revoked (04 sections 8.2
 * and 8.3). What is read first may have changed by the commit, which then says so. */
#include "lifecycle/revoke.h"

#include "core/clock.h"
#include "core/memory.h"
#include "lifecycle/revoke_batch.h"

#include "core/banned.h"

/* The first stale commit has blocked the key, so that the second reading is complete; the others
 * are for what else may change: a new version, another revocation. */
#define STALE_TRIES 5

/* $1 certificate, $2 serial or NULL, $3 all versions, $4 same key. */
STATEMENT(revocation_subject,
          "SELECT certificate_id, profile_id, issuer_id, status, version_id, serial_number, "
          "revoked, revoked_at, reason, other_versions, other_serials, sibling_serials "
          "FROM revocable_find($1, $2, $3::boolean, $4::boolean)");

static const char *const scope_texts[] = {
    [REVOKE_VERSION] = "version",
    [REVOKE_LATEST] = "latest",
    [REVOKE_ALL_VERSIONS] = "all_versions",
    [REVOKE_SAME_KEY] = "same_key",
};

bool revoke_scope_from_text(const char *text, enum revoke_scope *ret_scope)
{
    static const enum revoke_scope asked[] = {REVOKE_LATEST, REVOKE_ALL_VERSIONS, REVOKE_SAME_KEY};

    for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
        if (!text_equal(text, scope_texts[asked[i]]))
            continue;
        *ret_scope = asked[i];
        return true;
    }
    return false;
}

void revocable_from_row(TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                        struct revocable *ret_subject)
{
    *ret_subject = (struct revocable){
        .certificate_id = row_text(rows, row, "certificate_id"),
        .version_id = row_text(rows, row, "version_id"),
        .serial = row_text(rows, row, "serial_number"),
        .revoked = row_bool(rows, row, "revoked"),
        .others = row_texts(ctx, rows, row, "same_key_versions"),
        .serials = row_texts(ctx, rows, row, "same_key_serials"),
    };
}

static bool takes_the_key(const struct revoke_request *request)
{
    return request->reason == REVOKED_KEY_COMPROMISE && request->speaks_for_key;
}

bool lifecycle_revocable(TALLOC_CTX *ctx, struct db *db, const struct revoke_request *request,
                         const char *certificate_id, struct revocable *ret_subject,
                         struct fault *fault)
{
    struct rows *rows = db_query(
        ctx, db, &revocation_subject, fault, TEXT(certificate_id), TEXT(request->serial),
        BOOLEAN(request->scope == REVOKE_ALL_VERSIONS),
        BOOLEAN(request->scope == REVOKE_SAME_KEY || takes_the_key(request)));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "Certificate not found");
    *ret_subject = (struct revocable){
        .certificate_id = row_text(rows, 0, "certificate_id"),
        .version_id = row_text(rows, 0, "version_id"),
        .serial = row_text(rows, 0, "serial_number"),
        .revoked = row_bool(rows, 0, "revoked"),
        .revoked_at = row_null(rows, 0, "revoked_at") ? 0 : row_time(rows, 0, "revoked_at"),
        .reason = row_text(rows, 0, "reason"),
        .others = row_texts(ctx, rows, 0, "other_versions"),
        .serials = row_texts(ctx, rows, 0, "other_serials"),
        .siblings = row_texts(ctx, rows, 0, "sibling_serials"),
        .status = row_text(rows, 0, "status"),
        .profile_id = row_text(rows, 0, "profile_id"),
        .issuer_id = row_text(rows, 0, "issuer_id"),
    };
    return true;
}

/* A compromise implies the key (04 section 8.2). */
static struct revoke_terms terms_of(const struct settings *settings,
                                    const struct revoke_request *request,
                                    const struct revocable *subject)
{
    const bool block = takes_the_key(request);
    const bool alone = request->scope == REVOKE_VERSION || request->scope == REVOKE_LATEST;

    return (struct revoke_terms){
        .settings = settings,
        .request = request,
        .scope = scope_texts[block && alone ? REVOKE_SAME_KEY : request->scope],
        .block = block,
        .now_s = clock_now_s(),
        .again = block && !request->once && subject->revoked &&
                         !text_equal(subject->reason, revocation_reason_text(request->reason))
                     ? subject->revoked_at
                     : 0,
    };
}

static bool goes_along(const struct revoke_request *request)
{
    return request->scope == REVOKE_ALL_VERSIONS || request->scope == REVOKE_SAME_KEY ||
           takes_the_key(request);
}

/* The asked version first. */
static bool batch_fill(TALLOC_CTX *ctx, struct revoke_batch *batch,
                       const struct revoke_terms *terms, const struct revocable *subject,
                       struct fault *fault)
{
    const struct revoke_request *request = terms->request;
    struct crl_entry entry = {
        .serial = subject->serial,
        .revoked_at = terms->again > 0 ? terms->again : terms->now_s,
        .reason = request->reason,
        .invalidity_date = request->invalidity_date,
    };

    if (!revoke_batch_add(ctx, batch, subject->version_id, &entry, fault))
        return false;
    entry.revoked_at = terms->now_s;
    for (size_t i = 0; goes_along(request) && i < subject->others.count; i++) {
        entry.serial = subject->serials.items[i];
        if (!revoke_batch_add(ctx, batch, subject->others.items[i], &entry, fault))
            return false;
    }
    return true;
}

/* Somebody else revoked it between reading and commit, for a reason that we do not know. */
static bool overtaken(const struct revocable *subject, const struct revoke_terms *terms,
                      const struct revoke_outcome *outcome)
{
    return terms->block && !subject->revoked &&
           !text_list_has(&outcome->versions, subject->version_id);
}

static bool revoke_once(TALLOC_CTX *ctx, struct db *db, const struct revoke_terms *terms,
                        const struct revocable *subject, struct revoke_outcome *ret_outcome,
                        struct revoked *ret_done, struct fault *fault)
{
    struct revoke_batch batch = {0};

    if (!batch_fill(ctx, &batch, terms, subject, fault) ||
        !revoke_batch_commit(ctx, db, &batch, terms, ret_outcome, fault))
        return false;
    if (!terms->request->once && overtaken(subject, terms, ret_outcome))
        ret_outcome->word = "stale";
    *ret_done = (struct revoked){0};
    for (size_t i = 0; i < batch.versions.count; i++)
        if (text_list_has(&ret_outcome->versions, batch.versions.items[i]))
            text_list_add(ctx, &ret_done->serials, batch.serials.items[i]);
    for (size_t i = 0; i < subject->siblings.count; i++)
        if (!text_list_has(&ret_done->serials, subject->siblings.items[i]))
            text_list_add(ctx, &ret_done->still_valid, subject->siblings.items[i]);
    return true;
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
                      const struct revoke_request *request, struct revoked *ret_done,
                      struct fault *fault)
{
    struct revocable subject = *request->subject;
    struct revoke_outcome outcome = {.word = "stale"};
    struct revoked done = {0};

    for (int i = 0; i < STALE_TRIES && text_equal(outcome.word, "stale"); i++) {
        if (i > 0 &&
            !lifecycle_revocable(ctx, db, request, subject.certificate_id, &subject, fault))
            return false;
        const struct revoke_terms terms = terms_of(settings, request, &subject);
        if (!revoke_once(ctx, db, &terms, &subject, &outcome, &done, fault))
            return false;
    }
    if (ret_done)
        *ret_done = done;
    if (!text_equal(outcome.word, "revoked"))
        return refuse_outcome(outcome.word, fault);
    revocation_announce(ctx, db, settings, &outcome.refresh);
    db_wake(db, "notification-process");
    return true;
}
