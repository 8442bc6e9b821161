/* fcgi/acme/authz.c: authorizations and their challenges as objects (RFC 8555 sections 7.1.4, 7.5).
 *
 * Challenges of one authorization share its token; a row exists only for a type that a client
 * responded to, so the objects are made from the authorization alone (01 section 9.5). */
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "net/challenge_type.h"

#include "core/banned.h"

#define AUTHZ_PREFIX     "acme-authz-"
#define CHALLENGE_PREFIX "acme-chall-"
/* One account's challenges that wait for validation (01 section 11.1). */
#define PROCESSING_MOST 1000
/* Retry-After where somebody works on it. */
#define WORKING_S "2"

STATEMENT(
    acme_authz_read,
    "SELECT replay_spend('acme_nonce', $2, $3::timestamptz, true) AS fresh, z.authz_id, "
    "z.account_id, "
    "       z.identifier->>'type' AS type, z.identifier->>'value' AS value, z.status, "
    "       z.expires_at, z.token, "
    "       z.wildcard, z.created_at, o.auth_mode, "
    "       (SELECT json_agg(json_build_object('type', c.type, 'status', c.status, 'validated', "
    "                 floor(extract(epoch FROM c.validated_at)), 'error', c.error)) "
    "          FROM acme_challenges c WHERE c.authz_id = z.authz_id) AS challenges "
    "  FROM (VALUES (1)) one "
    "  LEFT JOIN acme_authorizations z ON z.authz_id = $1 "
    "  LEFT JOIN acme_orders o ON o.order_id = z.order_id");

/* $1 nonce, $2 its expiry, $3 account, $4 authorization, $5 challenge, $6 type, $7 for names, $8
 * for wildcards, $9 for addresses, $10 thumbprint, $11 per hour, $12 most in the queue, $13 the
 * account's URL. */
STATEMENT(
    acme_challenge_answer,
    "SELECT r.outcome, r.retry_after, z.* "
    "  FROM acme_challenge_respond($1, $2::timestamptz, $3, $4, $5, $6, $7, $8, $9, $10, "
    "                              $11::integer, $12::integer, $13) r "
    "  LEFT JOIN LATERAL acme_authz_show(CASE WHEN r.outcome IS NOT NULL THEN $4 END) z ON true");

/* $1 nonce, $2 its expiry, $3 account, $4 authorization, $5 audit, $6 address, $7 request. */
STATEMENT(
    acme_authz_give_up,
    "SELECT r.outcome, NULL::integer AS retry_after, z.* "
    "  FROM acme_authz_deactivate($1, $2::timestamptz, $3, $4, $5, $6::inet, $7) r "
    "  LEFT JOIN LATERAL acme_authz_show(CASE WHEN r.outcome IS NOT NULL THEN $4 END) z ON true");

static struct text_list issuers_of(struct request *request)
{
    return challenge_issuers(request, &request->settings->acme_caa_identities);
}

/* A record that persists names us, so without a name there is none (01 section 9.5). */
struct text_list acme_challenge_types(struct request *request, const struct acme_profile *profile,
                                      const char *identifier_type, bool wildcard)
{
    struct text_list types = {0};

    for (size_t i = 0; i < challenge_type_count; i++) {
        const struct challenge_type *type = &challenge_types[i];

        if (challenge_type_proves(type, identifier_type, wildcard) &&
            text_list_has(&profile->challenge_types, type->name) &&
            (!type->persists || issuers_of(request).count > 0))
            text_list_add(request, &types, type->name);
    }
    return types;
}

/* What a row says of one type; NULL where nobody responded to it. */
static json_t *recorded(json_t *rows, const char *type)
{
    size_t index;
    json_t *row;

    json_array_foreach (rows, index, row)
        if (text_equal(json_text_at(row, "type"), type))
            return row;
    return NULL;
}

/* A token, or what the record must say in its place (draft-ietf-acme-dns-persist-01 section 3.1):
 * the account's URL and one of our names. */
static void add_what_is_proved(struct request *request, json_t *challenge, const char *type,
                               const char *token)
{
    if (!challenge_type_find(type)->persists) {
        json_set_text(challenge, "token", token);
        return;
    }
    const struct text_list issuers = issuers_of(request);
    json_t *names = json_array();

    for (size_t i = 0; i < issuers.count; i++)
        json_add_text(names, issuers.items[i]);
    json_set_text(challenge, "accounturi",
                  acme_url(request, "/account/%s", acme_of(request)->account.id));
    json_set_new(challenge, "issuer-domain-names", names);
}

