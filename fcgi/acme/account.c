/* fcgi/acme/account.c: registration (RFC 8555 section 7.3) and the account object. */
#include <arpa/inet.h>

#include "core/auto.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"

#include "core/banned.h"

#define CONTACTS_MAX      10
#define CONTACT_BYTES_MAX 254
#define LIMIT_WHOLE       1000000000

STATEMENT(acme_account_by_key,
          "SELECT account_id, status, contact, tos_agreed_at IS NOT NULL AS tos_agreed "
          "  FROM acme_accounts WHERE profile_id = $1 AND jwk_thumbprint = $2");

STATEMENT(
    acme_account_register,
    "SELECT outcome, account_id, status, contact, tos_agreed, retry_after "
    "  FROM acme_account_create($1, $2::timestamptz, $3, $4, $5, $6, $7::text[], $8::boolean, "
    "  $9::inet, $10, "
    "                           $11::integer, $12, $13::jsonb, $14::inet, $15, $16, $17)");

STATEMENT(
    acme_account_change,
    "SELECT outcome, account_id, status, contact, tos_agreed "
    "  FROM acme_account_update($1, $2::timestamptz, $3, $4::text[], $5::boolean, $6::boolean, "
    "  $7, $8, "
    "                           $9::inet, $10)");

/* Newest first, not the invalid ones (RFC 8555 section 7.1.2.1). $3, $4: after this one. */
STATEMENT(
    acme_account_orders,
    "SELECT replay_spend('acme_nonce', $5, $6::timestamptz, true) AS fresh, list.orders, "
    "list.last_at, "
    "       list.last_id, list.length "
    "  FROM (SELECT coalesce(array_agg(o.order_id::text ORDER BY o.created_at DESC, o.order_id "
    "  DESC), '{}') AS orders, "
    "               extract(epoch FROM min(o.created_at)) AS last_at, "
    "               (array_agg(o.order_id::text ORDER BY o.created_at, o.order_id))[1] AS last_id, "
    "               count(*) AS length "
    "          FROM (SELECT order_id, created_at FROM acme_orders "
    "                 WHERE account_id = $1 AND status <> 'invalid' "
    "                   AND ($3::text IS NULL OR (created_at, order_id) < "
    "                   (to_timestamp($3::float8), $4)) "
    "                 ORDER BY created_at DESC, order_id DESC LIMIT $2::integer) o) list");

#define ORDERS_PER_PAGE 100
#define DIGITS          "0123456789"
#define SECOND_DIGITS   11
#define FRACTION_DIGITS 6

struct registration {
    struct text_list contact;
    bool agreed;
    bool only_existing;
    json_t *binding;
};

static const struct member registration_members[] = {
    {"contact",                MEMBER_TEXTS,   OPTIONAL, AT(registration, contact)      },
    {"termsOfServiceAgreed",   MEMBER_BOOLEAN, OPTIONAL, AT(registration, agreed)       },
    {"onlyReturnExisting",     MEMBER_BOOLEAN, OPTIONAL, AT(registration, only_existing)},
    {"externalAccountBinding", MEMBER_OBJECT,  OPTIONAL, AT(registration, binding)      },
};

struct change {
    struct text_list contact;
    bool agreed;
    const char *status;
};

static const struct member change_members[] = {
    {"contact",              MEMBER_TEXTS,   OPTIONAL, AT(change, contact)},
    {"termsOfServiceAgreed", MEMBER_BOOLEAN, OPTIONAL, AT(change, agreed) },
    {"status",               MEMBER_TEXT,    OPTIONAL, AT(change, status) },
};

/* RFC 8555 section 7.3: one address, no header fields, nothing that a mailer could misread. */
static bool mailto_check(struct request *request, const char *contact, struct fault *fault)
{
    const char *address = contact + strlen("mailto:");
    const char *at = strchr(address, '@');

    for (const char *c = contact; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 127) /* a plain char may be signed */
            return fault_set(fault, ACME_CONTACT_INVALID, "contact", "%s is not plain ASCII",
                             text_quote(request, contact));
    if (strpbrk(address, "?,"))
        return fault_set(fault, ACME_CONTACT_INVALID, "contact",
                         "%s must hold one address and no header fields",
                         text_quote(request, contact));
    if (!at || at == address || !at[1] || strchr(at + 1, '@'))
        return fault_set(fault, ACME_CONTACT_INVALID, "contact", "%s is not a mail address",
                         text_quote(request, contact));
    return true;
}

