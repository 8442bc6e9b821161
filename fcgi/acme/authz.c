/* fcgi/acme/authz.c: authorizations and their challenges as objects (RFC 8555 sections 7.1.4, 7.5).
 *
 * Challenges of one authorization share its token; a row exists only for a type that a client
 * responded to, so the objects are made from the authorization alone (01 section 9.5). */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"

#include "core/banned.h"

#define AUTHZ_PREFIX     "acme-authz-"
#define CHALLENGE_PREFIX "acme-chall-"

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

struct text_list acme_challenge_types(TALLOC_CTX *ctx, const struct acme_profile *profile,
                                      const char *identifier_type, bool wildcard)
{
    static const struct {
        const char *type;
        bool plain;
        bool wildcard;
        bool ip;
    } proofs[] = {
        {"http-01",     true, false, true },
        {"dns-01",      true, true,  false},
        {"tls-alpn-01", true, false, true },
    };
    const bool ip = text_equal(identifier_type, "ip");
    struct text_list types = {0};

    for (size_t i = 0; i < ARRAY_SIZE(proofs); i++) {
        const bool fits = ip ? proofs[i].ip : wildcard ? proofs[i].wildcard : proofs[i].plain;

        if (fits && text_list_has(&profile->challenge_types, proofs[i].type))
            text_list_add(ctx, &types, proofs[i].type);
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
    json_set_text(challenge, "token", row_text(authz, 0, "token"));
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

/* A valid authorization lists the challenge that succeeded; others list all that are offered. */
static json_t *challenge_objects(struct request *request, const struct rows *authz)
{
    const struct text_list types = acme_challenge_types(request, acme_of(request)->profile,
                                                        row_text(authz, 0, "type"),
                                                        row_bool(authz, 0, "wildcard"));
    const bool valid = text_equal(row_text(authz, 0, "status"), "valid");
    const char *text = row_text(authz, 0, "challenges");
    AUTO(json_t) *records = text ? json_loads(text, 0, NULL) : json_array();
    json_t *objects = json_array();

    for (size_t i = 0; i < types.count; i++) {
        json_t *object = challenge_object(request, authz, types.items[i],
                                          recorded(records, types.items[i]));

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

bool acme_authorization(struct request *request, struct response *response, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);

    if (acme->payload && json_object_size(acme->payload) > 0)
        return fault_set(fault, INPUT_MALFORMED, NULL, "an authorization can only be read here");
    struct rows *rows = authz_read(request, request_captured(request, "authz"), fault);
    if (!rows)
        return false;
    json_t *body = json_object();
    json_t *identifier = json_object();
    json_set_text(identifier, "type", row_text(rows, 0, "type"));
    json_set_text(identifier, "value", row_text(rows, 0, "value"));
    json_set_new(body, "identifier", identifier);
    json_set_text(body, "status", row_text(rows, 0, "status"));
    json_set_text(body, "expires", time_to_rfc3339(request, row_time(rows, 0, "expires_at")));
    json_set_new(body, "challenges", challenge_objects(request, rows));
    if (row_bool(rows, 0, "wildcard"))
        json_set_bool(body, "wildcard", true);
    return response_json(response, 200, body);
}

static json_t *challenge_of_type(json_t *objects, const char *type)
{
    json_t *found = recorded(objects, type);

    return found ? json_incref(found) : NULL;
}

bool acme_challenge(struct request *request, struct response *response, struct fault *fault)
{
    const char *id = request_captured(request, "challenge");
    const char *dot = strchr(id, '.');

    if (!text_starts(id, CHALLENGE_PREFIX) || !dot)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such challenge");
    const char *rest = id + strlen(CHALLENGE_PREFIX);
    const char *authz_id = mem_printf(request, AUTHZ_PREFIX "%.*s", (int)(dot - rest),
                                      rest); /* ids are short */
    struct rows *rows = authz_read(request, authz_id, fault);
    if (!rows)
        return false;
    AUTO(json_t) *objects = challenge_objects(request, rows);
    json_t *challenge = challenge_of_type(objects, dot + 1);
    if (!challenge)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such challenge");
    response_header_add(response, "Link", "<%s>;rel=\"up\"",
                        acme_url(request, "/authz/%s", authz_id));
    return response_json(response, 200, challenge);
}
