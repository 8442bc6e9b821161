/* fcgi/api/intermediates.c: the CAs of an issuer (04 section 5.2, 05 section 4.3). What would begin
 * one is a request that waits for the signer's host (00 decision 52); what ends one is done now. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/memory.h"
#include "fcgi/api/api.h"
#include "fcgi/api/ca_body.h"
#include "lifecycle/ca_submit.h"
#include "lifecycle/revoke.h"
#include "web/body.h"

#include "core/banned.h"

/* $1 issuer. */
STATEMENT(api_ca_list,
          "SELECT EXISTS (SELECT 1 FROM api_issuers WHERE id = $1::text) AS known, "
          "json_build_object('data', coalesce((SELECT json_agg(v.doc ORDER BY v.created_at, v.id) "
          "FROM api_intermediates v WHERE v.issuer_id = $1::text), '[]'))::text AS doc");

/* $1 CA. */
STATEMENT(api_ca_get, "SELECT id, issuer_id, state, serial_number, key_algorithm, key_ref, "
                      "cert_der IS NOT NULL AS held, doc FROM api_intermediates "
                      "WHERE id = $1::text");

/* $1 request. */
STATEMENT(api_ca_request_get, "SELECT issuer_id, doc FROM api_ca_requests WHERE id = $1::text");

/* $1 issuer, $2 parent or NULL, $3 name. */
STATEMENT(api_ca_place,
          "SELECT EXISTS (SELECT 1 FROM api_issuers WHERE id = $1::text) AS known, "
          "EXISTS (SELECT 1 FROM api_intermediates WHERE issuer_id = $1::text "
          "AND name = $3::text) AS name_taken, "
          "EXISTS (SELECT 1 FROM api_intermediates WHERE issuer_id = $1::text "
          "AND parent_id IS NULL AND state = 'active') AS has_root, p.id AS parent_id, p.state, "
          "p.cert_der FROM (VALUES (1)) one LEFT JOIN api_intermediates p ON p.id = $2::text "
          "AND p.issuer_id = $1::text");

static bool scope_check(const struct request *request, const char *issuer_id, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const struct permission_scope *scope = &api->principal.scope;

    return scope->everything || text_list_has(&scope->issuers, issuer_id) ||
           fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
}

static struct ca_asker asker_of(const struct request *request)
{
    const struct api_request *api = request->protocol;

    return (struct ca_asker){
        .actor = api->principal.actor_id,
        .actor_type = api->principal.actor_type,
        .source_ip = request->settings->audit_record_ip ? request->remote_addr : NULL,
        .request_id = request->request_id,
    };
}

/* The row of the CA that the route names; whoever asks may know of it. */
static struct rows *ca_find(struct request *request, struct fault *fault)
{
    const char *id = request_captured(request, "id");
    struct rows *rows;

    if (!id_valid(id))
        return fault_set(fault, INPUT_INVALID, "id", "intermediate CA ID is invalid");
    rows = db_query(request, request->db, &api_ca_get, fault, TEXT(id));
    if (!rows)
        return NULL;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "intermediate CA not found");
    return scope_check(request, row_text(rows, 0, "issuer_id"), fault) ? rows : NULL;
}

static bool issuer_known(const struct rows *rows, const char *issuer_id, struct fault *fault)
{
    return row_bool(rows, 0, "known") ||
           fault_set(fault, RESOURCE_UNKNOWN, "issuer_id", "issuer not found: %s", issuer_id);
}

bool api_list_intermediates(struct request *request, struct response *response, struct fault *fault)
{
    const char *issuer_id = request_captured(request, "id");

    if (!id_valid(issuer_id))
        return fault_set(fault, INPUT_INVALID, "id", "Issuer ID is invalid");
    if (!scope_check(request, issuer_id, fault))
        return false;
    struct rows *rows = db_query(request, request->db, &api_ca_list, fault, TEXT(issuer_id));
    return rows && issuer_known(rows, issuer_id, fault) &&
           response_json_text(response, 200, row_text(rows, 0, "doc"));
}

bool api_get_intermediate(struct request *request, struct response *response, struct fault *fault)
{
    struct rows *rows = ca_find(request, fault);

    return rows && response_json_text(response, 200, row_text(rows, 0, "doc"));
}

bool api_get_ca_request(struct request *request, struct response *response, struct fault *fault)
{
    const char *id = request_captured(request, "id");

    if (!id_valid(id))
        return fault_set(fault, INPUT_INVALID, "id", "CA request ID is invalid");
    struct rows *rows = db_query(request, request->db, &api_ca_request_get, fault, TEXT(id));
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "CA request not found");
    return scope_check(request, row_text(rows, 0, "issuer_id"), fault) &&
           response_json_text(response, 200, row_text(rows, 0, "doc"));
}

