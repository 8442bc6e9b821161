/* fcgi/api/acme.c: the ACME server as operators see it: its profiles, accounts and orders (01
 * section 18). Views: sql/functions/api_acme.sql. */
#include "core/id.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/memory.h"
#include "fcgi/api/api.h"

#include "core/banned.h"

/* $1 all must be bound, $2 the site's issuer or NULL, $3 what directories begin with, $4 profiles
 * or NULL for all. open_trust: 01 section 4.3. */
STATEMENT(
    api_acme_profiles,
    "SELECT json_build_object('data', coalesce(json_agg(json_strip_nulls(json_build_object("
    "'id', v.id, 'name', v.name, 'enabled', v.enabled, 'auth_mode', v.auth_mode, "
    "'issuer_id', coalesce(v.issuer_id, $2, v.only_issuer_id), "
    "'eab_required', $1::boolean OR v.eab_required, 'require_mtls', v.require_mtls, "
    "'open_trust', v.auth_mode = 'trust_authenticated' AND NOT ($1::boolean OR v.eab_required "
    "OR v.require_mtls OR v.has_patterns), 'accounts', v.accounts, "
    "'active_orders', v.active_orders, 'failures_24h', v.failures_24h, "
    "'directory_url', $3 || v.id || '/directory')) ORDER BY v.id), '[]'), "
    "'total', count(*))::text AS doc FROM api_acme_profiles v "
    "WHERE $4::text[] IS NULL OR v.id = ANY ($4::text[])");

/* $1 account. */
STATEMENT(api_acme_account_profile,
          "SELECT profile_id, status FROM api_acme_accounts WHERE id = $1::text");

/* $1 account, $2 $3 who, $4 id of the event, $5 address, $6 request. */
STATEMENT(api_acme_account_end,
          "SELECT cardinality(ended) AS ended "
          "FROM acme_accounts_revoke(ARRAY[$1::text], $2, $3, $4, $5::inet, $6)");

/* --- profiles --- */

/* As certctl-acme says it of itself (01 section 6.4). */
static const char *directories_of(struct request *request)
{
    const char *base = request->settings->acme_base_url;

    if (!base) {
        const char *port = request->server_port ? request->server_port : "443";
        const bool usual = text_equal(port, "443");
        base = mem_printf(request, "https://%s%s%s",
                          request->server_name ? request->server_name : "localhost",
                          usual ? "" : ":", usual ? "" : port);
    }
    return mem_printf(request, "%s/acme/profile/", base);
}

bool api_list_acme_profiles(struct request *request, struct response *response, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const struct permission_scope *scope = &api->principal.scope;
    const struct rows *rows = db_query(
        request, request->db, &api_acme_profiles, fault,
        BOOLEAN(request->settings->acme_eab_required), TEXT(request->settings->acme_issuer_id),
        TEXT(directories_of(request)), TEXTS(scope->everything ? NULL : &scope->profiles));

    return rows && response_json_text(response, 200, row_text(rows, 0, "doc"));
}

/* --- accounts --- */

static const char *const account_members[] = {
    "id",
    "profile_id",
    "status",
    "contact",
    "jwk_thumbprint",
    "owner_id",
    "eab_kid",
    "allowed_identifiers",
    "tos_agreed_at",
    "created_ip",
    "created_at",
    "updated_at",
    "orders",
    NULL,
};

static const struct resource_filter account_filters[] = {
    {"profile_id", FILTER_ID,     "v.profile_id = $", NULL                       },
    {"status",     FILTER_CHOICE, "v.status = $",     "valid|deactivated|revoked"},
    {"eab_kid",    FILTER_ID,     "v.eab_kid = $",    NULL                       },
};

static const struct resource_sort sorts[] = {
    {"created_at", NULL, "v.created_at", SORT_TIME},
};

