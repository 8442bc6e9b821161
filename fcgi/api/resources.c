/* fcgi/api/resources.c: the resources as tables, 05 section 4. Views: sql/functions/api.sql. */
#include "core/macro.h"
#include "fcgi/api/api.h"

#include "core/banned.h"

#define STATUSES "Pending|Active|Expiring|Expired|RenewalInProgress|Failed|Revoked|Archived"

static const char *const certificate_members[] = {
    "id",
    "name",
    "common_name",
    "sans",
    "environment",
    "owner_id",
    "team_id",
    "issuer_id",
    "target_ids",
    "renewal_policy_id",
    "certificate_profile_id",
    "status",
    "expires_at",
    "tags",
    "last_renewal_at",
    "last_deployment_at",
    "revoked_at",
    "revocation_reason",
    "created_at",
    "updated_at",
    "source",
    NULL,
};

static const struct resource_alias certificate_aliases[] = {
    {"notAfter",  "expires_at"            },
    {"profileId", "certificate_profile_id"},
};

static const struct resource_filter certificate_filters[] = {
    {"status",         FILTER_CHOICE, "v.status = $",            STATUSES                 },
    {"environment",    FILTER_TEXT,   "v.environment = $",       NULL                     },
    {"owner_id",       FILTER_ID,     "v.owner_id = $",          NULL                     },
    {"team_id",        FILTER_ID,     "v.team_id = $",           NULL                     },
    {"issuer_id",      FILTER_ID,     "v.issuer_id = $",         NULL                     },
    {"agent_id",       FILTER_ID,     "v.agent_ids @> ARRAY[$]", NULL                     },
    {"profile_id",     FILTER_ID,     "v.profile_id = $",        NULL                     },
    {"source",         FILTER_CHOICE, "v.source = $",            "EST|SCEP|API|Agent|ACME"},
    {"expires_before", FILTER_TIME,   "v.expires_at < $",        NULL                     },
    {"expires_after",  FILTER_TIME,   "v.expires_at > $",        NULL                     },
    {"created_after",  FILTER_TIME,   "v.created_at > $",        NULL                     },
    {"created_before", FILTER_TIME,   "v.created_at < $",        NULL                     },
    {"updated_after",  FILTER_TIME,   "v.updated_at > $",        NULL                     },
    {"tag",            FILTER_MAP,    "v.tags @> $",             NULL                     },
 /* A newline stands between the texts, and no parameter can hold one. */
    {"q",              FILTER_TEXT,
     "strpos(lower(concat_ws(E'\\n', v.id, v.name, v.common_name,"
     " array_to_string(v.sans, E'\\n'))), lower($)) > 0",        NULL                     },
};

static const struct resource_sort certificate_sorts[] = {
    {"created_at",  NULL,       "v.created_at",  SORT_TIME},
    {"expires_at",  "notAfter", "v.expires_key", SORT_TIME},
    {"updated_at",  NULL,       "v.updated_at",  SORT_TIME},
    {"common_name", NULL,       "v.common_name", SORT_TEXT},
    {"name",        NULL,       "v.name",        SORT_TEXT},
    {"status",      NULL,       "v.status",      SORT_TEXT},
    {"environment", NULL,       "v.environment", SORT_TEXT},
};

const struct resource api_certificates = {
    .name = "certificates",
    .label = "Certificate",
    .view = "api_certificates",
    .read = MAY_CERT_READ,
    .members = certificate_members,
    .aliases = certificate_aliases,
    .alias_count = ARRAY_SIZE(certificate_aliases),
    .filters = certificate_filters,
    .filter_count = ARRAY_SIZE(certificate_filters),
    .sorts = certificate_sorts,
    .sort_count = ARRAY_SIZE(certificate_sorts),
    .scope_profile = "profile_id",
    .scope_issuer = "issuer_id",
    .cursor = true,
    .list_etag = true,
};

static const char *const version_members[] = {
    "id",
    "certificate_id",
    "serial_number",
    "not_before",
    "not_after",
    "fingerprint_sha256",
    "pem_chain",
    "csr_pem",
    "key_algorithm",
    "key_size",
    "created_at",
    "revoked_at",
    "revocation_reason",
    "ca_id",
    NULL,
};

static const struct resource_sort version_sorts[] = {
    {"created_at", NULL, "v.created_at", SORT_TIME},
};

const struct resource api_certificate_versions = {
    .name = "certificate_versions",
    .label = "Certificate version",
    .view = "api_certificate_versions",
    .read = MAY_CERT_READ,
    .members = version_members,
    .sorts = version_sorts,
    .sort_count = ARRAY_SIZE(version_sorts),
    .parent = &api_certificates,
    .parent_column = "certificate_id",
    .newest_first = true,
    .not_single = true,
};

static const struct resource_sort named_sorts[] = {
    {"name",       NULL, "v.name",       SORT_TEXT},
    {"created_at", NULL, "v.created_at", SORT_TIME},
    {"updated_at", NULL, "v.updated_at", SORT_TIME},
};

static const char *const issuer_members[] = {
    "id",          "name",   "type",           "config",     "enabled",    "last_tested_at",
    "test_status", "source", "hierarchy_mode", "created_at", "updated_at", NULL,
};

static const struct resource_filter issuer_filters[] = {
    {"q", FILTER_TEXT, "strpos(lower(concat_ws(E'\\n', v.id, v.name, v.type)), lower($)) > 0",
     NULL},
};

