/* lib/pki/profile.h: certificate profiles and the policy that they are (04 section 7).
 *
 * C decides policy, here; SQL compares row versions; the signer knows its facts only. */
#ifndef CERTCTL_PKI_PROFILE_H
#define CERTCTL_PKI_PROFILE_H

#include "pki/compose.h"
#include "pki/csr.h"

struct key_rule {
    enum key_kind kind;
    int min_bits;
};

struct san_pattern;

/* A talloc object. */
struct profile {
    const char *id;
    const char *name;
    bool enabled;
    int64_t row_version;
    struct key_rule *key_rules; /* empty: all that key.h accepts */
    size_t key_rule_count;
    int64_t max_ttl_s;             /* 0: no limit */
    int64_t default_validity_days; /* 0: the issuer's */
    unsigned ekus;
    struct text_list san_patterns;    /* PCRE2, anchored at both ends */
    struct san_pattern *san_compiled; /* by profile_set_san_patterns; NULL: compiled per check */
    bool allow_short_lived;
    bool must_staple;
    bool allow_wildcards;
    bool allow_sha1_csr;
    bool requires_approval;
    struct text_list policy_oids;
    const char *issuer_id; /* or NULL */
};

/* Texts as the columns of certificate_profiles hold them (JSON arrays); PROFILE_UNAVAILABLE when
 * one cannot be read. */
bool profile_set_key_rules(struct profile *profile, const char *json, struct fault *fault);
bool profile_set_ekus(struct profile *profile, const char *json, struct fault *fault);
bool profile_set_san_patterns(struct profile *profile, const char *json, struct fault *fault);

/* What is wrong with a name pattern (PCRE2, at most 512 octets), or NULL. On ctx. */
const char *profile_pattern_problem(TALLOC_CTX *ctx, const char *pattern);

/* 04 section 7.3: CSR_KEY_POLICY names key, rule and profile. */
bool profile_check_key(const struct profile *profile, const struct key_facts *key,
                       struct fault *fault);
/* 04 section 7.4: every DNS and e-mail name must match a pattern where there are any.
 * PCRE2 match limit 10 000, depth limit 250. CSR_NAME_REJECTED names the value. */
bool profile_check_name(const struct profile *profile, const struct name *name,
                        struct fault *fault);
bool profile_is_short_lived(const struct profile *profile);
/* Key usage bits for the profile's EKUs and this key (04 section 6.7). */
unsigned profile_key_usage(const struct profile *profile, const struct key_facts *key);

/* 04 section 6.5. A wish of 0 means none. VALIDITY_EMPTY below 60 s. */
struct validity {
    int64_t not_before;
    int64_t not_after;
};
bool profile_validity(const struct profile *profile, int64_t issuer_validity_days,
                      int64_t backdate_s, int64_t now_s, struct validity wished,
                      struct validity *ret, struct fault *fault);

#endif