static json_t *challenge_object(struct request *request, const struct rows *authz, const char *type,
                                json_t *record)
{
    const char *id = row_text(authz, 0, "authz_id") + strlen(AUTHZ_PREFIX);
    const bool trusted = text_equal(row_text(authz, 0, "auth_mode"), "trust_authenticated");
    json_t *challenge = json_object();
    const char *status = record ? json_text_at(record, "status") : trusted ? "valid" : "pending";

    if (!record && text_equal(row_text(authz, 0, "status"), "invalid"))
        status = "invalid";
    json_set_text(challenge, "type", type);
    json_set_text(challenge, "url",
                  acme_url(request, "/challenge/" CHALLENGE_PREFIX "%s.%s", id, type));
    json_set_text(challenge, "status", status);
    add_what_is_proved(request, challenge, type, row_text(authz, 0, "token"));
    if (text_equal(status, "valid")) {
        const json_t *at = json_object_get(record, "validated");
        const int64_t validated_s = json_is_number(at)
                                        ? (int64_t)json_number_value(at) /* floor() above */
                                        : row_time(authz, 0, "created_at");
        json_set_text(challenge, "validated", time_to_rfc3339(request, validated_s));
    }
    if (json_is_object(json_object_get(record, "error")))
        json_set_new(challenge, "error", json_incref(json_object_get(record, "error")));
    return challenge;
}

/* What is known of the challenges of an authorization, and what may prove it here. */
struct challenges {
    struct text_list offered;
    json_t *records;
};

static struct challenges challenges_of(struct request *request, const struct rows *authz)
{
    const char *text = row_text(authz, 0, "challenges");
    json_t *records = text ? json_loads(text, 0, NULL) : NULL;

    return (struct challenges){
        .offered = acme_challenge_types(request, acme_of(request)->profile,
                                        row_text(authz, 0, "type"), row_bool(authz, 0, "wildcard")),
        .records = records ? mem_adopt(request, records, json_decref) : NULL,
    };
}

/* NULL where there is none of this type: it is not offered, and was not when somebody could have
 * answered it. */
static json_t *challenge_find(struct request *request, const struct rows *authz,
                              const struct challenges *known, const char *type)
{
    json_t *record = recorded(known->records, type);

    return record || text_list_has(&known->offered, type)
               ? challenge_object(request, authz, type, record)
               : NULL;
}

/* A valid authorization lists the challenge that succeeded; others list all that there are. */
static json_t *challenge_objects(struct request *request, const struct rows *authz)
{
    const struct challenges known = challenges_of(request, authz);
    const bool valid = text_equal(row_text(authz, 0, "status"), "valid");
    json_t *objects = json_array();

    for (size_t i = 0; i < challenge_type_count; i++) {
        json_t *object = challenge_find(request, authz, &known, challenge_types[i].name);

        if (!object)
            continue;
        if (valid && !text_equal(json_text_at(object, "status"), "valid"))
            json_decref(object);
        else
            json_add_new(objects, object);
        if (valid && json_array_size(objects) == 1)
            break;
    }
    return objects;
}

