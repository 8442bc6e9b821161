/* lib/lifecycle/ca_submit.h: what people ask of CAs: a request that waits for the signer's host (04
 * section 5.2), and what takes effect at once, since it only ends something (04 section 5.5). */
#ifndef CERTCTL_LIFECYCLE_CA_SUBMIT_H
#define CERTCTL_LIFECYCLE_CA_SUBMIT_H

#include "core/settings.h"
#include "db/db.h"
#include "lifecycle/ca_request.h"
#include "pki/crl_entry.h"

/* For the audit row; the last two may be NULL. */
struct ca_asker {
    const char *actor;
    const char *actor_type;
    const char *source_ip;
    const char *request_id;
};

/* {"kind","owning_issuer_id","requested_by","fields_sha256"}: an audit row about a request. */
const char *ca_request_details(TALLOC_CTX *ctx, const struct ca_request *request);

/* The row of a request and its audit row in one commit; then the hierarchy job is woken. The id is
 * the request's. RESOURCE_UNKNOWN: there is no such issuer. */
bool lifecycle_ca_request(TALLOC_CTX *ctx, struct db *db, const struct ca_request *request,
                          const struct ca_asker *asker, const char **ret_id,
                          struct fault *fault) MUST_USE;

/* One step towards the end: active to retiring; retiring, with `confirm`, to retired. In the
 * transaction that is open, or in one of its own. RESOURCE_UNKNOWN; RESOURCE_STATE with the words
 * of 04 section 5.5. *ret_state is static. */
struct ca_retirement {
    const char *ca_id;
    bool confirm;
    const char *note;    /* or NULL */
    const char *details; /* more members of the audit row, a JSON object; or NULL */
};
bool lifecycle_ca_retire(TALLOC_CTX *ctx, struct db *db, const struct ca_retirement *retirement,
                         const struct ca_asker *asker, const char **ret_state,
                         struct fault *fault) MUST_USE;

/* Revokes the certificate of a CA below one of ours, which with all below it is retired: it stands
 * on its parent's next CRL, and OCSP says so at once. RESOURCE_UNKNOWN; RESOURCE_STATE for a root,
 * whom nobody lists; ALREADY_REVOKED. */
struct ca_revocation {
    const char *ca_id;
    const char *serial; /* as the row has it */
    enum revocation_reason reason;
};
bool lifecycle_ca_revoke(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                         const struct ca_revocation *revocation, const struct ca_asker *asker,
                         struct fault *fault) MUST_USE;

#endif
