/* fcgi/acme/acme.h: what the files of the ACME responder share (RFC 8555, 01-acme). */
#ifndef CERTCTL_FCGI_ACME_ACME_H
#define CERTCTL_FCGI_ACME_ACME_H

#include "db/db.h"
#include "jose/jws.h"
#include "pki/name.h"
#include "web/serve.h"

/* Who may call a route. */
enum acme_access {
    ANYONE,
    JWS_KEY,      /* jwk: new-account */
    JWS_ACCOUNT,  /* kid */
    JWS_ORDERS,   /* kid; the only URL that bears a query, its cursor */
    JWS_FINALIZE, /* kid; the handler's first statement reads account and order together */
    JWS_EITHER,   /* revoke-cert: kid, or jwk as the certificate's own key, of any size */
};

/* What an order is judged by: the directory's own profile, or one that the order selects. The row
 * is read again where a certificate is issued. */
struct acme_policy {
    const char *id;
    const char *description;
    bool enabled;
    int64_t row_version;
    const char *issuer_id; /* the profile's own; NULL: as the directory's */
    int64_t max_ttl_s;     /* 0: no limit */
    int64_t validity_days; /* of a certificate from when it is issued; 0: there is no issuer */
    bool allow_wildcards;
    struct text_list san_types; /* empty: all */
    struct text_list san_patterns;
};

/* A directory's profile, cached for a few seconds per worker (profile.c). */
struct acme_profile {
    const char *id;
    bool enabled;
    bool trusts_accounts; /* acme_auth_mode is trust_authenticated */
    const char *auth_mode;
    const char *issuer_id; /* resolved; NULL: none is configured */
    bool eab_required;
    bool allow_wildcard;
    bool allow_single_label;
    bool authz_reuse;
    bool require_mtls;
    bool preauthorization;
    struct text_list identifier_types;
    struct text_list challenge_types;
    struct acme_policy *policies; /* its own, then those that an order may select, by id */
    size_t policy_count;
    const char *caa; /* "on", "off", "inherit" or NULL */
    int64_t loaded_us;
};

struct acme_account {
    const char *id;
    const char *status;
    struct text_list contact;
    bool tos_agreed;
    struct text_list allowed_identifiers; /* empty: the profile's rules alone */
    const json_t *binding;                /* of the registration that made it now; else NULL */
};

/* The worker's memory over requests: caches only. */
struct acme_worker;

/* The protocol's part of a request. */
struct acme_request {
    const char *base;   /* "https://acme.example" */
    const char *prefix; /* "/acme" or "/acme/profile/ID": URLs of the answer use this family */
    const char *profile_id;
    const struct acme_profile *profile;
    const struct acme_policy *policy; /* one of the profile's; its own unless an order selects */
    bool profile_fresh;               /* read by this very request */
    const struct jws *jws;
    const struct jwk *key;
    struct acme_account account;
    json_t *payload;         /* object, or NULL for POST-as-GET */
    bool verified;           /* the signature is good: from here on a refusal spends the nonce */
    bool spent;              /* the nonce was spent, or its spending was asked for */
    struct rows *order_rows; /* JWS_FINALIZE: what the first statement read */
    struct rows *leaf_rows;  /* JWS_EITHER with kid: likewise */
    json_t *problem;         /* further members of the problem document */
};

static inline struct acme_request *acme_of(const struct request *request)
{
    return request->protocol;
}

/* main.c */
extern const struct responder acme_responder;

/* url.c */
/* The parts of the request that URLs need; works for any path, also one that is no route. */
void acme_url_prepare(struct request *request);
/* base + prefix + format. */
char *acme_url(const struct request *request, const char *format, ...) PRINTF_LIKE(2, 3);
/* Scheme and host in lower case, :443 dropped (01 section 6.4). */
char *acme_url_canonical(TALLOC_CTX *ctx, const char *url);
/* The account id of a kid of this request's profile, or NULL. */
const char *acme_url_account(const struct request *request, const char *kid);