const struct resource api_acme_accounts = {
    .name = "acme_accounts",
    .label = "ACME account",
    .view = "api_acme_accounts",
    .read = MAY_ACME_ADMIN,
    .members = account_members,
    .filters = account_filters,
    .filter_count = ARRAY_SIZE(account_filters),
    .sorts = sorts,
    .sort_count = ARRAY_SIZE(sorts),
    .scope_profile = "profile_id",
    .newest_first = true,
    .not_single = true,
};

/* One of them, with its last orders. */
const struct resource api_acme_account = {
    .name = "acme_account",
    .label = "ACME account",
    .view = "api_acme_account",
    .read = MAY_ACME_ADMIN,
    .members = account_members,
    .sorts = sorts,
    .sort_count = ARRAY_SIZE(sorts),
    .scope_profile = "profile_id",
};

/* False: it was not valid, and is as it was. */
static bool account_end(struct request *request, const char *id, bool *ret_ended,
                        struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const struct rows *rows = db_query(
        request, request->db, &api_acme_account_end, fault, TEXT(id), TEXT(api->principal.actor_id),
        TEXT(api->principal.actor_type), TEXT(id_new(request, "audit")),
        TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
        TEXT(request->request_id));

    *ret_ended = rows && row_integer(rows, 0, "ended") == 1;
    return rows != NULL;
}

static struct rows *account_find(struct request *request, const char *id, struct fault *fault)
{
    const struct api_request *api = request->protocol;

    if (!id_valid(id))
        return fault_set(fault, INPUT_INVALID, "id", "ACME account ID is invalid");
    struct rows *rows = db_query(request, request->db, &api_acme_account_profile, fault, TEXT(id));
    if (!rows)
        return NULL;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "ACME account not found");
    if (!permission_scope_covers(&api->principal.scope, row_text(rows, 0, "profile_id"), NULL))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    return rows;
}

static bool revoke_account(struct request *request, struct response *response, struct fault *fault)
{
    const char *id = request_captured(request, "id");
    bool ended = false;

    if (!account_find(request, id, fault) || !account_end(request, id, &ended, fault))
        return false;
    const struct rows *now = ended ? NULL : account_find(request, id, fault);
    if (!ended && !now)
        return false;
    if (now && !text_equal(row_text(now, 0, "status"), "revoked"))
        return fault_set(fault, RESOURCE_STATE, NULL, "the account is not valid any more");
    return response_json_text(response, 200, "{\"status\":\"revoked\"}");
}

/* What is revoked stays revoked: the same request again is answered the same. */
bool api_revoke_acme_account(struct request *request, struct response *response,
                             struct fault *fault)
{
    return revoke_account(request, response, fault) ||
           api_failed(fault, "Failed to revoke ACME account");
}

/* --- orders --- */

static const char *const order_members[] = {
    "id",
    "account_id",
    "profile_id",
    "cert_profile_id",
    "issuer_id",
    "auth_mode",
    "status",
    "identifiers",
    "error",
    "certificate_id",
    "certificate_version_id",
    "job_id",
    "not_before",
    "not_after",
    "expires_at",
    "created_at",
    "updated_at",
    "authorizations",
    NULL,
};

static const struct resource_filter order_filters[] = {
    {"account_id", FILTER_ID,     "v.account_id = $", NULL                                    },
    {"profile_id", FILTER_ID,     "v.profile_id = $", NULL                                    },
    {"status",     FILTER_CHOICE, "v.status = $",     "pending|ready|processing|valid|invalid"},
};

const struct resource api_acme_orders = {
    .name = "acme_orders",
    .label = "ACME order",
    .view = "api_acme_orders",
    .read = MAY_ACME_ADMIN,
    .members = order_members,
    .filters = order_filters,
    .filter_count = ARRAY_SIZE(order_filters),
    .sorts = sorts,
    .sort_count = ARRAY_SIZE(sorts),
    .scope_profile = "profile_id",
    .newest_first = true,
    .not_single = true,
};