/* What cannot be known before the signer is asked is the job's to refuse. */
static bool submit(struct request *request, struct response *response, const char *issuer_id,
                   const struct ca_order *order, struct fault *fault)
{
    AUTO(json_t) *body = ca_order_to_body(order);
    const struct ca_asker asker = asker_of(request);
    const struct ca_request wanted = {ca_order_kind_text(order->kind), issuer_id, asker.actor,
                                      body};
    struct ca_order checked;
    const char *id;

    if (!ca_order_from_body(request, wanted.kind, body, &checked, fault))
        return ca_body_fault(fault);
    if (!lifecycle_ca_request(request, request->db, &wanted, &asker, &id, fault))
        return false;
    json_t *answer = json_object();
    json_set_text(answer, "status", "pending");
    json_set_text(answer, "request_id", id);
    return response_json(response, 202, answer);
}

static bool root_fits(struct request *request, const struct rows *place,
                      const struct ca_order *order, struct fault *fault)
{
    struct certificate **chain = NULL;
    size_t count = 0;

    if (row_bool(place, 0, "has_root"))
        return fault_set(fault, RESOURCE_CONFLICT, "parent_ca_id",
                         "the issuer has an active root already");
    if (!ca_chain_read(request, order->chain, &chain, &count, fault) || count != 1)
        return fault_set(fault, INPUT_INVALID, "root_cert_pem", "invalid cert PEM");
    if (ca_root_check(chain[0], fault) && ca_chain_check(chain, count, clock_now_s(), fault))
        return true;
    fault->field = "root_cert_pem";
    return false;
}

static bool child_fits(struct request *request, const struct rows *place,
                       const struct ca_order *order, struct fault *fault)
{
    if (row_null(place, 0, "parent_id"))
        return fault_set(fault, RESOURCE_UNKNOWN, "parent_ca_id", "intermediate CA not found");
    if (row_null(place, 0, "cert_der"))
        return fault_set(fault, RESOURCE_STATE, "parent_ca_id",
                         "parent CA is not in active state: its key is elsewhere");
    const struct certificate *parent = certificate_from_der(
        request, row_bytes(request, place, 0, "cert_der"), fault);
    struct ca_wish wish = ca_order_wish(request, order, (struct bytes){0}, clock_now_s(), 0);
    return parent &&
           ((ca_may_be_parent(parent, row_text(place, 0, "state"), clock_now_s(), fault) &&
             ca_fit_below(request, parent, &wish, fault)) ||
            ca_body_fault(fault));
}

bool api_create_intermediate(struct request *request, struct response *response,
                             struct fault *fault)
{
    const char *issuer_id = request_captured(request, "id");
    AUTO(json_t) *body = NULL;
    struct ca_order order;

    if (!id_valid(issuer_id))
        return fault_set(fault, INPUT_INVALID, "id", "Issuer ID is invalid");
    if (!scope_check(request, issuer_id, fault))
        return false;
    body = request_json(request, fault);
    if (!body || !ca_body_read(request, body, issuer_id, &order, fault))
        return false;
    struct rows *place = db_query(request, request->db, &api_ca_place, fault, TEXT(issuer_id),
                                  TEXT(order.ca_id), TEXT(order.name));
    if (!place || !issuer_known(place, issuer_id, fault))
        return false;
    if (row_bool(place, 0, "name_taken"))
        return fault_set(fault, RESOURCE_CONFLICT, "name", "the issuer has a CA of that name");
    const bool fits = order.kind == CA_IMPORT ? root_fits(request, place, &order, fault)
                                              : child_fits(request, place, &order, fault);
    return fits && submit(request, response, issuer_id, &order, fault);
}

struct retire_body {
    const char *note;
    bool confirm;
};
static const struct member retire_members[] = {
    {"note",    MEMBER_TEXT,    OPTIONAL, AT(retire_body, note)   },
    {"confirm", MEMBER_BOOLEAN, OPTIONAL, AT(retire_body, confirm)},
};

bool api_retire_intermediate(struct request *request, struct response *response,
                             struct fault *fault)
{
    AUTO(json_t) *body = request_json_optional(request, fault);
    const struct ca_asker asker = asker_of(request);
    struct retire_body wanted = {0};
    const char *state;