static bool contact_check(struct request *request, const char *contact, struct fault *fault)
{
    if (!strchr(contact, ':'))
        return fault_set(fault, ACME_CONTACT_INVALID, "contact", "%s is not a URI",
                         text_quote(request, contact));
    if (strlen(contact) > CONTACT_BYTES_MAX)
        return fault_set(fault, ACME_CONTACT_INVALID, "contact",
                         "a contact is longer than %d characters", CONTACT_BYTES_MAX);
    if (!text_starts(contact, "mailto:"))
        return fault_set(fault, ACME_CONTACT_UNSUPPORTED, "contact",
                         "%s: only mailto contacts are supported", text_quote(request, contact));
    return mailto_check(request, contact, fault);
}

static bool contacts_check(struct request *request, const struct text_list *contacts,
                           struct fault *fault)
{
    if (contacts->count > CONTACTS_MAX)
        return fault_set(fault, ACME_CONTACT_INVALID, "contact",
                         "%zu contacts; at most %d are kept", contacts->count, CONTACTS_MAX);
    for (size_t i = 0; i < contacts->count; i++)
        if (!contact_check(request, contacts->items[i], fault))
            return false;
    return true;
}

bool acme_account_answer(struct response *response, unsigned status)
{
    struct request *request = response->request;
    const struct acme_account *account = &acme_of(request)->account;
    const char *url = acme_url(request, "/account/%s", account->id);
    json_t *body = json_object();
    json_t *contact = json_array();

    for (size_t i = 0; i < account->contact.count; i++)
        json_add_text(contact, account->contact.items[i]);
    json_set_text(body, "status", account->status);
    json_set_new(body, "contact", contact);
    json_set_text(body, "orders", mem_printf(request, "%s/orders", url));
    if (account->tos_agreed)
        json_set_bool(body, "termsOfServiceAgreed", true);
    if (account->binding) /* RFC 8555 section 7.3.4: as it came */
        json_set_new(body, "externalAccountBinding", json_deep_copy(account->binding));
    response_header(response, "Location", "%s", url);
    return response_json(response, status, body);
}

static void account_from_row(struct request *request, const struct rows *rows)
{
    struct acme_account *account = &acme_of(request)->account;

    account->id = row_text(rows, 0, "account_id");
    account->status = row_text(rows, 0, "status");
    account->contact = row_texts(request, rows, 0, "contact");
    account->tos_agreed = row_bool(rows, 0, "tos_agreed");
    request->actor = mem_printf(request, "acme:%s", account->id);
}

/* RFC 8555 section 7.3.1: a known key gets its account, and nothing of it changes. */
static bool existing_answer(struct request *request, struct response *response,
                            const struct rows *rows, struct fault *fault)
{
    if (!acme_nonce_spend(request, fault))
        return false;
    account_from_row(request, rows);
    if (!text_equal(acme_of(request)->account.status, "valid"))
        return fault_set(fault, ACME_ACCOUNT_STATE, NULL, "this key's account is %s",
                         acme_of(request)->account.status);
    return acme_account_answer(response, 200);
}

/* An IPv6 client has 2^64 addresses: the limit counts its network. */
static const char *limit_key(struct request *request)
{
    uint8_t octets[16];
    char text[INET6_ADDRSTRLEN];

    if (!request->remote_addr)
        return "";
    if (inet_pton(AF_INET6, request->remote_addr, octets) != 1)
        return mem_printf(request, "acme:new_account|%s", request->remote_addr);
    memset(octets + 8, 0, 8);
    inet_ntop(AF_INET6, octets, text, sizeof(text));
    return mem_printf(request, "acme:new_account|%s/64", text);
}

static char *register_details(struct request *request, const struct registration *registration,
                              const char *eab_kid)
{
    AUTO(json_t) *details = json_object();

    json_set_text(details, "profile_id", acme_of(request)->profile->id);
    json_set_text(details, "jwk_thumbprint", acme_of(request)->key->thumbprint);
    json_set_integer(details, "contact_count",
                     (json_int_t)registration->contact.count); /* at most 10 */
    json_set_bool(details, "tos_agreed", registration->agreed);
    json_set_text(details, "eab_kid", eab_kid);
    if (acme_trust_is_open(request))
        json_set_bool(details, "open_trust", true);
    if (request->settings->audit_record_ip)
        json_set_text(details, "client_ip", request->remote_addr);
    return json_to_text(request, details);
}

