/* lib/lifecycle/ca_revoke.c: the certificate of a CA below ours is revoked (04 sections 5.2, 8). */
#include "core/clock.h"
#include "core/id.h"
#include "core/memory.h"
#include "core/text.h"

#include "ca_submit.h"
#include "revoke.h"

#include "core/banned.h"

/* $1 CA, $2 its serial, $3 reason, $4 CRL entry in hex, $5 id of the revocation, $6 when, $7 $8
 * who, $9 id of the event, $10 address, $11 id of the HTTP request. */
STATEMENT(ca_revocation_commit,
          "SELECT outcome, refresh FROM ca_revoke($1::text, $2::text, $3::text, $4::text, "
          "$5::text, $6::timestamptz, $7::text, $8::text, $9::text, $10::text::inet, $11::text)");

static bool refuse_outcome(const char *outcome, struct fault *fault)
{
    if (text_equal(outcome, "unknown"))
        return fault_set(fault, RESOURCE_UNKNOWN, "id", "intermediate CA not found");
    if (text_equal(outcome, "already"))
        return fault_set(fault, ALREADY_REVOKED, "id", "already revoked");
    return fault_set(fault, RESOURCE_STATE, "id",
                     "a root is on no CA's CRL: take it out of the trust stores and retire it");
}

bool lifecycle_ca_revoke(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                         const struct ca_revocation *revocation, const struct ca_asker *asker,
                         struct fault *fault)
{
    const struct crl_entry entry = {
        .serial = revocation->serial, .revoked_at = clock_now_s(), .reason = revocation->reason};
    struct bytes der;

    if (!crl_entry_encode(ctx, &entry, &der, fault))
        return false;
    struct rows *rows = db_query(
        ctx, db, &ca_revocation_commit, fault, TEXT(revocation->ca_id), TEXT(revocation->serial),
        TEXT(revocation_reason_text(revocation->reason)), TEXT(hex_from_bytes(ctx, der)),
        TEXT(id_new(ctx, "rev")), INSTANT(entry.revoked_at), TEXT(asker->actor),
        TEXT(asker->actor_type), TEXT(id_new(ctx, "audit")), TEXT(asker->source_ip),
        TEXT(asker->request_id));
    if (!rows)
        return false;
    if (!text_equal(row_text(rows, 0, "outcome"), "revoked"))
        return refuse_outcome(row_text(rows, 0, "outcome"), fault);
    const struct text_list refresh = row_texts(ctx, rows, 0, "refresh");
    revocation_announce(ctx, db, settings, &refresh);
    return true;
}
