/* lib/lifecycle/approval.h: one person's decision about what another asked for (04 section 13).
 *
 * The database derives who decides from the credential itself and writes the rows (06 section 4.8):
 * a responder that was taken over cannot approve what it asked for. */
#ifndef CERTCTL_LIFECYCLE_APPROVAL_H
#define CERTCTL_LIFECYCLE_APPROVAL_H

#include "db/db.h"

struct approval_decision {
    const char *key;         /* the plain API key of the request */
    const char *approval_id; /* or NULL, and */
    const char *job_id;      /* the request that this job waits for */
    bool approve;
    const char *note; /* NULL: none */
    const char *source_ip;
    const char *request_id;
};

/* Decided, or decided so before by the same actor: *ret_by is who, on ctx. UNAUTHENTICATED,
 * FORBIDDEN (no permission for this profile; the requester, or the same person; by the job: the
 * certificate's owner), RESOURCE_UNKNOWN, RESOURCE_STATE (decided already, profile changed, job
 * waits for nothing; by the job that is INPUT_INVALID). On success the queue was woken. */
bool approval_decide(TALLOC_CTX *ctx, struct db *db, const struct approval_decision *decision,
                     const char **ret_by, struct fault *fault);

#endif
