/* lib/pki/profile.h: certificate profiles and the policy that they are (04 section 7).
 *
 * C decides policy, here; SQL compares row versions; the signer knows its facts only. */
#ifndef CERTCTL_PKI_PROFILE_H
#define CERTCTL_PKI_PROFILE_H

#include <jansson.h>

#include "pki/compose.h"
#include "pki/csr.h"

struct key_rule {
    enum key_kind kind;
    int min_bits;
};

struct san_pattern;

/* What a subject may hold (04 section 6.3). OIDs are dotted. */
struct subject_policy {
    bool limits; /* only what is `allowed` is taken over; else everything */
    struct text_list allowed;
    struct text_list required; /* the request must have them */
    struct rdn *fixed;         /* written whatever the request says */
    size_t fixed_count;
};

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
    const char *spiffe_pattern;       /* a good one, "" or NULL */
    struct text_list uri_patterns;    /* as san_patterns */
    struct san_pattern *uri_compiled;
    unsigned san_types; /* 1 << enum name_kind; 0: all but UPN and others */
    struct subject_policy subject;
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
bool profile_set_uri_patterns(struct profile *profile, const char *json, struct fault *fault);
bool profile_set_spiffe_pattern(struct profile *profile, const char *pattern, struct fault *fault);
/* "dns", "ip", "email", "uri", "upn"; an empty list stands for all but UPN. */
bool profile_set_san_types(struct profile *profile, const struct text_list *types,
                           struct fault *fault);
/* An object (below), or NULL. */
bool profile_set_subject_policy(struct profile *profile, const char *json, struct fault *fault);

/* What is wrong with a name pattern (PCRE2, at most 512 octets), or NULL. On ctx. */
const char *profile_pattern_problem(TALLOC_CTX *ctx, const char *pattern);
/* Reads {"allowed": [NAME…], "required": [NAME…], "fixed": {NAME: TEXT}}, each member optional. A
 * NAME is one of 04 section 7.5 or a dotted OID; what is fixed is put in order, country first. What
 * is wrong with it, or NULL; lists hang on ctx. */
const char *subject_policy_read(TALLOC_CTX *ctx, json_t *object, struct subject_policy *ret_policy);

/* 04 section 7.3: CSR_KEY_POLICY names key, rule and profile. */
bool profile_check_key(const struct profile *profile, const struct key_facts *key,
                       struct fault *fault);
/* 04 section 7.4, one name alone: its type, wildcards; DNS and e-mail against the patterns where
 * there are any; a URI against its own (SPIFFE, allowed_uri_patterns, or the SID of clientAuth).
 * PCRE2 match limit 10 000, depth limit 250. CSR_NAME_REJECTED names value, rule and profile. */
bool profile_check_name(const struct profile *profile, const struct name *name,
                        struct fault *fault);
/* All names of a certificate: each alone; a common name that is none of them, against the patterns;
 * beside a SPIFFE ID no other URI. A SPIFFE pattern without '*' is added where no URI was asked
 * for. The list on ctx, in the order of `asked`. */
bool profile_names(TALLOC_CTX *ctx, const struct profile *profile, const struct name_list *asked,
                   const char *common_name, struct name_list *ret_names, struct fault *fault);

/* Whether it is the name that the profile adds by itself. */
bool profile_mints(const struct profile *profile, const struct name *name);

/* The subject of a certificate: what is fixed, then of the request what the policy takes over. The
 * common name is the last of the request's; above 64 characters it must be among the names and is
 * left out. `common_name_alone`: whoever asks has proved names only. CSR_NAME_REJECTED names the
 * attribute that is required and missing. Values are borrowed. */
struct profile_subject {
    struct rdn *rdns;
    size_t count;
};
bool profile_subject(TALLOC_CTX *ctx, const struct profile *profile, const struct csr *csr,
                     const struct name_list *names, bool common_name_alone,
                     struct profile_subject *ret_subject, struct fault *fault);

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
