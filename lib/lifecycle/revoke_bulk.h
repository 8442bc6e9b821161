/* lib/lifecycle/revoke_bulk.h: all certificates that some criteria match (04 section 8.5). */
#ifndef CERTCTL_LIFECYCLE_REVOKE_BULK_H
#define CERTCTL_LIFECYCLE_REVOKE_BULK_H

#include "auth/permission.h"
#include "lifecycle/revoke.h"

/* Ids and filters intersect; NULL says nothing, as do no ids. */
struct bulk_criteria {
    const char *profile_id;
    const char *owner_id;
    const char *agent_id; /* through its live targets */
    const char *issuer_id;
    const char *team_id;
    const char *source;
    struct text_list ids;
    const struct permission_scope *scope; /* where the asker may revoke */
    bool dry_run;
};

#define BULK_IDS_SHOWN 1000

/* matched is the sum of the other three; ids that are no certificate count as failed. Grows while
 * batches are committed, so that it is true also of what was done before a fault. */
struct bulk_result {
    int64_t matched;
    int64_t revoked;
    int64_t skipped;
    int64_t failed;
    struct text_list ids;        /* of a dry run: those that would be revoked, the first of them */
    struct text_list failed_ids; /* in parallel */
    struct text_list errors;
};

/* Batches of 500 in the order of their ids, each a transaction; one that fails is taken one by one.
 * Of the request, reason and asker count. A compromised key takes all of its versions along, which
 * are not counted. What is revoked or archived is skipped. The CRL job is woken once, at the end.
 *
 * False: the database went away; what was committed stays, and a repetition skips it. */
bool lifecycle_revoke_bulk(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                           const struct revoke_request *request,
                           const struct bulk_criteria *criteria, struct bulk_result *ret_result,
                           struct fault *fault);

#endif
