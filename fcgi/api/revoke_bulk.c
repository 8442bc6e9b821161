/* fcgi/api/revoke_bulk.c: POST of bulk-revoke, of all certificates or EST's (04 section 8.5). */
#include "lifecycle/revoke_bulk.h"
#include "core/auto.h"
#include "core/id.h"
#include "core/json.h"
#include "fcgi/api/api.h"
#include "web/body.h"

#include "core/banned.h"

#define CRITERIA "(profile_id, owner_id, agent_id, issuer_id, team_id, or certificate_ids)"

/* $1 id, $2 id of EST's row or NULL, $3 actor, $4 its type, $5 details, $6 address, $7 request. */
STATEMENT(api_bulk_audit,
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, source_ip, request_id) "
          "SELECT e.id, $3::text, $4::text, e.action, 'certificate', 'bulk', $5::text::jsonb, "
          "$6::text::inet, $7::text "
          "FROM (VALUES ($1::text, 'bulk_revocation_initiated'), ($2::text, 'est_bulk_revoke')) "
          "AS e (id, action) WHERE e.id IS NOT NULL");

struct bulk_body {
    const char *reason;
    json_t *filter;
    bool dry_run;
};
static const struct member body_members[] = {
    {"reason",  MEMBER_TEXT,    OPTIONAL, AT(bulk_body, reason) },
    {"filter",  MEMBER_OBJECT,  OPTIONAL, AT(bulk_body, filter) },
    {"dry_run", MEMBER_BOOLEAN, OPTIONAL, AT(bulk_body, dry_run)},
};

static const struct member criteria_members[] = {
    {"profile_id",      MEMBER_TEXT,  OPTIONAL, AT(bulk_criteria, profile_id)},
    {"owner_id",        MEMBER_TEXT,  OPTIONAL, AT(bulk_criteria, owner_id)  },
    {"agent_id",        MEMBER_TEXT,  OPTIONAL, AT(bulk_criteria, agent_id)  },
    {"issuer_id",       MEMBER_TEXT,  OPTIONAL, AT(bulk_criteria, issuer_id) },
    {"team_id",         MEMBER_TEXT,  OPTIONAL, AT(bulk_criteria, team_id)   },
    {"certificate_ids", MEMBER_TEXTS, OPTIONAL, AT(bulk_criteria, ids)       },
};

static const char *or_nothing(const char *text)
{
    return text && *text ? text : NULL;
}

static bool narrows(struct bulk_criteria *criteria)
{
    criteria->profile_id = or_nothing(criteria->profile_id);
    criteria->owner_id = or_nothing(criteria->owner_id);
    criteria->agent_id = or_nothing(criteria->agent_id);
    criteria->issuer_id = or_nothing(criteria->issuer_id);
    criteria->team_id = or_nothing(criteria->team_id);
    return criteria->profile_id || criteria->owner_id || criteria->agent_id ||
           criteria->issuer_id || criteria->team_id || criteria->ids.count > 0;
}

/* The criteria stand beside the reason, or under `filter` as one published example has it. */
static bool body_read(struct request *request, struct bulk_body *body,
                      struct bulk_criteria *criteria, enum revocation_reason *ret_reason,
                      struct fault *fault)
{
    AUTO(json_t) *object = request_json(request, fault);

    if (!object || !json_decode(request, object, body_members, body, fault) ||
        !json_decode(request, object, criteria_members, criteria, fault) ||
        (body->filter && !json_decode(request, body->filter, criteria_members, criteria, fault)))
        return false;
    body->filter = NULL; /* it goes with the object */
    criteria->dry_run = body->dry_run;
    if (!or_nothing(body->reason))
        return fault_set(fault, INPUT_INVALID, "reason", "Revocation reason is required");
    if (!revocation_reason_from_text(body->reason, ret_reason))
        return fault_set(fault, INPUT_INVALID, "reason", "Invalid revocation reason: %s",
                         body->reason);
    if (narrows(criteria))
        return true;
    return criteria->source ? fault_set(fault, INPUT_INVALID, NULL,
                                        "At least one narrower criterion is required " CRITERIA
                                        "; EST bulk-revoke is implicitly Source-scoped to EST")
                            : fault_set(fault, INPUT_INVALID, NULL,
                                        "At least one filter criterion is required " CRITERIA);
}

