/* lib/lifecycle/ca_submit.c: a request for the hierarchy job (04 section 5.2). */
#include "ca_submit.h"

#include "core/auto.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

/* $1 id, $2 issuer, $3 body, $4 who, $5 SHA-256, $6 id of the event, $7 its details, $8 kind, $9
 * type of who, $10 address or NULL, $11 id of the HTTP request or NULL. */
STATEMENT(ca_request_insert,
          "WITH made AS (INSERT INTO ca_requests (id, kind, issuer_id, body, requested_by, "
          "fields_sha256, request_id) VALUES ($1::text, $8::text, $2::text, $3::text::jsonb, "
          "$4::text, $5::text, $11::text) RETURNING id) "
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, event_category, source_ip, request_id) SELECT $6::text, $4::text, $9::text, "
          "'ca_request_created', 'intermediate_ca', made.id, $7::text::jsonb, 'config', "
          "$10::text::inet, $11::text FROM made");

const char *ca_request_details(TALLOC_CTX *ctx, const struct ca_request *request)
{
    AUTO(json_t) *details = json_object();

    json_set_text(details, "kind", request->kind);
    json_set_text(details, "owning_issuer_id", request->issuer_id);
    json_set_text(details, "requested_by", request->requested_by);
    json_set_text(details, "fields_sha256", ca_request_sha256(ctx, request));
    return json_to_text(ctx, details);
}

bool lifecycle_ca_request(TALLOC_CTX *ctx, struct db *db, const struct ca_request *request,
                          const struct ca_asker *asker, const char **ret_id, struct fault *fault)
{
    const char *id = id_new(ctx, "car");
    struct rows *rows = db_query(ctx, db, &ca_request_insert, fault, TEXT(id),
                                 TEXT(request->issuer_id), TEXT(json_to_text(ctx, request->body)),
                                 TEXT(request->requested_by), TEXT(ca_request_sha256(ctx, request)),
                                 TEXT(id_new(ctx, "audit")), TEXT(ca_request_details(ctx, request)),
                                 TEXT(request->kind), TEXT(asker->actor_type),
                                 TEXT(asker->source_ip), TEXT(asker->request_id));

    if (!rows && fault->reason == DATABASE_REFERENCE)
        return fault_set(fault, RESOURCE_UNKNOWN, "issuer_id", "issuer not found: %s",
                         request->issuer_id);
    if (!rows)
        return false;
    db_wake(db, "ca-hierarchy");
    *ret_id = id;
    return true;
}
