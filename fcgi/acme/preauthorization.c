/* fcgi/acme/preauthorization.c: a name is proved before it is ordered (RFC 8555 section 7.4.1). */
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"

#include "core/banned.h"

#define TOKEN_SIZE  32
#define COUNT_WHOLE 1000000000

/* $1 nonce, $2 its expiry, $3 account, $4 profile, $5 authorization, $6 token, $7 type and $8 value
 * of the identifier, $9 its end, $10 orders an hour, $11 whether CAA must be fresh, $12 row version
 * of the profile. */
STATEMENT(acme_authz_new,
          "SELECT r.outcome, r.retry_after, z.* "
          "  FROM acme_authz_create($1, $2::timestamptz, $3, $4, $5, $6, $7, $8, $9::timestamptz, "
          "                         $10::integer, $11::boolean, $12::bigint) r "
          "  LEFT JOIN LATERAL acme_authz_show(r.made) z ON true");

struct wanted_authz {
    json_t *identifier;
};

static const struct member authz_members[] = {
    {"identifier", MEMBER_OBJECT, REQUIRED, AT(wanted_authz, identifier)},
};

/* The rules are those of new-order; but what is authorized is one name as it stands. */
static bool identifier_read(struct request *request, struct acme_identifier *ret,
                            struct fault *fault)
{
    struct wanted_authz wanted = {0};
    struct acme_identifiers list = {0};
    AUTO(json_t) *array = json_array();

    if (!json_decode(request, acme_of(request)->payload, authz_members, &wanted, fault))
        return false;
    json_add_new(array, json_incref(wanted.identifier));
    if (!acme_identifiers_read(request, array, &list, fault))
        return false;
    if (list.items[0].wildcard)
        return fault_set(fault, INPUT_INVALID, "identifier",
                         "wildcards cannot be authorized in advance (RFC 8555 section 7.4.1)");
    *ret = list.items[0];
    return acme_failures_check(request, &list, fault);
}

static struct rows *authz_create(struct request *request, const struct acme_identifier *identifier,
                                 struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    const struct settings *settings = request->settings;
    uint8_t token[TOKEN_SIZE];

    random_bytes(token, sizeof(token));
    return db_query(
        request, request->db, &acme_authz_new, fault, TEXT(acme->jws->nonce),
        INSTANT(acme_nonce_expires(request)), TEXT(acme->account.id), TEXT(acme->profile->id),
        TEXT(id_new_secret(request, "acme-authz")),
        TEXT(base64url_from_bytes(request, BYTES_OF(token))), TEXT(identifier->type),
        TEXT(identifier->value), INSTANT(clock_now_s() + settings->acme_authz_ttl_ms / 1000),
        INTEGER(least(settings->acme_orders_per_hour, COUNT_WHOLE)),
        BOOLEAN(acme_caa_is_wanted(request)), INTEGER(acme->profile->policies[0].row_version));
}

/* Judged by the profile as it is remembered; the database says `stale` where that is too old. */
static struct rows *authz_attempt(struct request *request, struct fault *fault)
{
    struct acme_identifier identifier = {0};

    if (!acme_preauthorizes(acme_of(request)->profile))
        return fault_set(fault, ROUTE_UNKNOWN, NULL, "no such ACME resource");
    if (!acme_of(request)->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be a JSON object (RFC 8555 section 7.4.1)");
    if (!identifier_read(request, &identifier, fault))
        return NULL;
    return authz_create(request, &identifier, fault);
}

static bool create_outcome(const struct rows *rows, struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    if (text_equal(outcome, "created") || text_equal(outcome, "existing"))
        return true;
    return acme_create_refuse(rows, fault);
}

bool acme_new_authz(struct request *request, struct response *response, struct fault *fault)
{
    struct rows *rows = authz_attempt(request, fault);

    if (acme_profile_doubted(request, rows, fault))
        rows = acme_profile_reload(request, fault) ? authz_attempt(request, fault) : NULL;
    if (!rows)
        return false;
    acme_of(request)->spent = !acme_is_stale(rows);
    if (!create_outcome(rows, fault))
        return false;
    response_header(response, "Location", "%s",
                    acme_url(request, "/authz/%s", row_text(rows, 0, "authz_id")));
    return acme_authz_answer(response, 201, rows); /* Go's client takes nothing else */
}
