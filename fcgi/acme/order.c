/* fcgi/acme/order.c: orders (RFC 8555 section 7.4, 01 section 9). */
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"

#include "core/banned.h"

#define TOKEN_SIZE       32
#define NOT_BEFORE_PAST  3600
#define NOT_BEFORE_AHEAD 86400
#define NOT_AFTER_LEAST  300
#define COUNT_WHOLE      1000000000
#define DAY_S            86400

STATEMENT(acme_order_new,
          "SELECT outcome, order_id, status AS order_status, expires_at AS order_expires, "
          "       authorizations AS order_authorizations, retry_after, "
          "       $8::jsonb AS order_identifiers, $10::timestamptz AS order_not_before, "
          "       $11::timestamptz AS order_not_after, NULL::jsonb AS order_error, NULL::text AS "
          "       order_certificate, false AS order_waits, $28 AS order_replaces, "
          "       coalesce($32, $5) AS order_profile "
          "  FROM acme_order_create($1, $2::timestamptz, $3, $4, $5, $6, $7, $8::jsonb, $9::bytea, "
          "  $10::timestamptz, "
          "    $11::timestamptz, $12::timestamptz, $13::timestamptz, $14::text[], $15::text[], "
          "    $16::text[], $17::text[], "
          "    $18::boolean[], $19::boolean, $20::integer, $21::integer, make_interval(secs => "
          "    $22::integer), $23, "
          "    $24::jsonb, $25::inet, $26, $27, $28, $29, $30::boolean, $31::bigint, $32, "
          "    $33::bigint)");

/* $1 account, $2 failures an hour, $3 names without wildcards. Counted by acme-validate. */
STATEMENT(acme_order_failures,
          "SELECT rl_take('acme:failed|' || $1 || '|' || n.value, $2::integer, '1 hour', NULL, 0) "
          "AS wait FROM unnest($3::text[]) WITH ORDINALITY AS n (value, place) ORDER BY n.place");

/* Reads the order and spends the nonce of the read in one statement. */
STATEMENT(
    acme_order_read,
    "SELECT replay_spend('acme_nonce', $2, $3::timestamptz, true) AS fresh, o.order_id, "
    "       o.account_id AS order_account_id, o.status AS order_status, o.expires_at AS "
    "       order_expires, "
    "       o.identifiers AS order_identifiers, o.not_before AS order_not_before, "
    "       o.not_after AS order_not_after, o.error AS order_error, o.certificate_id AS "
    "       order_certificate, "
    "       o.status = 'pending' AND EXISTS (SELECT 1 FROM acme_order_authorizations oa "
    "         JOIN acme_challenges c ON c.authz_id = oa.authz_id AND c.status = 'processing' "
    "        WHERE oa.order_id = o.order_id) AS order_working, "
    "       " ACME_ORDER_REST
    "       ARRAY(SELECT oa.authz_id::text FROM acme_order_authorizations oa WHERE oa.order_id = "
    "       o.order_id "
    "              ORDER BY oa.position) AS order_authorizations "
    "  FROM (VALUES (1)) one LEFT JOIN acme_orders o ON o.order_id = $1");

struct wanted_order {
    json_t *identifiers;
    int64_t not_before;
    int64_t not_after;
    const char *profile;
    const char *replaces;
    struct acme_replaced replaced;
};

static const struct member order_members[] = {
    {"identifiers", MEMBER_ARRAY,   REQUIRED, AT(wanted_order, identifiers)},
    {"notBefore",   MEMBER_RFC3339, OPTIONAL, AT(wanted_order, not_before) },
    {"notAfter",    MEMBER_RFC3339, OPTIONAL, AT(wanted_order, not_after)  },
    {"profile",     MEMBER_TEXT,    OPTIONAL, AT(wanted_order, profile)    },
    {"replaces",    MEMBER_TEXT,    OPTIONAL, AT(wanted_order, replaces)   },
};