/* Whoever reaches the directory gets any name (01 section 4.3): whom it lets in is to be seen. */
static void warn_of_open_trust(struct request *request)
{
    const struct acme_request *acme = acme_of(request);
    struct log_line line;

    log_begin(&line, LOG_WARN, "an account was made under a profile of open trust");
    log_text(&line, "request_id", request->request_id);
    log_text(&line, "profile", acme->profile->id);
    log_text(&line, "account", acme->account.id);
    log_text(&line, "remote_addr", request->remote_addr);
    log_end(&line);
}

/* eab_kid: NULL without a binding. */
static struct rows *account_register(struct request *request,
                                     const struct registration *registration, const char *eab_kid,
                                     struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const struct settings *settings = request->settings;

    return db_query(
        request, request->db, &acme_account_register, fault, TEXT(acme->jws->nonce),
        INSTANT(acme_nonce_expires(request)), TEXT(id_new_secret(request, "acme-acc")),
        TEXT(acme->profile->id), TEXT(acme->key->thumbprint), TEXT(jwk_to_pem(request, acme->key)),
        TEXTS(&registration->contact), BOOLEAN(registration->agreed), TEXT(request->remote_addr),
        TEXT(limit_key(request)), INTEGER(least(settings->acme_new_accounts_per_hour, LIMIT_WHOLE)),
        TEXT(id_new(request, "audit")), TEXT(register_details(request, registration, eab_kid)),
        TEXT(settings->audit_record_ip ? request->remote_addr : NULL), TEXT(request->request_id),
        TEXT(eab_kid), TEXT(id_new(request, "audit")));
}

