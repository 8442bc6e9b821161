/* fcgi/acme/open.c: the checks of 01 section 6.1, in their order, for every POST.
 *
 * The first write to the database comes after a good signature, so that rubbish costs one MAC. */
#include "core/auto.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "lifecycle/issue.h"

#include "core/banned.h"

STATEMENT(acme_account_open,
          "SELECT account_id, profile_id, status, jwk_pem, contact, tos_agreed_at IS NOT NULL AS "
          "tos_agreed, "
          "       allowed_identifiers "
          "  FROM acme_accounts WHERE account_id = $1");

/* Finalize reads all it needs at once, so that the whole request takes two round trips. $2 order,
 * $3 nonce: a replay is refused before anything is signed. */
STATEMENT(
    acme_account_open_finalize,
    "SELECT a.account_id, a.profile_id, a.status, a.jwk_pem, a.contact, "
    "       a.tos_agreed_at IS NOT NULL AS tos_agreed, a.allowed_identifiers, "
    "       EXISTS (SELECT 1 FROM replay_guard g WHERE g.scope = 'acme_nonce' AND g.key = $3) AS "
    "       nonce_spent, "
    "       o.order_id, o.account_id AS order_account_id, o.status AS order_status, "
    "       o.expires_at AS order_expires, o.identifiers AS order_identifiers, "
    "       o.not_before AS order_not_before, o.not_after AS order_not_after, o.error AS "
    "       order_error, "
    "       o.certificate_id AS order_certificate, o.csr_sha256 AS order_csr_sha256, "
    "       o.profile_id AS order_profile_id, " ACME_ORDER_REST
    "       $4::boolean AND o.auth_mode = 'challenge' AND EXISTS (SELECT 1 FROM "
    "         acme_order_authorizations oa JOIN acme_authorizations z ON z.authz_id = oa.authz_id "
    "        WHERE oa.order_id = o.order_id "
    "          AND NOT acme_caa_fresh(z.identifier, z.caa_checked_at, '0')) AS order_caa_due, "
    "       ARRAY(SELECT oa.authz_id::text FROM acme_order_authorizations oa WHERE oa.order_id = "
    "       o.order_id "
    "              ORDER BY oa.position) AS order_authorizations, "
    "       coalesce(a.owner_id, p.enroll_owner_id) AS owner_id, "
    "       p.enroll_team_id AS team_id, p.enroll_renewal_policy_id AS renewal_policy_id, "
    "       " ISSUE_COLUMNS "  FROM acme_accounts a "
    "  LEFT JOIN acme_orders o ON o.order_id = $2 "
    "  LEFT JOIN issuers i ON i.id = o.issuer_id "
    "  LEFT JOIN certificate_profiles p ON p.id = coalesce(o.cert_profile_id, o.profile_id) "
    "  LEFT JOIN issuing_cas c ON c.issuer_id = o.issuer_id "
    " WHERE a.account_id = $1");

static bool media_type_check(struct request *request, struct fault *fault)
{
    const char *type = request->content_type ? request->content_type : "";
    const size_t length = strcspn(type, "; \t");

    if (!text_equal_nocase(mem_text_n(request, type, length), "application/jose+json"))
        return fault_set(fault, MEDIA_TYPE_WRONG, NULL,
                         "the Content-Type must be application/jose+json (RFC 8555 section 6.2)");
    return true;
}

static bool url_check(struct request *request, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    const char *here = request->query[0] ? mem_printf(request, "%s%s?%s", acme->base, request->path,
                                                      request->query)
                                         : mem_printf(request, "%s%s", acme->base, request->path);

    if (!acme->jws->url)
        return fault_set(fault, ACME_URL_MISMATCH, "url",
                         "the protected header has no url (RFC 8555 section 6.4)");
    if (!text_equal(acme_url_canonical(request, acme->jws->url), here))
        return fault_set(fault, ACME_URL_MISMATCH, "url", "url is %s, but this is %s",
                         text_quote(request, acme->jws->url), here);
    return true;
}

static bool key_form_check(const struct request *request, struct fault *fault)
{
    const struct jws *jws = acme_of(request)->jws;

    if ((jws->kid != NULL) == (jws->jwk != NULL))
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "exactly one of kid and jwk must be present (RFC 8555 section 6.2)");
    if (request->route->access == JWS_EITHER)
        return true;
    if (request->route->access == JWS_KEY && !jws->jwk)
        return fault_set(fault, INPUT_MALFORMED, NULL, "this endpoint requires `jwk`, not `kid`");
    if (request->route->access != JWS_KEY && !jws->kid)
        return fault_set(fault, INPUT_MALFORMED, NULL, "this endpoint requires `kid`, not `jwk`");
    return true;
}