/* A time of zero is asked for too: it must not pass for none. */
static bool is_asked(const struct request *request, const char *member)
{
    const json_t *value = json_object_get(acme_of(request)->payload, member);

    return value && !json_is_null(value);
}

/* 01 section 9.2. What is accepted is not zero. */
static bool validity_check(const struct request *request, const struct wanted_order *order,
                           struct fault *fault)
{
    const int64_t now_s = clock_now_s();
    const bool has_start = is_asked(request, "notBefore");
    const int64_t start = has_start ? order->not_before : now_s;
    const struct acme_policy *policy = acme_of(request)->policy;

    if (has_start && (start < now_s - NOT_BEFORE_PAST || start > now_s + NOT_BEFORE_AHEAD))
        return fault_set(fault, INPUT_INVALID, "notBefore",
                         "notBefore must lie between an hour ago and a day ahead");
    if (!is_asked(request, "notAfter"))
        return true;
    if (order->not_after <= start || order->not_after <= now_s + NOT_AFTER_LEAST)
        return fault_set(fault, INPUT_INVALID, "notAfter",
                         "notAfter must be after notBefore and five minutes ahead or more");
    if (policy->max_ttl_s > 0 && order->not_after - start > policy->max_ttl_s)
        return fault_set(fault, INPUT_INVALID, "notAfter",
                         "the profile allows at most %lld seconds", (long long)policy->max_ttl_s);
    if (policy->validity_days > 0 && order->not_after - now_s > policy->validity_days * DAY_S)
        return fault_set(fault, INPUT_INVALID, "notAfter",
                         "a certificate of this profile ends within %lld days",
                         (long long)policy->validity_days);
    return true;
}