/* nonce.c: base64url(key id, issue time, random, MAC), 51 characters (01 section 7). */
/* NULL with the fault when no key can be had: no database, no passphrase, another passphrase. */
char *acme_nonce_new(struct request *request, struct fault *fault);
/* Age and MAC; no table. ACME_BAD_NONCE. */
bool acme_nonce_check(struct request *request, const char *nonce, struct fault *fault);
/* Expiry of the nonce of this request, for statements that spend it. */
int64_t acme_nonce_expires(const struct request *request);
/* Spends the request's nonce in a transaction of its own. ACME_BAD_NONCE: replay. */
bool acme_nonce_spend(struct request *request, struct fault *fault);
void acme_nonce_header(struct request *request, struct response *response);

/* profile.c */
/* ACME_PROFILE_UNKNOWN, ACME_USER_ACTION (disabled; shorthand without a default). */
bool acme_profile_find(struct request *request, struct fault *fault);
/* What acme_order_create and acme_authz_create say where they were called by a profile that has
 * changed since: nothing was written, and the nonce is not spent. */
static inline bool acme_is_stale(const struct rows *rows)
{
    return text_equal(row_text(rows, 0, "outcome"), "stale");
}
/* Whether an order or authorization has to be judged once more, by the profile as it is now: it is
 * stale, or, where there are no rows, the fault may be due to what was remembered. */
bool acme_profile_doubted(const struct request *request, const struct rows *rows,
                          const struct fault *fault);
/* Reads the profile once more. All that was taken from it before is gone, the fault is cleared; the
 * refusals are those of acme_profile_find and acme_mtls_check. */
bool acme_profile_reload(struct request *request, struct fault *fault);
/* REQUESTER_NOT_AUTHORIZED: the profile wants a client certificate. For every POST. */
bool acme_mtls_check(const struct request *request, struct fault *fault);
/* The policy of the profile that new-order names; NULL: the directory's own (01 section 9.4).
 * ACME_INVALID_PROFILE. */
bool acme_policy_select(const struct request *request, const char *id, struct fault *fault);
/* Whether accounts are trusted here and anybody may have one, for any name: as acme_names_bounded
 * says it for the gauge (01 section 4.3). */
bool acme_trust_is_open(const struct request *request);
/* Whether CAA must let us issue what is ordered here by challenge (01 section 11.6). */
bool acme_caa_is_wanted(const struct request *request);

/* open.c: the checks of 01 section 6.1, in their order. */
bool acme_admit(struct request *request, struct response *response, struct fault *fault);
/* Reads account and order of a finalize once more, after a stale commit. */
bool acme_order_reread(struct request *request, struct fault *fault);

/* problem.c */
void acme_refuse(struct request *request, struct response *response, const struct fault *fault);
/* One entry of `subproblems`; the request's problem is made on first use. */
void acme_subproblem(struct request *request, const char *type, unsigned status, const char *detail,
                     const char *identifier_type, const char *identifier_value);
/* The same with a problem document as the database has it; NULL adds nothing. */
void acme_subproblem_stored(struct request *request, const char *text);

/* count.c: the metrics of 01 section 17. */
/* Once for each request, after its answer has left. */
void acme_count(const struct request *request, const struct response *response);
/* `type` without its prefix. */
void acme_count_problem(const struct request *request, const char *type);

/* identifiers.c */
struct acme_identifier {
    const char *type;  /* "dns" or "ip" */
    const char *value; /* normalised, with its wildcard prefix */
    const char *bare;  /* without it */
    bool wildcard;
};
struct acme_identifiers {
    struct acme_identifier *items;
    size_t count;
};
/* The rules of 01 section 9.1 over the array of new-order. All refusals are collected. */
bool acme_identifiers_read(struct request *request, json_t *array,
                           struct acme_identifiers *ret_identifiers, struct fault *fault);
