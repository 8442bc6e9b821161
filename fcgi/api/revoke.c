/* fcgi/api/revoke.c: POST of revoke and unrevoke for one certificate (04 section 8.2). */
#include "lifecycle/revoke.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "fcgi/api/api.h"
#include "pki/certificate.h"
#include "web/body.h"

#include "core/banned.h"

struct wish {
    const char *reason;
    const char *scope;
    const char *serial;
    int64_t invalidity_date;
};

static const struct member wish_members[] = {
    {"reason",          MEMBER_TEXT,    OPTIONAL, AT(wish, reason)         },
    {"scope",           MEMBER_TEXT,    OPTIONAL, AT(wish, scope)          },
    {"serial",          MEMBER_TEXT,    OPTIONAL, AT(wish, serial)         },
    {"invalidity_date", MEMBER_RFC3339, OPTIONAL, AT(wish, invalidity_date)},
};

/* Decodes the body; the texts hang on the request. */
static bool wish_read(struct request *request, struct wish *ret_wish, struct fault *fault)
{
    AUTO(json_t) *body = request_json_optional(request, fault);
    struct wish wish = {.reason = "unspecified", .scope = "latest", .invalidity_date = INT64_MIN};

    if (!body || !json_decode(request, body, wish_members, &wish, fault))
        return false;
    if (wish.serial && !serial_canonical(request, wish.serial, &wish.serial))
        return fault_set(fault, INPUT_INVALID, "serial", "serial is not a serial number");
    *ret_wish = wish;
    return true;
}

/* RFC 5280 section 5.3.2: when the key was lost, which cannot be later than now. */
static bool invalidity_take(const struct wish *wish, struct revoke_request *wanted,
                            struct fault *fault)
{
    if (wish->invalidity_date == INT64_MIN)
        return true;
    if (wish->invalidity_date <= 0 || wish->invalidity_date > clock_now_s())
        return fault_set(fault, INPUT_INVALID, "invalidity_date",
                         "invalidity_date must be a time after 1970 that has passed");
    wanted->invalidity_date = wish->invalidity_date;
    return true;
}

static bool wish_take(const struct wish *wish, struct revoke_request *wanted, struct fault *fault)
{
    if (!revocation_reason_from_text(wish->reason, &wanted->reason))
        return fault_set(fault, INPUT_INVALID, "reason", "invalid revocation reason: %s",
                         wish->reason);
    if (!revoke_scope_from_text(wish->scope, &wanted->scope))
        return fault_set(fault, INPUT_INVALID, "scope", "invalid scope: %s", wish->scope);
    wanted->serial = wish->serial;
    if (wish->serial && wanted->scope == REVOKE_LATEST)
        wanted->scope = REVOKE_VERSION;
    return invalidity_take(wish, wanted, fault);
}

void api_revoke_request(const struct request *request, struct revoke_request *ret_wanted)
{
    const struct api_request *api = request->protocol;

    *ret_wanted = (struct revoke_request){
        /* An operator does; but whoever may revoke some certificates alone may have ordered one
         * of them with a stranger's CSR, as an ACME account may. */
        .speaks_for_key = api->principal.scope.everything,
        .actor = api->principal.actor_id,
        .actor_type = api->principal.actor_type,
        .source_ip = request->remote_addr,
        .request_id = request->request_id,
    };
}

static bool subject_check(const struct request *request, const struct revoke_request *wanted,
                          const struct revocable *subject, struct fault *fault)
{
    const struct api_request *api = request->protocol;

    if (!permission_scope_covers(&api->principal.scope, subject->profile_id, subject->issuer_id))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    if (wanted->scope == REVOKE_SAME_KEY && !wanted->speaks_for_key)
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    if (text_equal(subject->status, "Archived"))
        return fault_set(fault, INPUT_INVALID, NULL, "cannot revoke archived certificate");
    if (!subject->version_id && wanted->serial)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "Certificate version not found");
    if (!subject->version_id)
        return fault_set(fault, RESOURCE_STATE, NULL, "certificate has no issued version");
    return true;
}

static json_t *texts_json(const struct text_list *texts)
{
    json_t *array = json_array();

    for (size_t i = 0; i < texts->count; i++)
        json_add_text(array, texts->items[i]);
    return array;
}

static bool answer(struct response *response, const struct revoke_request *wanted,
                   const struct revoked *done, bool already)
{
    const bool alone = (wanted->scope == REVOKE_LATEST || wanted->scope == REVOKE_VERSION) &&
                       wanted->reason != REVOKED_KEY_COMPROMISE;
    json_t *body = json_object();

    json_set_text(body, "status", "revoked");
    if (already)
        json_set_bool(body, "already_revoked", true);
    else if (!alone)
        json_set_new(body, "revoked_serials", texts_json(&done->serials));
    if (done->still_valid.count > 0)
        json_set_new(body, "still_valid_serials", texts_json(&done->still_valid));
    return response_json(response, 200, body);
}

/* "Certificate ID is invalid", as when one is read. */
static const char *certificate_id(const struct request *request, struct fault *fault)
{
    const char *id = request_captured(request, "id");

    return id_valid(id) ? id : fault_set(fault, INPUT_INVALID, "id", "Certificate ID is invalid");
}

static bool revoke_one(struct request *request, struct revoke_request *wanted, const char *id,
                       struct response *response, struct fault *fault)
{
    struct revocable subject;
    struct revoked done = {0};

    if (!lifecycle_revocable(request, request->db, wanted, id, &subject, fault) ||
        !subject_check(request, wanted, &subject, fault))
        return false;
    wanted->subject = &subject;
    if (lifecycle_revoke(request, request->db, request->settings, wanted, &done, fault))
        return answer(response, wanted, &done, false);
    if (fault->reason != ALREADY_REVOKED)
        return false;
    *fault = (struct fault){0};
    return answer(response, wanted, &done, true);
}

bool api_revoke_certificate(struct request *request, struct response *response, struct fault *fault)
{
    const char *id = certificate_id(request, fault);
    struct revoke_request wanted = {0};
    struct wish wish = {0};

    api_revoke_request(request, &wanted);
    return id && wish_read(request, &wish, fault) && wish_take(&wish, &wanted, fault) &&
           (revoke_one(request, &wanted, id, response, fault) ||
            api_failed(fault, "Failed to revoke certificate"));
}

/* The permission's scope is looked at first, by the same reading as for a revocation. */
static bool unrevoke_one(struct request *request, struct revoke_request *wanted, const char *id,
                         struct fault *fault)
{
    struct revocable subject;

    return lifecycle_revocable(request, request->db, wanted, id, &subject, fault) &&
           subject_check(request, wanted, &subject, fault) &&
           lifecycle_unrevoke(request, request->db, request->settings, wanted, id, fault);
}

bool api_unrevoke_certificate(struct request *request, struct response *response,
                              struct fault *fault)
{
    const char *id = certificate_id(request, fault);
    struct revoke_request wanted = {0};
    struct wish wish = {0};

    api_revoke_request(request, &wanted);
    if (!id || !wish_read(request, &wish, fault))
        return false;
    wanted.serial = wish.serial;
    if (!unrevoke_one(request, &wanted, id, fault))
        return api_failed(fault, "Failed to lift the hold");
    return response_json_text(response, 200, "{\"status\":\"unrevoked\"}");
}
