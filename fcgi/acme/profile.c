/* fcgi/acme/profile.c: the directory's profile and its ACME settings (01 section 4.2), remembered
 * for five seconds per worker. What a certificate may be is read again where it is issued. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "fcgi/acme/worker.h"
#include "net/caa_record.h"
#include "net/challenge_type.h"

#include "core/banned.h"

#define FRESH_US 5000000

STATEMENT(acme_profile_read,
          "SELECT p.id, p.enabled, p.acme_auth_mode, coalesce(s.settings, '{}') AS settings, "
          "       d.issuer_id, "
          "       (SELECT json_agg(json_strip_nulls(json_build_object('id', c.id, 'description', "
          "                 coalesce(nullif(c.description, ''), c.name), 'enabled', c.enabled, "
          "                 'row_version', c.row_version, 'issuer_id', c.issuer_id, "
          "                 'max_ttl_seconds', c.max_ttl_seconds, "
          "                 'validity_days', coalesce(c.default_validity_days, "
          "                   (SELECT coalesce((i.config->>'validity_days')::integer, 90) "
          "                      FROM issuers i WHERE i.id = coalesce(c.issuer_id, d.issuer_id))), "
          "                 'allow_wildcards', c.allow_wildcards, "
          "                 'allowed_san_types', c.allowed_san_types, "
          "                 'required_san_patterns', c.required_san_patterns)) "
          "               ORDER BY c.id <> p.id, c.id) "
          "          FROM certificate_profiles c "
          "         WHERE c.id = ANY (ARRAY(SELECT jsonb_array_elements_text( "
          "                s.settings->'selectable_profiles')) || p.id::text)) AS policies "
          "  FROM certificate_profiles p "
          " CROSS JOIN LATERAL (SELECT coalesce(p.issuer_id, $2, (SELECT min(i.id::text) "
          "                       FROM issuers i WHERE i.enabled HAVING count(*) = 1)) "
          "                       AS issuer_id) d "
          "  LEFT JOIN acme_profile_settings s ON s.profile_id = p.id "
          " WHERE p.id = $1");

struct acme_settings {
    bool eab_required;
    bool allow_wildcard;
    bool allow_single_label;
    bool authz_reuse;
    bool require_mtls;
    bool preauthorization;
    struct text_list identifier_types;
    struct text_list challenge_types;
    const char *caa;
};

static const struct member settings_members[] = {
    {"eab_required",       MEMBER_BOOLEAN, OPTIONAL, AT(acme_settings, eab_required)      },
    {"allow_wildcard",     MEMBER_BOOLEAN, OPTIONAL, AT(acme_settings, allow_wildcard)    },
    {"allow_single_label", MEMBER_BOOLEAN, OPTIONAL, AT(acme_settings, allow_single_label)},
    {"authz_reuse",        MEMBER_BOOLEAN, OPTIONAL, AT(acme_settings, authz_reuse)       },
    {"require_mtls",       MEMBER_BOOLEAN, OPTIONAL, AT(acme_settings, require_mtls)      },
    {"preauthorization",   MEMBER_BOOLEAN, OPTIONAL, AT(acme_settings, preauthorization)  },
    {"identifier_types",   MEMBER_TEXTS,   OPTIONAL, AT(acme_settings, identifier_types)  },
    {"challenge_types",    MEMBER_TEXTS,   OPTIONAL, AT(acme_settings, challenge_types)   },
    {"caa",                MEMBER_TEXT,    OPTIONAL, AT(acme_settings, caa)               },
};

static struct text_list default_challenges(TALLOC_CTX *ctx)
{
    struct text_list types = {0};

    for (size_t i = 0; i < challenge_type_count; i++)
        if (challenge_types[i].by_default)
            text_list_add(ctx, &types, challenge_types[i].name);
    return types;
}

static bool settings_read(struct acme_profile *profile, const char *text, struct fault *fault)
{
    struct acme_settings settings = {
        .allow_wildcard = true,
        .allow_single_label = true,
        .authz_reuse = true,
        .identifier_types = text_split(profile, "dns,ip", ','),
        .challenge_types = default_challenges(profile),
    };
    AUTO(json_t) *json = json_parse_object(bytes_of_text(text), INTERNAL,
                                           "the profile's ACME settings", fault);

    if (!json || !json_decode(profile, json, settings_members, &settings, fault))
        return false;
    profile->eab_required = settings.eab_required;
    profile->allow_wildcard = settings.allow_wildcard;
    profile->allow_single_label = settings.allow_single_label;
    profile->authz_reuse = settings.authz_reuse;
    profile->require_mtls = settings.require_mtls;
    profile->preauthorization = settings.preauthorization;
    profile->identifier_types = settings.identifier_types;
    profile->challenge_types = settings.challenge_types;
    profile->caa = settings.caa;
    return true;
}

static const struct member policy_members[] = {
    {"id",                    MEMBER_TEXT,    REQUIRED, AT(acme_policy, id)             },
    {"description",           MEMBER_TEXT,    REQUIRED, AT(acme_policy, description)    },
    {"enabled",               MEMBER_BOOLEAN, REQUIRED, AT(acme_policy, enabled)        },
    {"row_version",           MEMBER_INTEGER, REQUIRED, AT(acme_policy, row_version)    },
    {"issuer_id",             MEMBER_TEXT,    OPTIONAL, AT(acme_policy, issuer_id)      },
    {"max_ttl_seconds",       MEMBER_INTEGER, REQUIRED, AT(acme_policy, max_ttl_s)      },
    {"validity_days",         MEMBER_INTEGER, OPTIONAL, AT(acme_policy, validity_days)  },
    {"allow_wildcards",       MEMBER_BOOLEAN, REQUIRED, AT(acme_policy, allow_wildcards)},
    {"allowed_san_types",     MEMBER_TEXTS,   OPTIONAL, AT(acme_policy, san_types)      },
    {"required_san_patterns", MEMBER_TEXTS,   REQUIRED, AT(acme_policy, san_patterns)   },
};

static bool policies_read(struct acme_profile *profile, const char *text, struct fault *fault)
{
    AUTO(json_t) *array = json_loads(text, 0, NULL);
    size_t index;
    json_t *policy;

    if (json_array_size(array) == 0)
        return fault_set(fault, INTERNAL, NULL, "the profile cannot be read");
    profile->policy_count = json_array_size(array);
    profile->policies = mem_array(profile, struct acme_policy, profile->policy_count);
    json_array_foreach (array, index, policy)
        if (!json_decode(profile, policy, policy_members, &profile->policies[index], fault))
            return false;
    return true;
}

static struct acme_profile *profile_from_row(TALLOC_CTX *ctx, const struct rows *rows,
                                             struct fault *fault)
{
    AUTO(TALLOC_CTX) *held = talloc_new(NULL);
    struct acme_profile *profile = mem_new(held, struct acme_profile);

    profile->id = mem_text(profile, row_text(rows, 0, "id"));
    profile->enabled = row_bool(rows, 0, "enabled");
    profile->auth_mode = mem_text(profile, row_text(rows, 0, "acme_auth_mode"));
    profile->trusts_accounts = text_equal(profile->auth_mode, "trust_authenticated");
    profile->issuer_id = mem_text(profile, row_text(rows, 0, "issuer_id"));
    if (!settings_read(profile, row_text(rows, 0, "settings"), fault) ||
        !policies_read(profile, row_text(rows, 0, "policies"), fault))
        return NULL;
    profile->loaded_us = clock_monotonic_us();
    return talloc_steal(ctx, profile);
}

static struct acme_profile *profile_remembered(struct acme_worker *worker, const char *id)
{
    const int64_t now_us = clock_monotonic_us();

    for (size_t i = 0; i < ACME_PROFILES_MAX; i++) {
        struct acme_profile *profile = worker->profiles[i];

        if (profile && text_equal(profile->id, id) && now_us - profile->loaded_us < FRESH_US)
            return profile;
    }
    return NULL;
}

/* Takes the place of an older reading of the same profile, else the next one round. */
static void profile_remember(struct acme_worker *worker, struct acme_profile *profile)
{
    size_t place = worker->profile_next;

    for (size_t i = 0; i < ACME_PROFILES_MAX; i++)
        if (worker->profiles[i] && text_equal(worker->profiles[i]->id, profile->id))
            place = i;
    if (place == worker->profile_next)
        worker->profile_next = (place + 1) % ACME_PROFILES_MAX;
    talloc_free(worker->profiles[place]);
    worker->profiles[place] = talloc_steal(worker, profile);
}

