/* lib/lifecycle/issue.h: the one issuance path (04 section 6). ACME, EST, SCEP, REST and the jobs
 * all come here, and nothing is signed except through it.
 *
 * What entitles a caller to names is a struct issue_grant, which only the functions below make from
 * the durable row of a protocol's request, or from the operator's own settings. No code path can
 * issue by forgetting to ask. */
#ifndef CERTCTL_LIFECYCLE_ISSUE_H
#define CERTCTL_LIFECYCLE_ISSUE_H

#include <openssl/evp.h>

#include "core/settings.h"
#include "db/db.h"
#include "issuer/issuer.h"
#include "pki/outline.h"
#include "pki/profile.h"

struct issue_grant;

/* From a row with order_id, order_account_id, order_status, order_expires (timestamptz) and
 * order_identifiers (JSON, normalised): the order must be this account's (ACME_NOT_OWNER), ready
 * and not expired (ACME_ORDER_NOT_READY). */
struct issue_grant *issue_grant_from_acme_order(TALLOC_CTX *ctx, const struct rows *rows,
                                                size_t row, const char *account_id,
                                                struct fault *fault);

/* For the web server's own certificate on this host: what entitles it is
 * CERTCTL_SITE_CERT_NAMES, which only the operator writes. SETTING_INVALID where a name is none. */
struct issue_grant *issue_grant_for_site(TALLOC_CTX *ctx, const struct settings *settings,
                                         struct fault *fault);

/* From a claimed job's row: job_id, certificate_id, sans (text[]), approved, and order_id,
 * order_account_id, account_status of the ACME order that waits for it, or NULLs. What it may bear
 * was granted when the job was made. ACME_ACCOUNT_STATE: the order's account has been closed since.
 */
struct issue_grant *issue_grant_from_job(TALLOC_CTX *ctx, const struct rows *rows,
                                         const char *worker, struct fault *fault);
/* What the certificate will bear; the grant's. */
const struct name_list *issue_grant_names(const struct issue_grant *grant);

struct issue_request {
    const struct issue_grant *grant;
    const struct profile *profile;
    const char *issuer_id;
    const char *issuer_type;
    int64_t issuer_validity_days;
    const struct ca *ca; /* of a local issuer */
    struct bytes csr_der;
    const EVP_PKEY *barred_key; /* the requester's own key must not be certified; or NULL */
    struct validity wished;     /* zeros: none */
    const char *owner_id;
    const char *team_id;
    const char *renewal_policy_id;
    const char *actor;
    const char *source_ip;
    const char *request_id;
    const char *nonce; /* spent in the same commit; or NULL */
    int64_t nonce_expires;
    bool caa_due; /* CAA of a name must be looked at again before anything is signed */
};

/* What a statement selects of profile p, issuer i and its CA c (issuing_cas, by an outer join), for
 * issue_request_from_row; beside them it selects owner_id, team_id and renewal_policy_id. */
#define ISSUE_COLUMNS                                                                              \
    "p.id AS cert_profile_id, p.name AS profile_name, p.enabled AS profile_enabled, "              \
    "p.row_version AS profile_version, p.allowed_key_algorithms, p.max_ttl_seconds, "              \
    "p.default_validity_days, p.allowed_ekus, p.required_san_patterns, p.allow_short_lived, "      \
    "p.must_staple, p.allow_wildcards, p.allow_sha1_csr, p.requires_approval, p.policy_oids, "     \
    "p.spiffe_uri_pattern, p.allowed_uri_patterns, p.allowed_san_types, p.subject_policy, "        \
    "i.id AS issuer_id, i.type AS issuer_type, "                                                   \
    "coalesce((i.config->>'validity_days')::integer, 90) AS issuer_days, "                         \
    "c.id AS ca_id, c.subject_der AS ca_subject_der, c.ski AS ca_ski, "                            \
    "c.chain_pem AS ca_chain_pem, c.key_ref AS ca_key_ref, "                                       \
    "c.key_algorithm AS ca_key_algorithm, c.not_before AS ca_not_before, "                         \
    "c.not_after AS ca_not_after, c.row_version AS ca_row_version "

/* Profile, issuer, CA and owners of the first row; all else stays zero and is the caller's. Texts
 * are borrowed from the rows, profile and CA hang on ctx. The CA is NULL where there is none. */
bool issue_request_from_row(TALLOC_CTX *ctx, const struct rows *rows,
                            struct issue_request *ret_request, struct fault *fault);

enum issue_outcome {
    ISSUE_DONE,       /* recorded; the result is complete */
    ISSUE_SUPERSEDED, /* the request row is closed already: read it again */
    ISSUE_WAITING,    /* a job issues it, later; `way` says what it waits for */
};

/* Who issues (01 sections 10.2 and 10.3). */
enum issue_way {
    WAY_HERE,     /* the caller, at once */
    WAY_CAA,      /* acme-finalize looks at CAA, and then one of the next two */
    WAY_APPROVAL, /* job-processor, when somebody agreed */
    WAY_QUEUE,    /* job-processor: no responder waits for a CA elsewhere */
};
/* `offers`: of the issuer's driver. A job comes here itself, and waits for approvals alone. */
enum issue_way issue_way(const struct issue_request *request, unsigned offers);

struct issue_result {
    enum issue_outcome outcome;
    enum issue_way way;
    const struct csr *csr;
    const struct certificate_outline *certificate;
    const char *certificate_id;
    const char *version_id;
};

/* Checks in the order of 04 section 6.2, signs, and commits once. A certificate leaves only after
 * its commit. On another way than WAY_HERE nothing is signed: one commit leaves the request with a
 * job, or for acme-finalize to make one, and wakes who is next. APPROVAL_PENDING and
 * ISSUER_UNAVAILABLE where no row of a request could wait.
 * ISSUANCE_STALE: profile or CA changed meanwhile, read them again and call again. ACME_BAD_NONCE:
 * replay. DATABASE_COMMIT_UNKNOWN: read the request row to learn what happened. */
bool lifecycle_issue(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                     const struct issue_request *request, struct issue_result *ret_result,
                     struct fault *fault);

#endif
