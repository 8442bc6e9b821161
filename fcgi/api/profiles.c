/* fcgi/api/profiles.c: certificate profiles (04 section 7, 05 section 4.8). */
#include "core/auto.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/memory.h"
#include "fcgi/api/api.h"
#include "lifecycle/approval.h"
#include "pki/der.h"
#include "pki/profile.h"
#include "pki/spiffe.h"
#include "profile_acme.h"

#include "core/banned.h"

#define DAY_S     86400
#define DAYS_MOST 24855 /* more seconds do not fit the column */
#define LIST_MOST 100

static const char *const members[] = {
    "id",
    "name",
    "description",
    "allowed_key_algorithms",
    "max_ttl_seconds",
    "allowed_ekus",
    "required_san_patterns",
    "spiffe_uri_pattern",
    "allow_short_lived",
    "must_staple",
    "required_csr_attributes",
    "acme_auth_mode",
    "acme",
    "requires_approval",
    "enabled",
    "issuer_id",
    "default_validity_days",
    "policy_oids",
    "allowed_uri_patterns",
    "allowed_san_types",
    "allow_wildcards",
    "allow_sha1_csr",
    "subject_policy",
    "enroll_owner_id",
    "enroll_team_id",
    "enroll_renewal_policy_id",
    "created_at",
    "updated_at",
    NULL,
};

/* --- fields --- */

static const struct {
    const char *name;
    int64_t least;
    int64_t most;
} key_algorithms[] = {
    {"RSA",     2048, 8192},
    {"ECDSA",   256,  521 },
    {"Ed25519", 0,    256 },
};

static void check_key_rule(const struct resource_field *field, const json_t *rule,
                           struct fault_list *problems)
{
    const char *name = json_text_at(rule, "algorithm");
    const json_t *size = json_object_get(rule, "min_size");
    const int64_t bits = json_integer_value(size);

    for (size_t i = 0; i < ARRAY_SIZE(key_algorithms); i++) {
        if (!text_equal(key_algorithms[i].name, name))
            continue;
        if (size && !json_is_integer(size))
            fault_list_add(problems, INPUT_INVALID, field->name, "min_size must be an integer");
        else if (bits < key_algorithms[i].least)
            fault_list_add(problems, INPUT_INVALID, field->name,
                           "%s minimum key size must be at least %lld, got %lld", name,
                           (long long)key_algorithms[i].least, (long long)bits);
        else if (bits > key_algorithms[i].most)
            fault_list_add(problems, INPUT_INVALID, field->name,
                           "%s minimum key size must be at most %lld, got %lld", name,
                           (long long)key_algorithms[i].most, (long long)bits);
        return;
    }
    fault_list_add(problems, INPUT_INVALID, field->name,
                   "invalid key algorithm: %.80s (allowed: RSA, ECDSA, Ed25519)", name ? name : "");
}

static void check_key_rules(const struct resource_field *field, const json_t *value,
                            struct fault_list *problems)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        check_key_rule(field, json_array_get(value, i), problems);
}

static void check_ekus(const struct resource_field *field, const json_t *value,
                       struct fault_list *problems)
{
    bool stamps = false;

    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!eku_from_text(name))
            fault_list_add(problems, INPUT_INVALID, field->name, "invalid EKU: %.80s", name);
        stamps = stamps || eku_from_text(name) == EKU_TIME_STAMPING;
    }
    if (stamps && json_array_size(value) > 1)
        fault_list_add(problems, INPUT_INVALID, field->name,
                       "timeStamping must be the only EKU (RFC 3161 section 2.3)");
}

static void check_patterns(const struct resource_field *field, const json_t *value,
                           struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *pattern = json_string_value(json_array_get(value, i));
        const char *problem = profile_pattern_problem(scratch, pattern);
        if (problem)
            fault_list_add(problems, INPUT_INVALID, field->name, "invalid %s[%zu]: %s", field->name,
                           i, problem);
    }
}

