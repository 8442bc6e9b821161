/* fcgi/acme/key_change.c: a new key for an account, which both keys sign for (RFC 8555 section
 * 7.3.5, 01 section 8.5). */
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"

#include "core/banned.h"

#define LIMIT_WHOLE 1000000000

STATEMENT(acme_key_roll,
          "SELECT outcome, holder, retry_after "
          "  FROM acme_key_change($1, $2::timestamptz, $3, $4, $5, $6, $7, $8::integer, $9, "
          "                       $10::inet, $11)");

struct key_change {
    const char *account;
    json_t *old_key;
};

static const struct member key_change_members[] = {
    {"account", MEMBER_TEXT,   REQUIRED, AT(key_change, account)},
    {"oldKey",  MEMBER_OBJECT, REQUIRED, AT(key_change, old_key)},
};

static bool inner_form_check(const struct jws *inner, struct fault *fault)
{
    if (inner->kid)
        return fault_set(fault, INPUT_MALFORMED, "kid",
                         "the inner JWS must have jwk, not kid (RFC 8555 section 7.3.5)");
    if (!inner->jwk)
        return fault_set(fault, INPUT_MALFORMED, "jwk",
                         "the inner JWS has no jwk (RFC 8555 section 7.3.5)");
    return true;
}

static bool inner_header_check(const struct jws *inner, const struct jws *outer,
                               struct fault *fault)
{
    if (json_object_get(inner->header, "nonce"))
        return fault_set(fault, INPUT_MALFORMED, "nonce",
                         "the inner JWS must have no nonce (RFC 8555 section 7.3.5)");
    if (!text_equal(inner->url, outer->url))
        return fault_set(fault, ACME_URL_MISMATCH, "url",
                         "the inner url differs from the outer one (RFC 8555 section 7.3.5)");
    return true;
}

/* The new key, of an inner JWS that it signed. */
static struct jwk *inner_open(struct request *request, struct jws **ret_inner, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    if (!acme->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be the inner JWS (RFC 8555 section 7.3.5)");
    struct jws *inner = jws_from_json(acme, acme->payload, JWS_REQUEST, fault);
    if (!inner || !inner_form_check(inner, fault))
        return NULL;
    struct jwk *key = jwk_from_json(acme, inner->jwk, false, fault);
    if (!key || !inner_header_check(inner, acme->jws, fault) || !jws_verify(inner, key, fault))
        return NULL;
    *ret_inner = inner;
    return key;
}

static bool same_key(const struct jwk *a, const struct jwk *b)
{
    return bytes_equal_secret(bytes_of_text(a->thumbprint), bytes_of_text(b->thumbprint));
}

static bool old_key_check(struct request *request, const json_t *json, struct fault *fault)
{
    const struct jwk *old_key = jwk_from_json(request, json, false, fault);

    if (!old_key) {
        fault->reason = INPUT_MALFORMED; /* 01 section 8.5: no badPublicKey, the key is not new */
        return false;
    }
    if (!same_key(old_key, acme_of(request)->key))
        return fault_set(fault, REQUESTER_NOT_AUTHORIZED, "oldKey",
                         "oldKey is not the account's key");
    return true;
}

static bool inner_payload_check(struct request *request, const struct jws *inner,
                                const struct jwk *new_key, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    struct key_change wanted = {0};
    json_t *payload = json_parse_object(inner->payload, INPUT_MALFORMED, "the inner payload",
                                        fault);

    if (!payload)
        return false;
    mem_adopt(request, payload, json_decref);
    if (!json_decode(request, payload, key_change_members, &wanted, fault))
        return false;
    if (!text_equal(wanted.account, acme->jws->kid))
        return fault_set(fault, INPUT_MALFORMED, "account", "account differs from the outer kid");
    if (!old_key_check(request, wanted.old_key, fault))
        return false;
    if (same_key(new_key, acme->key))
        return fault_set(fault, INPUT_MALFORMED, "jwk", "the new key is the old one");
    return true;
}

static struct rows *key_roll(struct request *request, const struct jwk *new_key,
                             struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    const struct settings *settings = request->settings;

    return db_query(
        request, request->db, &acme_key_roll, fault, TEXT(acme->jws->nonce),
        INSTANT(acme_nonce_expires(request)), TEXT(acme->account.id), TEXT(acme->profile->id),
        TEXT(acme->key->thumbprint), TEXT(new_key->thumbprint), TEXT(jwk_to_pem(request, new_key)),
        INTEGER(least(settings->acme_key_changes_per_hour, LIMIT_WHOLE)),
        TEXT(id_new(request, "audit")),
        TEXT(settings->audit_record_ip ? request->remote_addr : NULL), TEXT(request->request_id));
}

static bool refuse_outcome(struct request *request, struct response *response,
                           const struct rows *rows, struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    if (text_equal(outcome, "bad_nonce"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (text_equal(outcome, "rate_limited"))
        return acme_rate_refuse(rows, fault);
    if (text_equal(outcome, "concurrent"))
        return fault_set(fault, ACME_KEY_CHANGED, NULL,
                         "the account key was changed concurrently; retry");
    if (text_equal(outcome, "account"))
        return fault_set(fault, ACME_ACCOUNT_STATE, NULL, "the account is not valid any more");
    /* RFC 8555 section 7.3.5: whoever holds both keys finds the other account by it. */
    response_header(response, "Location", "%s",
                    acme_url(request, "/account/%s", row_text(rows, 0, "holder")));
    return fault_set(fault, ACME_KEY_TAKEN, "jwk", "the new key belongs to another account");
}

bool acme_key_change(struct request *request, struct response *response, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    struct jws *inner = NULL;
    const struct jwk *new_key = inner_open(request, &inner, fault);

    if (!new_key || !inner || !inner_payload_check(request, inner, new_key, fault))
        return false;
    struct rows *rows = key_roll(request, new_key, fault);
    if (!rows)
        return false;
    acme->spent = true;
    if (!text_equal(row_text(rows, 0, "outcome"), "changed"))
        return refuse_outcome(request, response, rows, fault);
    return acme_account_answer(response, 200);
}
