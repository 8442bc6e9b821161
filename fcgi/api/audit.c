/* fcgi/api/audit.c: access rows, written when the answer has left (06 section 11.1).
 *
 * What the database refused by itself (401, 429) is counted in audit_refusals by auth_admit. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "fcgi/api/api.h"

#include "core/banned.h"

/* $1 $2 ids of the two events, $3 actor, $4 its type, $5 action, $6 path, $7 details, $8 permission
 * that was missing or NULL, $9 address or NULL, $10 request id. Losing a row in a crash of the
 * server is accepted here, so the commit does not wait. */
STATEMENT(api_access,
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id,"
          "                          details, event_category, source_ip, request_id)"
          " SELECT e.id, left($3::text, 255), $4::text, e.action, 'api', left($6::text, 255),"
          "        e.details, 'auth', $9::text::inet, $10::text"
          "   FROM set_config('synchronous_commit', 'off', true) AS unsynced,"
          "        (VALUES ($1::text, $5::text, $7::text::jsonb),"
          "                ($2::text, 'auth.permission_denied',"
          "                 jsonb_build_object('permission', $8::text, 'path', $6::text)))"
          "        AS e (id, action, details)"
          "  WHERE unsynced IS NOT NULL AND (e.id <> $2::text OR $8::text IS NOT NULL)");

static bool is_read(const struct request *request)
{
    return request->method == GET || request->method == HEAD || request->method == OPTIONS;
}

/* Nobody was let in: counted already, or a stranger who may not fill the disk. */
static bool is_wanted(const struct request *request, const struct response *response)
{
    const struct api_request *api = request->protocol;

    if (!api->principal.actor_id)
        return false;
    return !is_read(request) || response->status == 403 ||
           text_equal(request->settings->audit_reads, "all");
}

static const char *details_of(const struct request *request, const struct response *response)
{
    AUTO(json_t) *details = json_object();
    struct request *owner = response->request;

    json_set_text(details, "method", request_param(request, "REQUEST_METHOD"));
    json_set_text(details, "path", request->path);
    json_set_text(details, "body_hash",
                  request->body.size > 0 ? digest_sha256_hex(owner, request->body) : "");
    json_set_integer(details, "status", response->status);
    json_set_integer(details, "latency_ms", (clock_monotonic_us() - request->started_us) / 1000);
    return json_to_text(owner, details);
}

void api_audit(struct request *request, struct response *response)
{
    const struct api_request *api = request->protocol;
    const bool denied = response->status == 403;
    struct fault fault = {0};

    if (!is_wanted(request, response))
        return;
    const char *action = mem_printf(request, "api_%s",
                                    text_lower(request, request_param(request, "REQUEST_METHOD")));
    if (db_query(request, request->db, &api_access, &fault, TEXT(id_new(request, "audit")),
                 TEXT(id_new(request, "audit")), TEXT(api->principal.actor_id),
                 TEXT(api->principal.actor_type), TEXT(action), TEXT(request->path),
                 TEXT(details_of(request, response)),
                 TEXT(denied ? permission_name(api->permission) : NULL),
                 TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
                 TEXT(request->request_id)))
        return;
    log_message(LOG_WARN, "the access row of request %s was not written: %s", request->request_id,
                *fault.cause ? fault.cause : fault.detail);
}
