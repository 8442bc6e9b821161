/* lib/lifecycle/unrevoke.c: a certificateHold ends (04 section 8.2). The API's alone. */
#include "core/id.h"
#include "lifecycle/revoke_batch.h"

#include "core/banned.h"

STATEMENT(revocation_lift, "SELECT outcome, refresh FROM unrevoke_commit($1, $2, $3, $4, $5, "
                           "$6::inet, $7)");

bool lifecycle_unrevoke(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                        const struct revoke_request *request, const char *certificate_id,
                        struct fault *fault)
{
    struct rows *rows = db_query(
        ctx, db, &revocation_lift, fault, TEXT(certificate_id), TEXT(request->serial),
        TEXT(id_new(ctx, "audit")), TEXT(request->actor), TEXT(request->actor_type),
        TEXT(settings->audit_record_ip ? request->source_ip : NULL), TEXT(request->request_id));

    if (!rows)
        return false;
    const char *outcome = row_text(rows, 0, "outcome");
    if (text_equal(outcome, "unknown_certificate"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "Certificate not found");
    if (text_equal(outcome, "unknown_version"))
        return fault_set(fault, RESOURCE_UNKNOWN, "serial", "Certificate version not found");
    if (text_equal(outcome, "not_held"))
        return fault_set(fault, RESOURCE_STATE, NULL, "only certificateHold can be lifted");
    const struct text_list refresh = row_texts(ctx, rows, 0, "refresh");
    revocation_announce(ctx, db, settings, &refresh);
    return true;
}