static json_t *identifiers_json(const struct acme_identifiers *identifiers)
{
    json_t *array = json_array();

    for (size_t i = 0; i < identifiers->count; i++) {
        json_t *entry = json_object();

        json_set_text(entry, "type", identifiers->items[i].type);
        json_set_text(entry, "value", identifiers->items[i].value);
        json_add_new(array, entry);
    }
    return array;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* SHA-256 over the account, the sorted "type:value" lines and what else makes two orders the same
 * one. */
static struct bytes order_hash(struct request *request, const struct acme_identifiers *identifiers,
                               const struct wanted_order *order)
{
    struct text_list lines = {0};
    uint8_t digest[DIGEST_SHA256_SIZE];

    for (size_t i = 0; i < identifiers->count; i++)
        text_list_add(
            request, &lines,
            mem_printf(request, "%s:%s", identifiers->items[i].type, identifiers->items[i].value));
    if (lines.items)
        qsort(lines.items, lines.count, sizeof(lines.items[0]), compare_lines);
    const char *text = mem_printf(request, "%s\n%s\n%s\n%lld\n%lld", acme_of(request)->account.id,
                                  text_list_join(request, &lines, "\n"),
                                  acme_of(request)->policy->id, (long long)order->not_before,
                                  (long long)order->not_after);
    digest_sha256(bytes_of_text(text), digest);
    return bytes_copy(request, BYTES_OF(digest));
}

/* The columns of the new authorizations, one entry an identifier. */
struct authz_columns {
    struct text_list ids;
    struct text_list tokens;
    struct text_list types;
    struct text_list values;
    struct text_list wildcards;
};

static struct authz_columns authz_columns(struct request *request,
                                          const struct acme_identifiers *identifiers)
{
    struct authz_columns columns = {0};

    for (size_t i = 0; i < identifiers->count; i++) {
        const struct acme_identifier *identifier = &identifiers->items[i];
        uint8_t token[TOKEN_SIZE];

        random_bytes(token, sizeof(token));
        text_list_add(request, &columns.ids, id_new_secret(request, "acme-authz"));
        text_list_add(request, &columns.tokens, base64url_from_bytes(request, BYTES_OF(token)));
        text_list_add(request, &columns.types, identifier->type);
        text_list_add(request, &columns.values, identifier->bare);
        text_list_add(request, &columns.wildcards, identifier->wildcard ? "t" : "f");
    }
    return columns;
}

/* Whether the order has another profile's policy than the directory's own. */
static bool selected(const struct acme_request *acme)
{
    return !text_equal(acme->policy->id, acme->profile->id);
}

/* NULL: none is configured. */
static const char *issuer_of(const struct acme_request *acme)
{
    return acme->policy->issuer_id ? acme->policy->issuer_id : acme->profile->issuer_id;
}

static char *order_details(struct request *request, const struct acme_identifiers *identifiers,
                           const struct wanted_order *order, json_t *json)
{
    const struct acme_request *acme = acme_of(request);
    AUTO(json_t) *details = json_object();

    json_set_text(details, "account_id", acme->account.id);
    json_set_text(details, "profile_id", acme->profile->id);
    json_set_text(details, "auth_mode", acme->profile->auth_mode);
    json_set_integer(details, "identifier_n",
                     (json_int_t)identifiers->count); /* bounded by a setting */
    json_set_new(details, "identifiers", json_incref(json));
    json_set_text(details, "replaces", order->replaces);
    json_set_text(details, "cert_profile_id", selected(acme) ? acme->policy->id : NULL);
    return json_to_text(request, details);
}

bool acme_failures_check(struct request *request, const struct acme_identifiers *identifiers,
                         struct fault *fault)
{
    const int64_t per_hour = request->settings->acme_failed_validations_per_hour;
    struct text_list values = {0};
    int64_t longest_s = 0;

    if (per_hour == 0)
        return true;
    for (size_t i = 0; i < identifiers->count; i++)
        text_list_add(request, &values, identifiers->items[i].bare);
    struct rows *rows = db_query(request, request->db, &acme_order_failures, fault,
                                 TEXT(acme_of(request)->account.id),
                                 INTEGER(least(per_hour, COUNT_WHOLE)), TEXTS(&values));
    if (!rows)
        return false;
    for (size_t i = 0; i < rows->count; i++) {
        const int64_t wait_s = row_integer(rows, i, "wait");
        const struct acme_identifier *identifier = &identifiers->items[i];

        if (wait_s == 0)
            continue;
        longest_s = most(longest_s, wait_s);
        acme_subproblem(request, "rateLimited", 429, "too many failed validations of this name",
                        identifier->type, identifier->value);
    }
    if (longest_s == 0)
        return true;
    fault_set(fault, RATE_LIMITED, "identifiers",
              "too many failed validations of one or more names; retry later");
    fault->retry_after_s = (unsigned)longest_s; /* 1 to 3600 */
    return false;
}

static struct rows *order_create(struct request *request, const struct wanted_order *order,
                                 const struct acme_identifiers *identifiers, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const struct settings *settings = request->settings;
    const struct authz_columns authz = authz_columns(request, identifiers);
    const int64_t now_s = clock_now_s();
    AUTO(json_t) *json = identifiers_json(identifiers);

    return db_query(
        request, request->db, &acme_order_new, fault, TEXT(acme->jws->nonce),
        INSTANT(acme_nonce_expires(request)), TEXT(id_new_secret(request, "acme-ord")),
        TEXT(acme->account.id), TEXT(acme->profile->id), TEXT(issuer_of(acme)),
        TEXT(acme->profile->auth_mode), TEXT(json_to_text(request, json)),
        BYTEA(order_hash(request, identifiers, order)), INSTANT(order->not_before),
        INSTANT(order->not_after), INSTANT(now_s + settings->acme_order_ttl_ms / 1000),
        INSTANT(now_s + settings->acme_authz_ttl_ms / 1000), TEXTS(&authz.ids),
        TEXTS(&authz.tokens), TEXTS(&authz.types), TEXTS(&authz.values), TEXTS(&authz.wildcards),
        BOOLEAN(acme->profile->authz_reuse),
        INTEGER(least(settings->acme_orders_per_hour, COUNT_WHOLE)),
        INTEGER(least(settings->acme_concurrent_orders, COUNT_WHOLE)),
        INTEGER(settings->acme_concurrent_window_ms / 1000), TEXT(id_new(request, "audit")),
        TEXT(order_details(request, identifiers, order, json)),
        TEXT(settings->audit_record_ip ? request->remote_addr : NULL), TEXT(request->request_id),
        BOOLEAN(acme_caa_is_wanted(request)), TEXT(order->replaced.ari),
        TEXT(order->replaced.certificate_id), BOOLEAN(order->replaced.due),
        INTEGER(acme->profile->policies[0].row_version),
        TEXT(selected(acme) ? acme->policy->id : NULL), INTEGER(acme->policy->row_version));
}

bool acme_rate_refuse(const struct rows *rows, struct fault *fault)
{
    fault_set(fault, RATE_LIMITED, NULL, "request rate limit exceeded; retry later");
    fault->retry_after_s = (unsigned)row_integer(rows, 0, "retry_after"); /* 1 to 3600 */
    return false;
}

bool acme_create_refuse(const struct rows *rows, struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    if (acme_is_stale(rows))
        return fault_set(fault, ISSUANCE_STALE, NULL, "the profile changed meanwhile; try again");
    if (text_equal(outcome, "bad_nonce"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (text_equal(outcome, "account"))
        return fault_set(fault, ACME_ACCOUNT_STATE, NULL, "the account is not valid any more");
    return acme_rate_refuse(rows, fault);
}

static bool create_outcome(const struct rows *rows, struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    if (text_equal(outcome, "created") || text_equal(outcome, "reused"))
        return true;
    if (text_equal(outcome, "replaced"))
        return fault_set(fault, ACME_REPLACED, "replaces",
                         "the certificate in replaces is replaced by another order already");
    if (!text_equal(outcome, "concurrent"))
        return acme_create_refuse(rows, fault);
    fault_set(fault, RATE_LIMITED, NULL,
              "too many concurrent orders for this account; finish or cancel pending orders before "
              "submitting more");
    fault->retry_after_s = (unsigned)row_integer(rows, 0, "retry_after"); /* 1 to 3600 */
    return false;
}

static json_t *authorization_urls(const struct request *request, const struct text_list *ids)
{
    json_t *urls = json_array();

    for (size_t i = 0; i < ids->count; i++)
        json_add_text(urls, acme_url(request, "/authz/%s", ids->items[i]));
    return urls;
}

static void set_time(json_t *object, const char *name, const struct rows *rows, const char *column)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!row_null(rows, 0, column))
        json_set_text(object, name, time_to_rfc3339(scratch, row_time(rows, 0, column)));
}

/* Of people, or of machines (01 section 3.2). */
#define RETRY_PEOPLE   "60"
#define RETRY_MACHINES "2"

static bool order_answer(struct response *response, unsigned status, const struct rows *rows,
                         const char *state, const char *certificate)
{
    struct request *request = response->request;
    const struct text_list authz = row_texts(request, rows, 0, "order_authorizations");
    const char *order_id = row_text(rows, 0, "order_id");
    json_t *order = json_object();

    json_set_text(order, "status", state);
    set_time(order, "expires", rows, "order_expires");
    json_set_new(order, "identifiers", json_loads(row_text(rows, 0, "order_identifiers"), 0, NULL));
    set_time(order, "notBefore", rows, "order_not_before");
    set_time(order, "notAfter", rows, "order_not_after");
    if (!row_null(rows, 0, "order_error"))
        json_set_new(order, "error", json_loads(row_text(rows, 0, "order_error"), 0, NULL));
    json_set_new(order, "authorizations", authorization_urls(request, &authz));
    json_set_text(order, "finalize", acme_url(request, "/order/%s/finalize", order_id));
    json_set_text(order, "replaces", row_text(rows, 0, "order_replaces"));
    json_set_text(order, "profile", row_text(rows, 0, "order_profile"));
    if (text_equal(state, "valid"))
        json_set_text(order, "certificate", acme_url(request, "/cert/%s", certificate));
    response_header(response, "Location", "%s", acme_url(request, "/order/%s", order_id));
    return response_json(response, status, order);
}

bool acme_order_answer(struct response *response, unsigned status, const struct rows *rows,
                       const char *issued)
{
    const char *state = issued ? "valid" : row_text(rows, 0, "order_status");

    if (text_equal(state, "processing"))
        response_header(response, "Retry-After", "%s",
                        row_bool(rows, 0, "order_waits") ? RETRY_PEOPLE : RETRY_MACHINES);
    return order_answer(response, status, rows, state,
                        issued ? issued : row_text(rows, 0, "order_certificate"));
}

bool acme_order_waits(struct response *response, const struct rows *rows, bool for_people)
{
    response_header(response, "Retry-After", "%s", for_people ? RETRY_PEOPLE : RETRY_MACHINES);
    return order_answer(response, 200, rows, "processing", NULL);
}

static bool new_order_check(const struct request *request, const struct wanted_order *wanted,
                            struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);

    if (!issuer_of(acme)) {
        fault_set(fault, ACME_NO_ISSUER, NULL, "no issuer is configured for this profile");
        return fault_cause(fault,
                           "profile %s has no issuer_id; set it, or CERTCTL_ACME_SERVER_ISSUER_ID",
                           acme->profile->id);
    }
    return validity_check(request, wanted, fault);
}