static void check_spiffe(const struct resource_field *field, const json_t *value,
                         struct fault_list *problems)
{
    const char *text = json_string_value(value);
    const char *problem = *text ? spiffe_pattern_problem(text) : NULL;

    if (*text && !text_starts(text, "spiffe://"))
        fault_list_add(problems, INPUT_INVALID, field->name, "%s must start with spiffe://",
                       field->name);
    else if (problem)
        fault_list_add(problems, INPUT_INVALID, field->name, "invalid %s: %s", field->name,
                       problem);
}

static void check_subject_policy(const struct resource_field *field, const json_t *value,
                                 struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *object = json_deep_copy(value); /* Jansson iterates over no const object */
    struct subject_policy policy;
    const char *problem = subject_policy_read(scratch, object, &policy);

    if (problem)
        fault_list_add(problems, INPUT_INVALID, field->name, "invalid %s: %s", field->name,
                       problem);
}

static void check_oids(const struct resource_field *field, const json_t *value,
                       struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (!der_oid_valid(text))
            fault_list_add(problems, INPUT_INVALID, field->name, "%s[%zu]: %s is no OID",
                           field->name, i, text_quote(scratch, text));
    }
}

static void check_san_types(const struct resource_field *field, const json_t *value,
                            struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        bool known = false;
        for (int kind = NAME_DNS; kind < NAME_OTHER; kind++)
            known = known || text_equal(name_kind_text((enum name_kind)kind), text);
        if (!known)
            fault_list_add(problems, INPUT_INVALID, field->name,
                           "%s[%zu]: %s is none of dns, ip, email, uri, upn", field->name, i,
                           text_quote(scratch, text));
    }
}

static const struct resource_field fields[] = {
    FIELD("name", NAME, .flags = FIELD_REQUIRED, .most = 255, .label = "profile name"),
    FIELD("description", NOTE, .most = 4096, .fallback = "\"\""),
    FIELD("allowed_key_algorithms", ARRAY, .most = LIST_MOST, .check = check_key_rules,
          .fallback = "[{\"algorithm\":\"ECDSA\",\"min_size\":256},"
                      "{\"algorithm\":\"RSA\",\"min_size\":2048}]"),
    FIELD("max_ttl_seconds", INTEGER, .most = INT32_MAX, .fallback = "0"),
    FIELD("allowed_ekus", TEXTS, .most = LIST_MOST, .check = check_ekus,
          .fallback = "[\"serverAuth\"]"),
    FIELD("required_san_patterns", TEXTS, .most = LIST_MOST, .check = check_patterns,
          .fallback = "[]"),
    FIELD("spiffe_uri_pattern", TEXT, .most = 512, .check = check_spiffe, .fallback = "\"\""),
    FIELD("allow_short_lived", BOOLEAN, .fallback = "false"),
    FIELD("must_staple", BOOLEAN, .fallback = "false"),
    FIELD("required_csr_attributes", TEXTS, .most = LIST_MOST, .fallback = "[]"),
    FIELD("acme_auth_mode", CHOICE, .choices = "trust_authenticated|challenge",
          .fallback = "\"trust_authenticated\""),
    FIELD("acme", OBJECT, .flags = FIELD_NULLABLE | FIELD_ELSEWHERE, .column = PROFILE_ACME_STORED,
          .check = profile_acme_check),
    FIELD("requires_approval", BOOLEAN, .fallback = "false"),
    FIELD("issuer_id", ID, .flags = FIELD_NULLABLE, .refers = "issuer"),
    FIELD("default_validity_days", INTEGER, .flags = FIELD_NULLABLE, .least = 1, .most = 36500),
    FIELD("policy_oids", TEXTS, .flags = FIELD_NULLABLE, .most = LIST_MOST, .check = check_oids),
    FIELD("allowed_uri_patterns", TEXTS, .flags = FIELD_NULLABLE, .most = LIST_MOST,
          .check = check_patterns),
    FIELD("allowed_san_types", TEXTS, .flags = FIELD_NULLABLE, .most = LIST_MOST,
          .check = check_san_types),
    FIELD("allow_wildcards", BOOLEAN, .fallback = "true"),
    FIELD("allow_sha1_csr", BOOLEAN, .fallback = "false"),
    FIELD("subject_policy", OBJECT, .flags = FIELD_NULLABLE, .check = check_subject_policy),
    FIELD("enroll_owner_id", ID, .flags = FIELD_NULLABLE, .refers = "owner"),
    FIELD("enroll_team_id", ID, .flags = FIELD_NULLABLE, .refers = "team"),
    FIELD("enroll_renewal_policy_id", ID, .flags = FIELD_NULLABLE, .refers = "renewal policy"),
    FIELD("enabled", BOOLEAN, .fallback = "true"),
};

