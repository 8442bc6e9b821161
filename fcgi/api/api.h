/* fcgi/api/api.h: what the files of certctl-api share. */
#ifndef CERTCTL_FCGI_API_API_H
#define CERTCTL_FCGI_API_API_H

#include "auth/admission.h"
#include "resource/resource.h"
#include "web/route.h"
#include "web/serve.h"

/* request->protocol. */
struct api_request {
    enum permission permission; /* what the route asks for; PERMISSION_NONE: no admission yet */
    struct principal principal; /* actor_id NULL: nobody was authenticated */
    bool secret;                /* by api_answer_is_secret */
};

/* The resources that are served, in resources.c. */
extern const struct resource api_acme_account;
extern const struct resource api_acme_accounts;
extern const struct resource api_acme_orders;
extern const struct resource api_approvals;
extern const struct resource api_certificates;
extern const struct resource api_certificate_versions;
extern const struct resource api_eab_keys;
extern const struct resource api_issuers;
extern const struct resource api_profiles;

/* responder->declare: makes the statements of all of them. */
void api_resources_declare(TALLOC_CTX *ctx, struct db *db);

/* What the handlers of one resource's writes are made of. */
bool api_create(struct request *request, struct response *response, const struct resource *resource,
                struct fault *fault);
bool api_put(struct request *request, struct response *response, const struct resource *resource,
             struct fault *fault);
bool api_patch(struct request *request, struct response *response, const struct resource *resource,
               struct fault *fault);
bool api_delete(struct request *request, struct response *response, const struct resource *resource,
                struct fault *fault);
/* Writes what was decided on, in the caller's transaction; set and principal are filled in. */
bool api_apply(struct resource_change *change, const char *action, const char *category,
               struct fault *fault);
/* An approved edit, in profiles.c. */
struct approval_outcome;
bool api_apply_profile(struct request *request, const struct approval_outcome *outcome,
                       struct fault *fault);

/* Handlers: GET of a list and of one object. */
route_handler api_list_certificates;
route_handler api_get_certificate;
route_handler api_list_certificate_versions;
route_handler api_list_issuers;
route_handler api_get_issuer;
route_handler api_list_profiles;
route_handler api_get_profile;
route_handler api_create_profile;
route_handler api_put_profile;
route_handler api_patch_profile;
route_handler api_delete_profile;
route_handler api_list_approvals;
route_handler api_get_approval;

/* Decisions, in approvals.c. */
/* The plain key of the request, for functions that look themselves whose it is. */
const char *api_key(struct request *request);
route_handler api_approve;
route_handler api_reject;
route_handler api_approve_job;
route_handler api_reject_job;

/* metrics.c */
route_handler api_metrics;
route_handler api_metrics_prometheus;

/* The CAs of an issuer, intermediates.c. */
route_handler api_list_intermediates;
route_handler api_create_intermediate;
route_handler api_get_intermediate;
route_handler api_get_ca_request;
route_handler api_retire_intermediate;
route_handler api_revoke_intermediate;
route_handler api_renew_intermediate;

/* Handlers: verbs for one certificate. */
route_handler api_revoke_certificate;
route_handler api_unrevoke_certificate;
route_handler api_export_pem;
route_handler api_export_pkcs12;
route_handler api_renew_now_certificate;
/* And for many. */
route_handler api_bulk_revoke;
route_handler api_est_bulk_revoke;
route_handler api_renew_now_issuer_certificates;

/* Runs the route's handler; a POST with an Idempotency-Key once only (05 section 2.10). */
route_handler api_once;
/* This answer is given once and kept nowhere: whoever repeats the key gets 409. For handlers whose
 * answer bears a password, a key or a file under a password. */
void api_answer_is_secret(struct request *request);

/* The ACME server, acme.c, and keys for its external account bindings, eab_keys.c. */
route_handler api_list_acme_profiles;
route_handler api_list_acme_accounts;
route_handler api_get_acme_account;
route_handler api_revoke_acme_account;
route_handler api_list_acme_orders;
route_handler api_list_eab_keys;
route_handler api_create_eab_key;
route_handler api_revoke_eab_key;

/* A fault of ours is told in the words of the route, "Failed to …"; others stay. Returns false. */
bool api_failed(struct fault *fault, const char *words);

/* Fills in who asks. */
struct revoke_request;
void api_revoke_request(const struct request *request, struct revoke_request *ret_wanted);

/* Headers for pages of other origins (05 section 2.6). */
void api_cors(const struct request *request, struct response *response);

/* Access rows, after the answer has left (06 section 11.1). */
void api_audit(struct request *request, struct response *response);

#endif