/* Judged by the profile as it is remembered; the database says `stale` where that is too old. */
static struct rows *order_attempt(struct request *request, struct wanted_order *wanted,
                                  struct fault *fault)
{
    struct acme_identifiers identifiers = {0};

    if (!acme_policy_select(request, wanted->profile, fault) ||
        !new_order_check(request, wanted, fault) ||
        !acme_identifiers_read(request, wanted->identifiers, &identifiers, fault) ||
        !acme_replaced_find(request, wanted->replaces, &identifiers, &wanted->replaced, fault) ||
        !acme_failures_check(request, &identifiers, fault))
        return NULL;
    return order_create(request, wanted, &identifiers, fault);
}

bool acme_new_order(struct request *request, struct response *response, struct fault *fault)
{
    struct wanted_order wanted = {0};

    if (!acme_of(request)->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be a JSON object (RFC 8555 section 7.4)");
    if (!json_decode(request, acme_of(request)->payload, order_members, &wanted, fault))
        return false;
    struct rows *rows = order_attempt(request, &wanted, fault);
    if (acme_profile_doubted(request, rows, fault))
        rows = acme_profile_reload(request, fault) ? order_attempt(request, &wanted, fault) : NULL;
    if (!rows)
        return false;
    acme_of(request)->spent = !acme_is_stale(rows);
    return create_outcome(rows, fault) && acme_order_answer(response, 201, rows, NULL);
}

bool acme_order(struct request *request, struct response *response, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const char *order_id = request_captured(request, "order");
    struct rows *rows = db_query(request, request->db, &acme_order_read, fault, TEXT(order_id),
                                 TEXT(acme->jws->nonce), INSTANT(acme_nonce_expires(request)));

    if (!rows)
        return false;
    acme->spent = true;
    if (!row_bool(rows, 0, "fresh"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (row_null(rows, 0, "order_id"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such order");
    if (!text_equal(row_text(rows, 0, "order_account_id"), acme->account.id))
        return fault_set(fault, ACME_NOT_OWNER, NULL, "account does not own this resource");
    if (row_bool(rows, 0, "order_working"))
        response_header(response, "Retry-After", RETRY_MACHINES);
    return acme_order_answer(response, 200, rows, NULL);
}