    if (!body || !json_decode(request, body, retire_members, &wanted, fault))
        return false;
    if (wanted.note && strlen(wanted.note) > CA_NOTE_MAX)
        return fault_set(fault, INPUT_INVALID, "note", "note: at most %d bytes", CA_NOTE_MAX);
    struct rows *rows = ca_find(request, fault);
    if (!rows)
        return false;
    const struct ca_retirement retirement = {
        .ca_id = row_text(rows, 0, "id"), .confirm = wanted.confirm, .note = wanted.note};
    if (!lifecycle_ca_retire(request, request->db, &retirement, &asker, &state, fault))
        return false;
    db_wake(request->db, "ca-hierarchy"); /* it tells the signer */
    json_t *answer = json_object();
    json_set_text(answer, "id", retirement.ca_id);
    json_set_text(answer, "decided_by", asker.actor);
    json_set_bool(answer, "confirmed", wanted.confirm);
    return response_json(response, 200, answer);
}

struct revoke_body {
    const char *reason;
};
static const struct member revoke_members[] = {
    {"reason", MEMBER_TEXT, OPTIONAL, AT(revoke_body, reason)},
};

/* A hold would have to be lifted again, and a CA's never is. */
static bool read_reason(struct request *request, enum revocation_reason *ret_reason,
                        struct fault *fault)
{
    AUTO(json_t) *body = request_json_optional(request, fault);
    struct revoke_body wanted = {.reason = "unspecified"};

    if (!body || !json_decode(request, body, revoke_members, &wanted, fault))
        return false;
    if (revocation_reason_from_text(wanted.reason, ret_reason) &&
        *ret_reason != REVOKED_CERTIFICATE_HOLD)
        return true;
    return fault_set(fault, INPUT_INVALID, "reason", "invalid revocation reason: %s",
                     text_quote(request, wanted.reason));
}

bool api_revoke_intermediate(struct request *request, struct response *response,
                             struct fault *fault)
{
    const struct ca_asker asker = asker_of(request);
    enum revocation_reason reason;

    if (!read_reason(request, &reason, fault))
        return false;
    struct rows *rows = ca_find(request, fault);
    if (!rows)
        return false;
    const struct ca_revocation revocation = {row_text(rows, 0, "id"),
                                             row_text(rows, 0, "serial_number"), reason};
    if (!lifecycle_ca_revoke(request, request->db, request->settings, &revocation, &asker, fault))
        return false;
    db_wake(request->db, "ca-hierarchy");
    json_t *answer = json_object();
    json_set_text(answer, "status", "revoked");
    return response_json(response, 200, answer);
}

struct renew_body {
    bool rekey;
    int64_t ttl_days;
};
static const struct member renew_members[] = {
    {"rekey",    MEMBER_BOOLEAN, OPTIONAL, AT(renew_body, rekey)   },
    {"ttl_days", MEMBER_INTEGER, OPTIONAL, AT(renew_body, ttl_days)},
};

static bool renew_read(struct request *request, struct renew_body *ret_wanted, struct fault *fault)
{
    AUTO(json_t) *body = request_json_optional(request, fault);
    struct renew_body wanted = {.rekey = true};

    if (!body || !json_decode(request, body, renew_members, &wanted, fault))
        return false;
    /* Two CAs of one name and key would share numbers and scope of their CRLs. */
    if (!wanted.rekey)
        return fault_set(fault, INPUT_INVALID, "rekey",
                         "rekey must be true: a CA is renewed with a new key");
    if (wanted.ttl_days < 0 || wanted.ttl_days > CA_DAYS_MAX)
        return fault_set(fault, INPUT_INVALID, "ttl_days", "ttl_days must be 0 to %d", CA_DAYS_MAX);
    *ret_wanted = wanted;
    return true;
}

static bool renewable(const struct rows *rows, struct fault *fault)
{
    if (!row_bool(rows, 0, "held"))
        return fault_set(fault, RESOURCE_STATE, "id", "the CA's key is elsewhere");
    return text_equal(row_text(rows, 0, "state"), "active") ||
           fault_set(fault, RESOURCE_STATE, "id", "only an active CA is renewed: this one is %s",
                     row_text(rows, 0, "state"));
}

/* The same kind of key, in the same driver, and what its signer knows of the old one. */
bool api_renew_intermediate(struct request *request, struct response *response, struct fault *fault)
{
    struct renew_body wanted = {0};

    if (!renew_read(request, &wanted, fault))
        return false;
    struct rows *rows = ca_find(request, fault);
    if (!rows || !renewable(rows, fault))
        return false;
    const char *issuer_id = row_text(rows, 0, "issuer_id");
    struct ca_order order = {
        .kind = CA_RENEW,
        .ca_id = row_text(rows, 0, "id"),
        .algorithm = row_text(rows, 0, "key_algorithm"),
        .driver = text_starts(row_text(rows, 0, "key_ref"), "pkcs11:") ? "pkcs11" : "file",
        .days = wanted.ttl_days == 0 ? CA_ISSUING_DAYS : wanted.ttl_days,
        .path_len = -1,
    };
    return submit(request, response, issuer_id, &order, fault);
}