static void profile_forget(struct acme_worker *worker, const char *id)
{
    for (size_t i = 0; i < ACME_PROFILES_MAX; i++)
        if (worker->profiles[i] && text_equal(worker->profiles[i]->id, id))
            TALLOC_FREE(worker->profiles[i]);
}

static const struct acme_profile *profile_load(struct request *request, const char *id,
                                               struct fault *fault)
{
    struct acme_worker *worker = request->worker;
    struct acme_profile *profile = profile_remembered(worker, id);

    if (profile)
        return profile;
    struct rows *rows = db_query(request, request->db, &acme_profile_read, fault, TEXT(id),
                                 TEXT(request->settings->acme_issuer_id));
    if (!rows)
        return NULL;
    if (rows->count == 0)
        return fault_set(fault, ACME_PROFILE_UNKNOWN, NULL, "profile not found");
    profile = profile_from_row(request, rows, fault);
    if (!profile)
        return NULL;
    profile_remember(worker, profile);
    acme_of(request)->profile_fresh = true;
    return profile;
}

bool acme_profile_find(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    if (!acme->profile_id)
        return fault_set(fault, ACME_USER_ACTION, NULL,
                         "use /acme/profile/{id}/directory, or set "
                         "CERTCTL_ACME_SERVER_DEFAULT_PROFILE_ID to turn the shorthand on");
    acme->profile = profile_load(request, acme->profile_id, fault);
    if (!acme->profile)
        return false;
    if (!acme->profile->enabled)
        return fault_set(fault, ACME_USER_ACTION, NULL, "profile is disabled");
    acme->policy = &acme->profile->policies[0];
    return true;
}

