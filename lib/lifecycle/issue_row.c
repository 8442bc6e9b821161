/* lib/lifecycle/issue_row.c: what issuing takes, from a row (04 section 6). */
#include "core/memory.h"
#include "lifecycle/issue.h"

#include "core/banned.h"

static bool profile_from_row(TALLOC_CTX *ctx, const struct rows *rows, struct profile *profile,
                             struct fault *fault)
{
    profile->id = row_text(rows, 0, "cert_profile_id");
    profile->name = row_text(rows, 0, "profile_name");
    profile->enabled = row_bool(rows, 0, "profile_enabled");
    profile->row_version = row_integer(rows, 0, "profile_version");
    profile->max_ttl_s = row_integer(rows, 0, "max_ttl_seconds");
    profile->default_validity_days = row_integer(rows, 0, "default_validity_days");
    profile->allow_short_lived = row_bool(rows, 0, "allow_short_lived");
    profile->must_staple = row_bool(rows, 0, "must_staple");
    profile->allow_wildcards = row_bool(rows, 0, "allow_wildcards");
    profile->allow_sha1_csr = row_bool(rows, 0, "allow_sha1_csr");
    profile->requires_approval = row_bool(rows, 0, "requires_approval");
    profile->policy_oids = row_texts(ctx, rows, 0, "policy_oids");
    const struct text_list types = row_texts(ctx, rows, 0, "allowed_san_types");
    return profile_set_key_rules(profile, row_text(rows, 0, "allowed_key_algorithms"), fault) &&
           profile_set_ekus(profile, row_text(rows, 0, "allowed_ekus"), fault) &&
           profile_set_san_patterns(profile, row_text(rows, 0, "required_san_patterns"), fault) &&
           profile_set_uri_patterns(profile, row_text(rows, 0, "allowed_uri_patterns"), fault) &&
           profile_set_spiffe_pattern(profile, row_text(rows, 0, "spiffe_uri_pattern"), fault) &&
           profile_set_san_types(profile, &types, fault) &&
           profile_set_subject_policy(profile, row_text(rows, 0, "subject_policy"), fault);
}

bool issue_request_from_row(TALLOC_CTX *ctx, const struct rows *rows,
                            struct issue_request *ret_request, struct fault *fault)
{
    struct profile *profile = mem_new(ctx, struct profile);
    struct ca *ca = row_null(rows, 0, "ca_id") ? NULL : mem_new(ctx, struct ca);

    if (!profile_from_row(profile, rows, profile, fault) ||
        (ca && !ca_from_row(ctx, rows, 0, ca, fault)))
        return false;
    *ret_request = (struct issue_request){
        .profile = profile,
        .issuer_id = row_text(rows, 0, "issuer_id"),
        .issuer_type = row_text(rows, 0, "issuer_type"),
        .issuer_validity_days = row_integer(rows, 0, "issuer_days"),
        .ca = ca,
        .owner_id = row_text(rows, 0, "owner_id"),
        .team_id = row_text(rows, 0, "team_id"),
        .renewal_policy_id = row_text(rows, 0, "renewal_policy_id"),
    };
    return true;
}