/* --- rules over several fields, and the older clients --- */

/* max_validity_days of the quick start (04 section 7.1), and the site's default mode. */
static void adapt(const struct request *request, enum resource_verb verb, json_t *body)
{
    const json_t *days = json_object_get(body, "max_validity_days");
    const json_t *seconds = json_object_get(body, "max_ttl_seconds");
    const json_t *mode = json_object_get(body, "acme_auth_mode");

    if (json_is_integer(days) && (!seconds || json_is_null(seconds))) {
        const int64_t count = json_integer_value(days);
        json_set_integer(body, "max_ttl_seconds",
                         count < 0 ? -1 : least(count, (int64_t)DAYS_MOST) * DAY_S);
        (void)json_object_del(body, "max_validity_days");
    }
    if (verb == RESOURCE_CREATE && (!mode || json_is_null(mode)))
        json_set_text(body, "acme_auth_mode", request->settings->acme_default_auth_mode);
    profile_acme_adapt(request, body);
}

static void check(const struct resource_change *change, struct fault_list *problems)
{
    const json_t *row = change->row;
    const int64_t ttl = json_integer_value(json_object_get(row, "max_ttl_seconds"));
    const bool short_lived = json_is_true(json_object_get(row, "allow_short_lived"));

    if (short_lived && ttl >= SHORT_LIVED_BELOW_S)
        fault_list_add(problems, INPUT_INVALID, "allow_short_lived",
                       "allow_short_lived is true but max_ttl_seconds (%lld) is >= 3600; "
                       "short-lived certs must have TTL under 1 hour",
                       (long long)ttl);
    if (short_lived && json_is_true(json_object_get(row, "must_staple")))
        fault_list_add(problems, INPUT_INVALID, "must_staple",
                       "must_staple cannot be combined with allow_short_lived");
    profile_acme_check_mode(row, problems);
}

static bool wait_for_approval(const struct resource_change *change, struct response *response,
                              struct fault *fault)
{
    struct request *request = change->request;
    const struct approval_edit edit = {
        .key = api_key(request),
        .profile_id = change->id,
        .payload = json_to_text(request, change->row),
        .row_version = change->row_version,
        .source_ip = request->settings->audit_record_ip ? request->remote_addr : NULL,
        .request_id = request->request_id,
    };
    const char *id = approval_open_edit(request, request->db, &edit, fault);

    if (!id)
        return false;
    json_t *body = json_object();
    json_set_text(body, "status", "pending_approval");
    json_set_text(body, "pending_approval_id", id);
    json_set_text(body, "message",
                  "profile edit requires approval (see /v1/approvals/{id}/approve)");
    return response_json(response, 202, body);
}

/* The one place that decides between "now" and "when a second person has agreed" (04 section 13.5).
 * Requests for approvals outlive their decision and refer to their profile: where there must be
 * one, nothing can be deleted. */
static bool gate(const struct resource_change *change, struct response *response,
                 struct fault *fault)
{
    const bool was = json_is_true(json_object_get(change->stored, "requires_approval"));
    const bool will = json_is_true(json_object_get(change->row, "requires_approval"));