bool acme_mtls_check(const struct request *request, struct fault *fault)
{
    if (acme_of(request)->profile->require_mtls &&
        !text_equal(request->tls_client_verify, "SUCCESS"))
        return fault_set(fault, REQUESTER_NOT_AUTHORIZED, NULL,
                         "this profile requires a verified TLS client certificate");
    return true;
}

bool acme_profile_doubted(const struct request *request, const struct rows *rows,
                          const struct fault *fault)
{
    static const enum fault_reason judged[] = {ACME_IDENTIFIER_REJECTED, ACME_INVALID_PROFILE,
                                               ACME_NO_ISSUER, INPUT_INVALID, ROUTE_UNKNOWN};

    if (rows)
        return acme_is_stale(rows);
    for (size_t i = 0; i < ARRAY_SIZE(judged); i++)
        if (fault->reason == judged[i])
            return !acme_of(request)->profile_fresh;
    return false;
}

bool acme_profile_reload(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);

    acme->policy = NULL;
    acme->problem = NULL;
    *fault = (struct fault){0};
    profile_forget(request->worker, acme->profile_id);
    return acme_profile_find(request, fault) && acme_mtls_check(request, fault);
}

bool acme_policy_select(const struct request *request, const char *id, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const struct acme_profile *profile = acme->profile;

    acme->policy = &profile->policies[0];
    if (!id)
        return true;
    for (size_t i = 0; i < profile->policy_count; i++) {
        if (!text_equal(profile->policies[i].id, id))
            continue;
        acme->policy = &profile->policies[i];
        return acme->policy->enabled || fault_set(fault, ACME_INVALID_PROFILE, "profile",
                                                  "profile %s is disabled", text_quote(acme, id));
    }
    return fault_set(fault, ACME_INVALID_PROFILE, "profile", "profile %s cannot be selected here",
                     text_quote(acme, id));
}

bool acme_caa_is_wanted(const struct request *request)
{
    const struct settings *settings = request->settings;
    const struct acme_profile *profile = acme_of(request)->profile;

    return !profile->trusts_accounts &&
           caa_wanted(settings->acme_caa_mode, profile->caa, &settings->acme_caa_identities);
}

bool acme_trust_is_open(const struct request *request)
{
    const struct acme_profile *profile = acme_of(request)->profile;

    if (!profile->trusts_accounts || request->settings->acme_eab_required ||
        profile->eab_required || profile->require_mtls)
        return false;
    for (size_t i = 0; i < profile->policy_count; i++)
        if (profile->policies[i].enabled && profile->policies[i].san_patterns.count == 0)
            return true;
    return false;
}