static struct rows *account_query(struct request *request, const char *account_id,
                                  struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    if (request->route->access == JWS_EITHER) {
        acme->leaf_rows = acme_leaf_query(request, account_id, fault);
        return acme->leaf_rows;
    }
    if (request->route->access != JWS_FINALIZE)
        return db_query(request, request->db, &acme_account_open, fault, TEXT(account_id));
    acme->order_rows = db_query(request, request->db, &acme_account_open_finalize, fault,
                                TEXT(account_id), TEXT(request_captured(request, "order")),
                                TEXT(acme->jws->nonce), BOOLEAN(acme_caa_is_wanted(request)));
    return acme->order_rows;
}

/* An identifier pattern list, stored as a JSON array of texts. */
static bool allowed_read(struct acme_request *acme, const char *text, struct fault *fault)
{
    if (!text)
        return true;
    AUTO(json_t) *array = json_loads(text, 0, NULL);
    size_t index;
    json_t *pattern;

    if (!json_is_array(array))
        return fault_set(fault, INTERNAL, NULL, "the account's identifier patterns cannot be read");
    json_array_foreach (array, index, pattern)
        text_list_add(acme, &acme->account.allowed_identifiers, json_string_value(pattern));
    return true;
}

static bool account_find(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const char *account_id = acme_url_account(request, acme->jws->kid);

    if (!account_id)
        return fault_set(fault, INPUT_MALFORMED, "kid",
                         "kid is not an account URL of this profile");
    struct rows *rows = account_query(request, account_id, fault);
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, ACME_ACCOUNT_UNKNOWN, "kid", "there is no such account");
    if (!text_equal(row_text(rows, 0, "profile_id"), acme->profile->id))
        return fault_set(fault, ACME_ACCOUNT_STATE, "kid",
                         "the account belongs to another profile");
    acme->account.id = row_text(rows, 0, "account_id");
    acme->account.status = row_text(rows, 0, "status");
    acme->account.contact = row_texts(acme, rows, 0, "contact");
    acme->account.tos_agreed = row_bool(rows, 0, "tos_agreed");
    if (!text_equal(acme->account.status, "valid"))
        return fault_set(fault, ACME_ACCOUNT_STATE, "kid", "the account is %s",
                         acme->account.status);
    request->actor = mem_printf(request, "acme:%s", acme->account.id);
    acme->key = jwk_from_pem(acme, row_text(rows, 0, "jwk_pem"), fault);
    return acme->key && allowed_read(acme, row_text(rows, 0, "allowed_identifiers"), fault);
}

static bool key_find(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    if (!acme->jws->jwk)
        return account_find(request, fault);
    /* What a weak key signed must be revocable by it (01 section 6.3). */
    acme->key = jwk_from_json(acme, acme->jws->jwk, request->route->access == JWS_EITHER, fault);
    return acme->key != NULL;
}

/* Reads spend the nonce with the statement that reads; only writes are guarded here. */
static bool replay_check(const struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    if (!acme->order_rows || !row_bool(acme->order_rows, 0, "nonce_spent"))
        return true;
    acme->spent = true;
    return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
}

static bool payload_read(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    if (acme->jws->payload.size == 0)
        return true;
    json_t *payload = json_parse_object(acme->jws->payload, INPUT_MALFORMED, "the payload", fault);
    if (!payload)
        return false;
    acme->payload = mem_adopt(acme, payload, json_decref);
    return true;
}

bool acme_order_reread(struct request *request, struct fault *fault)
{
    return account_query(request, acme_of(request)->account.id, fault) != NULL;
}

static bool request_open(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    if (!media_type_check(request, fault))
        return false;
    if (request->body.size == 0)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the request body is empty; a JWS is expected (RFC 8555 section 6.2)");
    acme->jws = jws_parse(acme, request->body, JWS_REQUEST, fault);
    if (!acme->jws || !url_check(request, fault) ||
        !acme_nonce_check(request, acme->jws->nonce, fault) || !key_form_check(request, fault) ||
        !key_find(request, fault) || !jws_verify(acme->jws, acme->key, fault))
        return false;
    acme->verified = true;
    return replay_check(request, fault) && payload_read(request, fault);
}

/* What is no id of ours names nothing (01 section 2). */
static bool ids_check(const struct request *request, struct fault *fault)
{
    for (size_t i = 0; i < request->captured_count; i++)
        if (!id_valid(request->captured[i].value))
            return fault_set(fault, ROUTE_UNKNOWN, NULL, "no such ACME resource");
    return true;
}

bool acme_admit(struct request *request, struct response *response, struct fault *fault)
{
    if (!request->settings->acme_enabled)
        return fault_set(fault, ACME_DISABLED, NULL, "the ACME server is disabled");
    if (!ids_check(request, fault) || !acme_profile_find(request, fault))
        return false;
    if (request->route->access == ANYONE)
        return true;
    if (request->query[0] && request->route->access != JWS_ORDERS)
        return fault_set(fault, INPUT_MALFORMED, NULL, "a query string is not allowed here");
    if (!acme_mtls_check(request, fault) || !request_open(request, fault))
        return false;
    response_header(response, "Cache-Control", "no-store");
    acme_nonce_header(request, response);
    return true;
}
