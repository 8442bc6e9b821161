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

struct approval_outcome {
    const char *by;
    bool refused; /* by the rules: what the transaction holds is the record of it */
    /* The edit of a profile that was approved just now, and that the caller's transaction has yet
     * to write; NULL: nothing. */
    const char *edit_profile;
    const char *edit_payload; /* JSON: the profile as it shall be */
    int64_t edit_version;     /* of the row that it was made of, and that is locked */
};

/* In the caller's transaction, which is to be committed unless the database failed.
 * Decided, or decided so before by the same actor: texts of the outcome are on ctx.
 * UNAUTHENTICATED, FORBIDDEN (no permission for this profile; the requester, or the same person; by
 * the job: the certificate's owner), RESOURCE_UNKNOWN, RESOURCE_STATE (decided already, profile
 * changed, job waits for nothing; by the job that is INPUT_INVALID). On success the queue is woken.
 */
bool approval_decide(TALLOC_CTX *ctx, struct db *db, const struct approval_decision *decision,
                     struct approval_outcome *ret_outcome, struct fault *fault);

/* An edit of a profile that waits for somebody else. In the caller's transaction, which has locked
 * the row. RESOURCE_STATE: another edit of it waits. */
struct approval_edit {
    const char *key;
    const char *profile_id;
    const char *payload;
    int64_t row_version;
    const char *source_ip;
    const char *request_id;
};
/* Its id, on ctx; NULL with the fault. */
const char *approval_open_edit(TALLOC_CTX *ctx, struct db *db, const struct approval_edit *edit,
                               struct fault *fault);
/* An approved edit could not be written, and its transaction was undone: told in the audit. */
void approval_edit_failed(struct db *db, const char *approval_id, const char *actor,
                          const char *why);

#endif
