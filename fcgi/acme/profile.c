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
          "SELECT p.id, p.enabled, p.acme_auth_mode, p.max_ttl_seconds, p.required_san_patterns, "
          "       p.allow_wildcards, p.allowed_san_types, coalesce(s.settings, '{}') AS settings, "
          "       coalesce(p.issuer_id, $2, (SELECT min(i.id::text) FROM issuers i WHERE i.enabled "
          "                                   HAVING count(*) = 1)) AS issuer_id "
          "  FROM certificate_profiles p "
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

static bool patterns_read(struct acme_profile *profile, const char *text)
{
    AUTO(json_t) *array = json_loads(text, 0, NULL);
    size_t index;
    json_t *pattern;

    if (!json_is_array(array))
        return false;
    json_array_foreach (array, index, pattern) {
        if (!json_is_string(pattern))
            return false;
        text_list_add(profile, &profile->san_patterns, json_string_value(pattern));
    }
    return true;
}

/* Both the ACME settings and the certificate profile may leave types out. */
static void types_narrow(struct acme_profile *profile, const struct rows *rows)
{
    const struct text_list asked = profile->identifier_types;
    const struct text_list allowed = row_texts(profile, rows, 0, "allowed_san_types");

    if (allowed.count == 0)
        return;
    profile->identifier_types = (struct text_list){NULL, 0};
    for (size_t i = 0; i < asked.count; i++)
        if (text_list_has(&allowed, asked.items[i]))
            text_list_add(profile, &profile->identifier_types, asked.items[i]);
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
    profile->max_ttl_s = row_integer(rows, 0, "max_ttl_seconds");
    if (!settings_read(profile, row_text(rows, 0, "settings"), fault))
        return NULL;
    types_narrow(profile, rows);
    profile->allow_wildcard = profile->allow_wildcard && row_bool(rows, 0, "allow_wildcards");
    if (!patterns_read(profile, row_text(rows, 0, "required_san_patterns")))
        return fault_set(fault, INTERNAL, NULL, "the profile's name patterns cannot be read");
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
    if (profile)
        profile_remember(worker, profile);
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
    return true;
}

bool acme_caa_is_wanted(const struct request *request)
{
    const struct settings *settings = request->settings;
    const struct acme_profile *profile = acme_of(request)->profile;

    return !profile->trusts_accounts &&
           caa_wanted(settings->acme_caa_mode, profile->caa, &settings->acme_caa_identities);
}