/* binding: as the client sent it, or NULL. */
static bool register_answer(struct request *request, struct response *response,
                            const struct rows *rows, const json_t *binding, struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    acme_of(request)->spent = true;
    if (text_equal(outcome, "bad_nonce"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (text_equal(outcome, "rate_limited"))
        return acme_rate_refuse(rows, fault);
    if (text_equal(outcome, "binding"))
        return acme_binding_refuse(fault);
    account_from_row(request, rows);
    if (!text_equal(acme_of(request)->account.status, "valid"))
        return fault_set(fault, ACME_ACCOUNT_STATE, NULL, "this key's account is %s",
                         acme_of(request)->account.status);
    if (!text_equal(outcome, "created"))
        return acme_account_answer(response, 200);
    acme_of(request)->account.binding = binding;
    if (acme_trust_is_open(request))
        warn_of_open_trust(request);
    return acme_account_answer(response, 201);
}

bool acme_new_account(struct request *request, struct response *response, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    struct registration wanted = {0};
    const char *eab_kid = NULL;

    if (!acme->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be a JSON object (RFC 8555 section 7.3)");
    if (!json_decode(request, acme->payload, registration_members, &wanted, fault))
        return false;
    if (request->settings->acme_tos_url)
        response_header_add(response, "Link", "<%s>;rel=\"terms-of-service\"",
                            request->settings->acme_tos_url);
    struct rows *known = db_query(request, request->db, &acme_account_by_key, fault,
                                  TEXT(acme->profile->id), TEXT(acme->key->thumbprint));
    if (!known)
        return false;
    if (known->count > 0)
        return existing_answer(request, response, known, fault);
    if (wanted.only_existing)
        return fault_set(fault, ACME_ACCOUNT_UNKNOWN, NULL, "no account has this key");
    if (!contacts_check(request, &wanted.contact, fault))
        return false;
    if (request->settings->acme_tos_url && !wanted.agreed)
        return fault_set(fault, ACME_TERMS, "termsOfServiceAgreed",
                         "the terms of service must be agreed to: %s",
                         request->settings->acme_tos_url);
    if (!acme_binding_check(request, wanted.binding, &eab_kid, fault))
        return false;
    struct rows *rows = account_register(request, &wanted, eab_kid, fault);
    return rows && register_answer(request, response, rows, wanted.binding, fault);
}

static bool own_account_check(struct request *request, struct fault *fault)
{
    if (!text_equal(acme_of(request)->account.id, request_captured(request, "account")))
        return fault_set(fault, ACME_NOT_OWNER, NULL, "kid does not match URL account id");
    return true;
}

static bool change_read(struct request *request, struct change *ret_change, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);

    if (!json_decode(request, acme->payload, change_members, ret_change, fault))
        return false;
    if (json_is_null(json_object_get(acme->payload, "contact")))
        return fault_set(fault, INPUT_INVALID, "contact", "contact must be an array; [] clears it");
    if (ret_change->status && !text_equal(ret_change->status, "deactivated"))
        return fault_set(fault, INPUT_INVALID, "status", "status can only be set to deactivated");
    return contacts_check(request, &ret_change->contact, fault);
}

static bool account_change(struct request *request, struct response *response, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    struct change change = {0};

    if (!change_read(request, &change, fault))
        return false;
    const bool contact = json_object_get(acme->payload, "contact") != NULL;
    struct rows *rows = db_query(
        request, request->db, &acme_account_change, fault, TEXT(acme->jws->nonce),
        INSTANT(acme_nonce_expires(request)), TEXT(acme->account.id),
        contact ? TEXTS(&change.contact) : TEXT(NULL), BOOLEAN(change.agreed),
        BOOLEAN(change.status != NULL), TEXT(id_new(request, "audit")),
        TEXT(id_new(request, "audit")),
        TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
        TEXT(request->request_id));
    if (!rows)
        return false;
    acme->spent = true;
    if (text_equal(row_text(rows, 0, "outcome"), "bad_nonce"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (!text_equal(row_text(rows, 0, "outcome"), "updated"))
        return fault_set(fault, ACME_ACCOUNT_STATE, NULL, "the account is not valid any more");
    account_from_row(request, rows);
    return acme_account_answer(response, 200);
}

bool acme_account(struct request *request, struct response *response, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);

    if (!own_account_check(request, fault))
        return false;
    if (acme->payload && json_object_size(acme->payload) > 0)
        return account_change(request, response, fault);
    return acme_nonce_spend(request, fault) && acme_account_answer(response, 200);
}

/* Seconds and their fraction as orders_answer writes them: other numbers would be out of the
 * database's range. */
static bool is_instant(const char *text, size_t length)
{
    const size_t whole = strspn(text, DIGITS);
    const size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, DIGITS) : 0;

    return whole >= 1 && whole <= SECOND_DIGITS && fraction <= FRACTION_DIGITS &&
           length == whole + (fraction > 0 ? 1 + fraction : 0);
}

/* base64url of "seconds order-id" of the last one shown. */
static bool cursor_read(struct request *request, const char **ret_at, const char **ret_id,
                        struct fault *fault)
{
    const char *cursor = request->query + strlen("cursor=");
    struct bytes raw;

    if (!request->query[0])
        return true;
    if (!text_starts(request->query, "cursor=") ||
        !base64url_to_bytes(request, cursor, strlen(cursor), &raw))
        return fault_set(fault, INPUT_MALFORMED, "cursor", "invalid cursor");
    char *text = mem_text_n(request, (const char *)raw.data,
                            raw.size); /* bytes of a text of ours */
    char *space = strchr(text, ' ');
    if (!space || !id_valid(space + 1) ||
        !is_instant(text, (size_t)(space - text))) /* it lies behind */
        return fault_set(fault, INPUT_MALFORMED, "cursor", "invalid cursor");
    *space = '\0';
    *ret_at = text;
    *ret_id = space + 1;
    return true;
}

static bool orders_answer(struct request *request, struct response *response,
                          const struct rows *rows)
{
    const struct text_list orders = row_texts(request, rows, 0, "orders");
    json_t *body = json_object();
    json_t *list = json_array();

    for (size_t i = 0; i < orders.count; i++)
        json_add_text(list, acme_url(request, "/order/%s", orders.items[i]));
    json_set_new(body, "orders", list);
    if (row_integer(rows, 0, "length") == ORDERS_PER_PAGE) {
        const char *at = mem_printf(request, "%s %s", row_text(rows, 0, "last_at"),
                                    row_text(rows, 0, "last_id"));

        response_header_add(response, "Link", "<%s?cursor=%s>;rel=\"next\"",
                            acme_url(request, "/account/%s/orders", acme_of(request)->account.id),
                            base64url_from_bytes(request, bytes_of_text(at)));
    }
    return response_json(response, 200, body);
}

bool acme_orders(struct request *request, struct response *response, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const char *at = NULL;
    const char *id = NULL;

    if (!own_account_check(request, fault) || !cursor_read(request, &at, &id, fault))
        return false;
    struct rows *rows = db_query(request, request->db, &acme_account_orders, fault,
                                 TEXT(acme->account.id), INTEGER(ORDERS_PER_PAGE), TEXT(at),
                                 TEXT(id), TEXT(acme->jws->nonce),
                                 INSTANT(acme_nonce_expires(request)));
    if (!rows)
        return false;
    acme->spent = true;
    if (!row_bool(rows, 0, "fresh"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    return orders_answer(request, response, rows);
}