/* order.c */
/* RATE_LIMITED, with the seconds that the statement's retry_after names. Returns false. */
bool acme_rate_refuse(const struct rows *rows, struct fault *fault);
/* What is wrong where the outcome of acme_order_create or acme_authz_create is a refusal that both
 * have. Returns false. */
bool acme_create_refuse(const struct rows *rows, struct fault *fault);
/* RATE_LIMITED: a name failed too often within the hour (01 section 14). Off, it costs nothing. */
bool acme_failures_check(struct request *request, const struct acme_identifiers *identifiers,
                         struct fault *fault);

/* renewal.c */
/* What `replaces` of a new order names (RFC 9773 section 5). All NULL: it was not sent. */
struct acme_replaced {
    const char *ari;
    const char *certificate_id;
    bool due; /* the suggested window has begun */
};
/* ARI_ID_MALFORMED, CERTIFICATE_UNKNOWN, ACME_NOT_OWNER, INPUT_INVALID: no name in common. Whether
 * another order replaces it already is known where the order is made. text may be NULL. */
bool acme_replaced_find(struct request *request, const char *text,
                        const struct acme_identifiers *identifiers, struct acme_replaced *ret,
                        struct fault *fault);

/* Handlers. */
route_handler acme_directory, acme_new_nonce, acme_new_account, acme_account, acme_new_order,
    acme_order, acme_orders, acme_authorization, acme_challenge, acme_finalize, acme_certificate,
    acme_alternate, acme_revoke_cert, acme_key_change, acme_renewal_info, acme_new_authz;

/* binding.c */
/* Whether whoever registers holds a key for external account bindings, where it is wanted or given
 * (01 section 8.3). *ret_kid: that key's, NULL without a binding. Whether it is still to be had is
 * for acme_account_create to say, which binds it. */
bool acme_binding_check(struct request *request, const json_t *binding, const char **ret_kid,
                        struct fault *fault);
/* ACME_EAB_INVALID, in the same words for every failure, so that nobody can probe for kids. */
bool acme_binding_refuse(struct fault *fault);

/* account.c */
bool acme_account_answer(struct response *response, unsigned status);

/* revoke.c */
/* The account, or none where it is NULL, and the certificate of the payload, which need not be
 * verified yet: nothing but its SHA-256 is used. One row unless the account is unknown. */
struct rows *acme_leaf_query(struct request *request, const char *account_id, struct fault *fault);

/* order.c */
/* Answers with an order object from the first row, which bears order_id, order_status,
 * order_expires, order_identifiers, order_authorizations, order_not_before, order_not_after,
 * order_error, order_waits, order_replaces, order_profile and order_certificate. `issued` is the
 * certificate that made it valid just now, or NULL where the row says all. */
bool acme_order_answer(struct response *response, unsigned status, const struct rows *rows,
                       const char *issued);
/* The same for an order that is in processing since just now. */
bool acme_order_waits(struct response *response, const struct rows *rows, bool for_people);
/* The columns order_waits of an order o, its job waits for people (costs others nothing),
 * order_replaces and order_profile. */
#define ACME_ORDER_REST                                                                            \
    "o.replaces_ari AS order_replaces, coalesce(o.cert_profile_id, o.profile_id) AS "              \
    "order_profile, "                                                                              \
    "CASE o.status WHEN 'processing' THEN (SELECT j.status = 'AwaitingApproval' FROM jobs j "      \
    "WHERE j.id = o.job_id) END AS order_waits, "

/* preauthorization.c: whether names may be proved before they are ordered. In trust mode there is
 * nothing to prove. */
static inline bool acme_preauthorizes(const struct acme_profile *profile)
{
    return profile->preauthorization && !profile->trusts_accounts;
}

/* authz.c */
/* Answers with the authorization of the first row, which is one of acme_authz_show. */
bool acme_authz_answer(struct response *response, unsigned status, const struct rows *rows);
/* What an identifier may be proved by; on the request. */
struct text_list acme_challenge_types(struct request *request, const struct acme_profile *profile,
                                      const char *identifier_type, bool wildcard);

#endif