static json_t *result_json(const struct bulk_result *result)
{
    json_t *body = json_object();
    json_t *errors = json_array();

    json_set_integer(body, "total_matched", result->matched);
    json_set_integer(body, "total_revoked", result->revoked);
    json_set_integer(body, "total_skipped", result->skipped);
    json_set_integer(body, "total_failed", result->failed);
    for (size_t i = 0; i < result->failed_ids.count; i++) {
        json_t *error = json_object();
        json_set_text(error, "certificate_id", result->failed_ids.items[i]);
        json_set_text(error, "error", result->errors.items[i]);
        json_add_new(errors, error);
    }
    if (result->failed_ids.count > 0)
        json_set_new(body, "errors", errors);
    else
        json_decref(errors);
    return body;
}

static json_t *criteria_json(const struct bulk_criteria *criteria)
{
    json_t *object = json_object();

    json_set_text(object, "profile_id", criteria->profile_id);
    json_set_text(object, "owner_id", criteria->owner_id);
    json_set_text(object, "agent_id", criteria->agent_id);
    json_set_text(object, "issuer_id", criteria->issuer_id);
    json_set_text(object, "team_id", criteria->team_id);
    json_set_text(object, "source", criteria->source);
    if (criteria->ids.count > 0)
        json_set_integer(object, "certificate_ids", (int64_t)criteria->ids.count); /* of a body */
    return object;
}

/* Who wished it, and what came of it; each certificate has a row of its own. */
static bool audit(struct request *request, const struct revoke_request *wanted,
                  const struct bulk_criteria *criteria, const struct bulk_result *result,
                  struct fault *fault)
{
    AUTO(json_t) *details = json_object();

    json_set_text(details, "reason", revocation_reason_text(wanted->reason));
    json_set_new(details, "criteria", criteria_json(criteria));
    json_set_integer(details, "total_matched", result->matched);
    json_set_integer(details, "total_revoked", result->revoked);
    json_set_integer(details, "total_skipped", result->skipped);
    json_set_integer(details, "total_failed", result->failed);
    return db_query(request, request->db, &api_bulk_audit, fault, TEXT(id_new(request, "audit")),
                    TEXT(criteria->source ? id_new(request, "audit") : NULL), TEXT(wanted->actor),
                    TEXT(wanted->actor_type), TEXT(json_to_text(request, details)),
                    TEXT(request->settings->audit_record_ip ? wanted->source_ip : NULL),
                    TEXT(wanted->request_id));
}

static bool answer(struct response *response, const struct bulk_criteria *criteria,
                   const struct bulk_result *result)
{
    json_t *body = result_json(result);
    json_t *ids = json_array();

    for (size_t i = 0; i < result->ids.count; i++)
        json_add_text(ids, result->ids.items[i]);
    if (criteria->dry_run)
        json_set_new(body, "certificate_ids", ids);
    else
        json_decref(ids);
    return response_json(response, 200, body);
}

static bool bulk_revoke(struct request *request, struct response *response, const char *source,
                        struct fault *fault)
{
    const struct api_request *api = request->protocol;
    struct bulk_criteria criteria = {.source = source, .scope = &api->principal.scope};
    struct bulk_body body = {0};
    struct bulk_result result;
    struct revoke_request wanted;

    api_revoke_request(request, &wanted);
    if (!body_read(request, &body, &criteria, &wanted.reason, fault))
        return false;
    if (!lifecycle_revoke_bulk(request, request->db, request->settings, &wanted, &criteria, &result,
                               fault) ||
        (!criteria.dry_run && !audit(request, &wanted, &criteria, &result, fault)))
        return api_failed(fault, "Failed to revoke certificates");
    return answer(response, &criteria, &result);
}

bool api_bulk_revoke(struct request *request, struct response *response, struct fault *fault)
{
    return bulk_revoke(request, response, NULL, fault);
}

bool api_est_bulk_revoke(struct request *request, struct response *response, struct fault *fault)
{
    return bulk_revoke(request, response, "EST", fault);
}