const struct resource api_issuers = {
    .name = "issuers",
    .label = "Issuer",
    .view = "api_issuers",
    .read = MAY_ISSUER_READ,
    .members = issuer_members,
    .filters = issuer_filters,
    .filter_count = ARRAY_SIZE(issuer_filters),
    .sorts = named_sorts,
    .sort_count = ARRAY_SIZE(named_sorts),
    .scope_issuer = "id",
    .catalogue = true,
};

static const char *const approval_members[] = {
    "id",           "kind",    "certificate_id", "job_id",     "profile_id",
    "requested_by", "state",   "decided_by",     "decided_at", "decision_note",
    "metadata",     "payload", "created_at",     "updated_at", NULL,
};

static const struct resource_filter approval_filters[] = {
    {"state",          FILTER_CHOICE, "v.state = $",          "pending|approved|rejected|expired"},
    {"kind",           FILTER_CHOICE, "v.kind = $",           "cert_issuance|profile_edit"       },
    {"certificate_id", FILTER_ID,     "v.certificate_id = $", NULL                               },
    {"requested_by",   FILTER_TEXT,   "v.requested_by = $",   NULL                               },
};

static const struct resource_sort approval_sorts[] = {
    {"created_at", NULL, "v.created_at", SORT_TIME},
};

const struct resource api_approvals = {
    .name = "approvals",
    .label = "approval request",
    .view = "api_approvals",
    .read = MAY_APPROVAL_READ,
    .members = approval_members,
    .filters = approval_filters,
    .filter_count = ARRAY_SIZE(approval_filters),
    .sorts = approval_sorts,
    .sort_count = ARRAY_SIZE(approval_sorts),
    .scope_profile = "profile_id",
    .newest_first = true,
};

static const struct resource *const served[] = {
    &api_acme_account, &api_acme_accounts, &api_acme_orders,
    &api_approvals,    &api_certificates,  &api_certificate_versions,
    &api_eab_keys,     &api_issuers,       &api_profiles,
};

/* Made once at start and never changed; a child of the worker's root. */
static const struct resource_set *made;

void api_resources_declare(TALLOC_CTX *ctx, struct db *db)
{
    made = resource_set_new(ctx, db, served, ARRAY_SIZE(served));
}

static bool list(struct request *request, struct response *response,
                 const struct resource *resource, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    return resource_list(request, response, made, resource, &api->principal.scope, fault);
}

static bool get(struct request *request, struct response *response, const struct resource *resource,
                struct fault *fault)
{
    const struct api_request *api = request->protocol;
    return resource_get(request, response, made, resource, &api->principal.scope, fault);
}

bool api_create(struct request *request, struct response *response, const struct resource *resource,
                struct fault *fault)
{
    const struct api_request *api = request->protocol;
    return resource_create(request, response, made, resource, &api->principal, fault);
}

bool api_put(struct request *request, struct response *response, const struct resource *resource,
             struct fault *fault)
{
    const struct api_request *api = request->protocol;
    return resource_put(request, response, made, resource, &api->principal, fault);
}

bool api_patch(struct request *request, struct response *response, const struct resource *resource,
               struct fault *fault)
{
    const struct api_request *api = request->protocol;
    return resource_patch(request, response, made, resource, &api->principal, fault);
}

bool api_delete(struct request *request, struct response *response, const struct resource *resource,
                struct fault *fault)
{
    const struct api_request *api = request->protocol;
    return resource_delete(request, response, made, resource, &api->principal, fault);
}

bool api_apply(struct resource_change *change, const char *action, const char *category,
               struct fault *fault)
{
    const struct api_request *api = change->request->protocol;

    change->set = made;
    change->principal = &api->principal;
    return resource_apply(change, action, category, fault);
}

bool api_list_certificates(struct request *request, struct response *response, struct fault *fault)
{
    return list(request, response, &api_certificates, fault);
}

bool api_get_certificate(struct request *request, struct response *response, struct fault *fault)
{
    return get(request, response, &api_certificates, fault);
}

bool api_list_certificate_versions(struct request *request, struct response *response,
                                   struct fault *fault)
{
    return list(request, response, &api_certificate_versions, fault);
}

bool api_list_issuers(struct request *request, struct response *response, struct fault *fault)
{
    return list(request, response, &api_issuers, fault);
}

bool api_get_issuer(struct request *request, struct response *response, struct fault *fault)
{
    return get(request, response, &api_issuers, fault);
}

bool api_list_profiles(struct request *request, struct response *response, struct fault *fault)
{
    return list(request, response, &api_profiles, fault);
}

bool api_get_profile(struct request *request, struct response *response, struct fault *fault)
{
    return get(request, response, &api_profiles, fault);
}

bool api_list_approvals(struct request *request, struct response *response, struct fault *fault)
{
    return list(request, response, &api_approvals, fault);
}

bool api_get_approval(struct request *request, struct response *response, struct fault *fault)
{
    return get(request, response, &api_approvals, fault);
}

bool api_list_acme_accounts(struct request *request, struct response *response, struct fault *fault)
{
    return list(request, response, &api_acme_accounts, fault);
}

bool api_get_acme_account(struct request *request, struct response *response, struct fault *fault)
{
    return get(request, response, &api_acme_account, fault);
}

bool api_list_acme_orders(struct request *request, struct response *response, struct fault *fault)
{
    return list(request, response, &api_acme_orders, fault);
}

bool api_list_eab_keys(struct request *request, struct response *response, struct fault *fault)
{
    return list(request, response, &api_eab_keys, fault);
}
