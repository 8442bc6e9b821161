/* fcgi/api/eab_keys.c: keys for external account bindings of ACME accounts (01 sections 8.3, 18).
 * The key itself is told once, in the answer to its creation, and lies sealed in the database. */
#include <openssl/crypto.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/memory.h"
#include "fcgi/api/api.h"
#include "pki/name.h"
#include "resource/field.h"
#include "seal/seal.h"
#include "web/body.h"
#include "web/query.h"

#include "core/banned.h"

#define KEY_SIZE  64 /* as HS512 wants (RFC 7518 section 3.2); 01 section 8.3: never below 32 */
#define LIST_MOST 100

/* $1 kid, $2 sealed key, $3 profile, $4 owner, $5 team, $6 patterns, $7 reusable, $8 end, $9 $10
 * who, $11 id of the event, $12 address, $13 request. */
STATEMENT(api_eab_create,
          "SELECT verdict, doc FROM acme_eab_create($1, $2::bytea, $3, $4, $5, $6::jsonb, "
          "$7::boolean, $8::timestamptz, $9, $10, $11, $12::inet, $13)");

/* $1 kid. A key never changes its profile. */
STATEMENT(api_eab_profile, "SELECT profile_id FROM api_eab_keys WHERE id = $1::text");

/* $1 kid, $2 accounts too, $3 $4 who, $5 id of the event, $6 address, $7 request. */
STATEMENT(api_eab_revoke,
          "SELECT acme_eab_revoke($1, $2::boolean, $3, $4, $5, $6::inet, $7) AS known");

static const char *const members[] = {
    "kid",      "profile_id",       "owner_id",      "team_id",    "allowed_identifiers",
    "reusable", "status",           "expires_at",    "created_by", "created_at",
    "bound_at", "bound_account_id", "account_count", "revoked_at", NULL,
};

static const struct resource_filter filters[] = {
    {"profile_id", FILTER_ID,     "v.profile_id = $", NULL                          },
    {"status",     FILTER_CHOICE, "v.status = $",     "active|bound|expired|revoked"},
};

static const struct resource_sort sorts[] = {
    {"created_at", NULL, "v.created_at", SORT_TIME},
};

const struct resource api_eab_keys = {
    .name = "eab_keys",
    .label = "EAB key",
    .view = "api_eab_keys",
    .read = MAY_ACME_ADMIN,
    .members = members,
    .filters = filters,
    .filter_count = ARRAY_SIZE(filters),
    .sorts = sorts,
    .sort_count = ARRAY_SIZE(sorts),
    .scope_profile = "profile_id",
    .newest_first = true,
    .not_single = true,
};

/* --- what a body may say --- */

static void check_patterns(const struct resource_field *field, const json_t *value,
                           struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (json_array_size(value) == 0)
        fault_list_add(problems, INPUT_INVALID, field->name,
                       "%s is empty; leave it out where the profile's rules are enough",
                       field->name);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (text && !name_pattern_normalise(scratch, text))
            fault_list_add(problems, INPUT_INVALID, field->name,
                           "%s[%zu]: %s is no name, no *.suffix and no address", field->name, i,
                           text_quote(scratch, text));
    }
}

static void check_end(const struct resource_field *field, const json_t *value,
                      struct fault_list *problems)
{
    int64_t end_s = 0;

    if (!time_from_rfc3339(json_string_value(value), &end_s))
        fault_list_add(problems, INPUT_INVALID, field->name, "%s must be an RFC 3339 time",
                       field->name);
    else if (end_s <= clock_now_s())
        fault_list_add(problems, INPUT_INVALID, field->name, "%s must be in the future",
                       field->name);
}

static const struct resource_field fields[] = {
    FIELD("profile_id", ID, .flags = FIELD_NULLABLE),
    FIELD("owner_id", ID, .flags = FIELD_NULLABLE),
    FIELD("team_id", ID, .flags = FIELD_NULLABLE),
    FIELD("allowed_identifiers", TEXTS, .flags = FIELD_NULLABLE, .most = LIST_MOST,
          .check = check_patterns),
    FIELD("reusable", BOOLEAN, .fallback = "false"),
    FIELD("expires_at", TEXT, .flags = FIELD_NULLABLE, .check = check_end),
};

/* Not written by lib/resource: the table's key is no id, and the answer tells what no view has. */
static const struct resource_write writes = {
    .fields = fields,
    .field_count = ARRAY_SIZE(fields),
};

/* --- create --- */

/* A new reference: the row that the body asks for. */
static json_t *wish_read(struct request *request, struct fault *fault)
{
    AUTO(json_t) *body = request_json(request, fault);
    struct fault_list *problems = mem_new(request, struct fault_list);

    if (!body)
        return NULL;
    json_t *row = fields_merge(&writes, BODY_NEW, NULL, body, problems);
    if (problems->count == 0)
        return row;
    json_decref(row);
    request->problems = problems;
    *fault = problems->items[0];
    return NULL;
}