static struct rows *authz_read(struct request *request, const char *authz_id, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    struct rows *rows = db_query(request, request->db, &acme_authz_read, fault, TEXT(authz_id),
                                 TEXT(acme->jws->nonce), INSTANT(acme_nonce_expires(request)));

    if (!rows)
        return NULL;
    acme->spent = true;
    if (!row_bool(rows, 0, "fresh"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (row_null(rows, 0, "authz_id"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such authorization");
    if (!text_equal(row_text(rows, 0, "account_id"), acme->account.id))
        return fault_set(fault, ACME_NOT_OWNER, NULL, "account does not own this resource");
    return rows;
}

/* Somebody works on one of the challenges: worth to ask again soon. */
static bool in_progress(json_t *challenges)
{
    size_t index;
    json_t *challenge;

    json_array_foreach (challenges, index, challenge)
        if (text_equal(json_text_at(challenge, "status"), "processing"))
            return true;
    return false;
}

bool acme_authz_answer(struct response *response, unsigned status, const struct rows *rows)
{
    struct request *request = response->request;
    json_t *body = json_object();
    json_t *identifier = json_object();
    json_t *challenges = challenge_objects(request, rows);

    json_set_text(identifier, "type", row_text(rows, 0, "type"));
    json_set_text(identifier, "value", row_text(rows, 0, "value"));
    json_set_new(body, "identifier", identifier);
    json_set_text(body, "status", row_text(rows, 0, "status"));
    json_set_text(body, "expires", time_to_rfc3339(request, row_time(rows, 0, "expires_at")));
    json_set_new(body, "challenges", challenges);
    if (row_bool(rows, 0, "wildcard"))
        json_set_bool(body, "wildcard", true);
    if (text_equal(row_text(rows, 0, "status"), "pending") && in_progress(challenges))
        response_header(response, "Retry-After", WORKING_S);
    return response_json(response, status, body);
}

/* What the SQL functions of this file say instead of doing it. */
static bool outcome_check(struct request *request, const struct rows *rows, const char *what,
                          const char *dead, struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    acme_of(request)->spent = true;
    if (text_equal(outcome, "bad_nonce"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (text_equal(outcome, "unknown"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such %s", what);
    if (text_equal(outcome, "foreign"))
        return fault_set(fault, ACME_NOT_OWNER, NULL, "account does not own this resource");
    if (text_equal(outcome, "dead"))
        return fault_set(fault, INPUT_MALFORMED, NULL, "%s", dead);
    if (text_equal(outcome, "rate_limited"))
        return acme_rate_refuse(rows, fault);
    return true;
}

static bool authz_deactivate(struct request *request, struct response *response,
                             struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    struct rows *rows = db_query(
        request, request->db, &acme_authz_give_up, fault, TEXT(acme->jws->nonce),
        INSTANT(acme_nonce_expires(request)), TEXT(acme->account.id),
        TEXT(request_captured(request, "authz")), TEXT(id_new(request, "audit")),
        TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
        TEXT(request->request_id));

    return rows &&
           outcome_check(request, rows, "authorization",
                         "the authorization is over and cannot be deactivated", fault) &&
           acme_authz_answer(response, 200, rows);
}

/* RFC 8555 section 7.5.2: the one thing that a client may change. */
bool acme_authorization(struct request *request, struct response *response, struct fault *fault)
{
    const json_t *payload = acme_of(request)->payload;

    if (payload && json_object_size(payload) > 0) {
        if (json_object_size(payload) != 1 ||
            !text_equal(json_text_at(payload, "status"), "deactivated"))
            return fault_set(fault, INPUT_MALFORMED, NULL,
                             "an authorization can be read, or its status set to deactivated");
        return authz_deactivate(request, response, fault);
    }
    struct rows *rows = authz_read(request, request_captured(request, "authz"), fault);
    return rows && acme_authz_answer(response, 200, rows);
}

struct challenge_name {
    const char *id;
    const char *authz_id;
    const char *type;
};

/* The authorization's random part, a dot, and the type. */
static bool challenge_name_read(struct request *request, struct challenge_name *ret,
                                struct fault *fault)
{
    const char *id = request_captured(request, "challenge");
    const char *dot = strchr(id, '.');

    if (!text_starts(id, CHALLENGE_PREFIX) || !dot)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such challenge");
    const char *rest = id + strlen(CHALLENGE_PREFIX);
    *ret = (struct challenge_name){
        .id = id,
        .authz_id = mem_printf(request, AUTHZ_PREFIX "%.*s", (int)(dot - rest), rest), /* short */
        .type = dot + 1,
    };
    return true;
}

static bool challenge_answer(struct response *response, const struct rows *rows,
                             const struct challenge_name *name, struct fault *fault)
{
    struct request *request = response->request;
    const struct challenges known = challenges_of(request, rows);
    json_t *challenge = challenge_find(request, rows, &known, name->type);

    if (!challenge)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such challenge");
    response_header_add(response, "Link", "<%s>;rel=\"up\"",
                        acme_url(request, "/authz/%s", name->authz_id));
    if (text_equal(json_text_at(challenge, "status"), "processing"))
        response_header(response, "Retry-After", WORKING_S);
    return response_json(response, 200, challenge);
}

static bool offered(struct request *request, const char *type, const char *identifier_type,
                    bool wildcard)
{
    const struct text_list types = acme_challenge_types(request, acme_of(request)->profile,
                                                        identifier_type, wildcard);

    return text_list_has(&types, type);
}

/* 01 section 11.1. What is not offered cannot be answered either: the function knows what kind of
 * identifier it is, and is told which kinds this type may prove. */
static struct rows *challenge_respond(struct request *request, const struct challenge_name *name,
                                      struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    const int64_t per_hour = least(request->settings->acme_challenge_responds_per_hour,
                                   INT64_C(1000000000)); /* an integer there */
    struct rows *rows = db_query(
        request, request->db, &acme_challenge_answer, fault, TEXT(acme->jws->nonce),
        INSTANT(acme_nonce_expires(request)), TEXT(acme->account.id), TEXT(name->authz_id),
        TEXT(name->id), TEXT(name->type), BOOLEAN(offered(request, name->type, "dns", false)),
        BOOLEAN(offered(request, name->type, "dns", true)),
        BOOLEAN(offered(request, name->type, "ip", false)), TEXT(acme->key->thumbprint),
        INTEGER(per_hour), INTEGER(PROCESSING_MOST),
        TEXT(acme_url(request, "/account/%s", acme->account.id)));

    if (!rows || !outcome_check(request, rows, "challenge",
                                "challenge is no longer in pending state", fault))
        return NULL;
    if (text_equal(row_text(rows, 0, "outcome"), "responded"))
        db_wake(request->db, "acme-validate");
    return rows;
}

bool acme_challenge(struct request *request, struct response *response, struct fault *fault)
{
    struct challenge_name name = {0};

    if (!challenge_name_read(request, &name, fault))
        return false;
    struct rows *rows = acme_of(request)->payload ? challenge_respond(request, &name, fault)
                                                  : authz_read(request, name.authz_id, fault);
    return rows && challenge_answer(response, rows, &name, fault);
}
