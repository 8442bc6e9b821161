/* fcgi/api/renew_now.c: POST of renew-now: who asks when to renew a certificate is told to do it at
 * once, so that a fleet moves before its certificates are revoked (01 section 12). */
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/api/api.h"
#include "web/body.h"

#include "core/banned.h"

#define REASON_BYTES_MAX 500
/* Rows of one transaction: locks are short, and other writers come between. */
#define BATCH 2000

/* $1 certificate, $2 reason, $3 and $4 where the asker may, or NULL, $5 audit, $6 actor, $7 its
 * type, $8 address, $9 request. */
STATEMENT(api_renew_now, "SELECT outcome, since FROM renew_now_set($1, $2, $3::text[], $4::text[], "
                         "$5, $6, $7, $8::inet, $9)");

/* $1 issuer, $2 reason, $3 made until then, $4 most, $5 audit, $6 actor, $7 its type, $8 address,
 * $9 request. */
STATEMENT(api_renew_now_issuer,
          "SELECT known, amount FROM renew_now_issuer($1, $2, $3::timestamptz, $4::integer, $5, "
          "$6, $7, $8::inet, $9)");

struct wish {
    const char *reason;
};

static const struct member wish_members[] = {
    {"reason", MEMBER_TEXT, OPTIONAL, AT(wish, reason)},
};

/* The text hangs on the request. NULL with the fault. */
static const char *reason_read(struct request *request, struct fault *fault)
{
    AUTO(json_t) *body = request_json(request, fault);
    struct wish wish = {0};

    if (!body || !json_decode(request, body, wish_members, &wish, fault))
        return NULL;
    if (!wish.reason || !*wish.reason)
        return fault_set(fault, INPUT_INVALID, "reason", "Reason is required");
    if (strlen(wish.reason) > REASON_BYTES_MAX)
        return fault_set(fault, INPUT_INVALID, "reason", "reason is longer than %d bytes",
                         REASON_BYTES_MAX);
    return wish.reason;
}

static const char *source_ip(const struct request *request)
{
    return request->settings->audit_record_ip ? request->remote_addr : NULL;
}

static bool outcome_check(const struct rows *rows, struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    if (text_equal(outcome, "unknown"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "Certificate not found");
    if (text_equal(outcome, "foreign"))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    if (text_equal(outcome, "state"))
        return fault_set(fault, RESOURCE_STATE, NULL,
                         "certificate is archived, revoked, expired or not issued yet");
    return true;
}

bool api_renew_now_certificate(struct request *request, struct response *response,
                               struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const struct permission_scope *scope = &api->principal.scope;
    const char *id = request_captured(request, "id");
    const char *reason;

    if (!id_valid(id))
        return fault_set(fault, INPUT_INVALID, "id", "Certificate ID is invalid");
    reason = reason_read(request, fault);
    if (!reason)
        return false;
    struct rows *rows = db_query(request, request->db, &api_renew_now, fault, TEXT(id),
                                 TEXT(reason), TEXTS(scope->everything ? NULL : &scope->profiles),
                                 TEXTS(scope->everything ? NULL : &scope->issuers),
                                 TEXT(id_new(request, "audit")), TEXT(api->principal.actor_id),
                                 TEXT(api->principal.actor_type), TEXT(source_ip(request)),
                                 TEXT(request->request_id));
    if (!rows)
        return api_failed(fault, "Failed to ask for renewal");
    if (!outcome_check(rows, fault))
        return false;
    json_t *body = json_object();
    json_set_text(body, "certificate_id", id);
    json_set_text(body, "early_renewal_at", time_to_rfc3339(request, row_time(rows, 0, "since")));
    return response_json(response, 200, body);
}

/* Batch after batch; what was done stays done where a later one fails, and is in the audit. */
static bool issuer_set(struct request *request, const char *issuer_id, const char *reason,
                       int64_t *ret_total, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const int64_t before = clock_now_s();
    int64_t amount;

    *ret_total = 0;
    do {
        struct rows *rows = db_query(request, request->db, &api_renew_now_issuer, fault,
                                     TEXT(issuer_id), TEXT(reason), INSTANT(before + 1),
                                     INTEGER(BATCH), TEXT(id_new(request, "audit")),
                                     TEXT(api->principal.actor_id), TEXT(api->principal.actor_type),
                                     TEXT(source_ip(request)), TEXT(request->request_id));
        if (!rows)
            return api_failed(fault, "Failed to ask for renewal");
        if (!row_bool(rows, 0, "known"))
            return fault_set(fault, RESOURCE_UNKNOWN, NULL, "Issuer not found");
        amount = row_integer(rows, 0, "amount");
        *ret_total += amount;
    } while (amount == BATCH);
    return true;
}

bool api_renew_now_issuer_certificates(struct request *request, struct response *response,
                                       struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const struct permission_scope *scope = &api->principal.scope;
    const char *id = request_captured(request, "id");
    int64_t total = 0;

    if (!id_valid(id))
        return fault_set(fault, INPUT_INVALID, "id", "Issuer ID is invalid");
    if (!scope->everything && !text_list_has(&scope->issuers, id))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    const char *reason = reason_read(request, fault);
    if (!reason || !issuer_set(request, id, reason, &total, fault))
        return false;
    json_t *body = json_object();
    json_set_text(body, "issuer_id", id);
    json_set_integer(body, "total_set", total);
    return response_json(response, 200, body);
}