    if (!profile_acme_may_name(change, fault))
        return false;
    if (change->verb == RESOURCE_CREATE || (!was && !will))
        return true;
    if (change->verb == RESOURCE_DELETE)
        return fault_set(fault, RESOURCE_STATE, NULL,
                         "Cannot delete profile: it requires approval; disable it by an edit");
    return profile_acme_refer(change, fault) && wait_for_approval(change, response, fault);
}

static bool before(struct resource_change *change, struct fault *fault)
{
    return profile_acme_refer(change, fault);
}

static const struct resource_constraint constraints[] = {
    {"certificate_profiles_name_key",                    "A profile with this name already exists"          },
    {"managed_certificates_certificate_profile_id_fkey",
     "Cannot delete profile: certificates are still issued under it"                                        },
    {"renewal_policies_certificate_profile_id_fkey",
     "Cannot delete profile: renewal policies still name it"                                                },
    {"issuance_approval_requests_profile_id_fkey",
     "Cannot delete profile: approvals still refer to it"                                                   },
    {"acme_accounts_profile_id_fkey",                    "Cannot delete profile: ACME accounts still use it"},
    {"acme_orders_profile_id_fkey",                      "Cannot delete profile: ACME orders still use it"  },
    {"acme_orders_cert_profile_id_fkey",                 "Cannot delete profile: ACME orders still use it"  },
    {"acme_eab_keys_profile_id_fkey",                    "Cannot delete profile: EAB keys still name it"    },
};

static const struct resource_write writes = {
    .table = "certificate_profiles",
    .noun = "profile",
    .fields = fields,
    .field_count = ARRAY_SIZE(fields),
    .id_prefix = "prof",
    .id_by_client = true,
    .constraints = constraints,
    .constraint_count = ARRAY_SIZE(constraints),
    .actions = {[RESOURCE_CREATE] = "create_profile",
                [RESOURCE_UPDATE] = "update_profile",
                [RESOURCE_DELETE] = "delete_profile"},
    .category = "config",
    .audit_type = "certificate_profile",
    .hooks = { .adapt = adapt,
                .check = check,
                .gate = gate,
                .before = before,
                .after = profile_acme_store},
};

static const struct resource_sort sorts[] = {
    {"name",       NULL, "v.name",       SORT_TEXT},
    {"created_at", NULL, "v.created_at", SORT_TIME},
    {"updated_at", NULL, "v.updated_at", SORT_TIME},
};

const struct resource api_profiles = {
    .name = "profiles",
    .label = "Profile",
    .view = "api_profiles",
    .read = MAY_PROFILE_READ,
    .members = members,
    .sorts = sorts,
    .sort_count = ARRAY_SIZE(sorts),
    .scope_profile = "id",
    .catalogue = true,
    .write = &writes,
};

bool api_create_profile(struct request *request, struct response *response, struct fault *fault)
{
    return api_create(request, response, &api_profiles, fault);
}

bool api_put_profile(struct request *request, struct response *response, struct fault *fault)
{
    return api_put(request, response, &api_profiles, fault);
}

bool api_patch_profile(struct request *request, struct response *response, struct fault *fault)
{
    return api_patch(request, response, &api_profiles, fault);
}

bool api_delete_profile(struct request *request, struct response *response, struct fault *fault)
{
    return api_delete(request, response, &api_profiles, fault);
}

bool api_apply_profile(struct request *request, const struct approval_outcome *outcome,
                       struct fault *fault)
{
    struct resource_change change = {
        .request = request,
        .resource = &api_profiles,
        .verb = RESOURCE_UPDATE,
        .id = outcome->edit_profile,
        .row_version = outcome->edit_version,
    };

    json_t *row = json_loads(outcome->edit_payload, 0, NULL);
    if (!json_is_object(row)) {
        json_decref(row);
        return fault_set(fault, INTERNAL, NULL, "the pending edit cannot be read");
    }
    change.row = mem_adopt(request, row, json_decref);
    return api_apply(&change, "profile.edit_applied", "config", fault);
}