/* Who may act for some profiles alone gives out no key for others, nor one for all. */
static bool scope_check(const struct request *request, const char *profile_id, struct fault *fault)
{
    const struct api_request *api = request->protocol;

    return permission_scope_covers(&api->principal.scope, profile_id, NULL) ||
           fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
}

static const char *patterns_text(struct request *request, const json_t *row)
{
    const json_t *patterns = json_object_get(row, "allowed_identifiers");
    AUTO(json_t) *normal = json_array();

    if (!json_is_array(patterns))
        return NULL;
    for (size_t i = 0; i < json_array_size(patterns); i++)
        json_add_text(normal, name_pattern_normalise(
                                  request, json_string_value(json_array_get(patterns, i))));
    return json_to_text(request, normal);
}

static bool created(const struct rows *rows, const json_t *row, struct fault *fault)
{
    const char *verdict = row_text(rows, 0, "verdict");

    if (text_equal(verdict, "created"))
        return true;
    const char *field = text_equal(verdict, "profile") ? "profile_id"
                        : text_equal(verdict, "owner") ? "owner_id"
                                                       : "team_id";
    return fault_set(fault, INPUT_INVALID, field, "no such %s \"%s\"", verdict,
                     json_text_at(row, field));
}

static bool create(struct request *request, struct response *response, const json_t *row,
                   struct bytes key, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const struct seal_passphrases passphrases = seal_passphrases_of(request->settings);
    const struct bytes *sealed = seal_write(request, &passphrases, key, fault);
    int64_t end_s = 0; /* none */

    if (!sealed)
        return false;
    (void)time_from_rfc3339(json_text_at(row, "expires_at"), &end_s);
    const struct rows *rows = db_query(
        request, request->db, &api_eab_create, fault, TEXT(id_new_secret(request, "eab")),
        BYTEA(*sealed), TEXT(json_text_at(row, "profile_id")), TEXT(json_text_at(row, "owner_id")),
        TEXT(json_text_at(row, "team_id")), TEXT(patterns_text(request, row)),
        BOOLEAN(json_is_true(json_object_get(row, "reusable"))), INSTANT(end_s),
        TEXT(api->principal.actor_id), TEXT(api->principal.actor_type),
        TEXT(id_new(request, "audit")),
        TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
        TEXT(request->request_id));
    if (!rows || !created(rows, row, fault))
        return false;
    json_t *answer = json_loads(row_text(rows, 0, "doc"), 0, NULL);
    json_set_text(answer, "hmac_key", base64url_from_bytes(request, key));
    api_answer_is_secret(request);
    return response_json(response, 201, answer);
}

bool api_create_eab_key(struct request *request, struct response *response, struct fault *fault)
{
    AUTO(json_t) *row = wish_read(request, fault);
    uint8_t key[KEY_SIZE];

    if (!row || !scope_check(request, json_text_at(row, "profile_id"), fault))
        return false;
    random_bytes(key, sizeof(key));
    const bool done = create(request, response, row, BYTES_OF(key), fault);
    OPENSSL_cleanse(key, sizeof(key));
    return done || api_failed(fault, "Failed to create EAB key");
}

/* --- revoke --- */

static bool accounts_too(struct request *request, bool *ret_accounts, struct fault *fault)
{
    struct query query = {0};

    if (!query_parse(request, request->query, &query, fault))
        return false;
    const char *value = query_value(&query, "revoke_accounts");
    *ret_accounts = text_equal(value, "true");
    return !value || *ret_accounts || text_equal(value, "false") ||
           fault_set(fault, INPUT_INVALID, "revoke_accounts",
                     "revoke_accounts must be true or false");
}

static bool revoke_key(struct request *request, const char *kid, bool accounts, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    struct rows *rows = db_query(request, request->db, &api_eab_profile, fault, TEXT(kid));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "EAB key not found");
    if (!scope_check(request, row_text(rows, 0, "profile_id"), fault))
        return false;
    rows = db_query(request, request->db, &api_eab_revoke, fault, TEXT(kid), BOOLEAN(accounts),
                    TEXT(api->principal.actor_id), TEXT(api->principal.actor_type),
                    TEXT(id_new(request, "audit")),
                    TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
                    TEXT(request->request_id));
    if (!rows)
        return false;
    return row_bool(rows, 0, "known") ||
           fault_set(fault, RESOURCE_UNKNOWN, NULL, "EAB key not found");
}

/* What is ended stays ended: the same request again is answered the same. */
bool api_revoke_eab_key(struct request *request, struct response *response, struct fault *fault)
{
    const char *kid = request_captured(request, "kid");
    bool accounts = false;

    if (!id_valid(kid))
        return fault_set(fault, INPUT_INVALID, "kid", "EAB key ID is invalid");
    if (!accounts_too(request, &accounts, fault))
        return false;
    if (!revoke_key(request, kid, accounts, fault))
        return api_failed(fault, "Failed to revoke EAB key");
    return response_empty(response, 204);
}
