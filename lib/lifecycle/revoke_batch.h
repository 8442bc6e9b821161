/* lib/lifecycle/revoke_batch.h: one call of revoke_commit (sql/functions/revocation.sql), which all
 * revocations share. The room's own. */
#ifndef CERTCTL_LIFECYCLE_REVOKE_BATCH_H
#define CERTCTL_LIFECYCLE_REVOKE_BATCH_H

#include "lifecycle/revoke.h"

/* What is given for each version, in parallel lists. */
struct revoke_batch {
    struct text_list versions;
    struct text_list serials;
    struct text_list entries; /* hex */
    struct text_list ids;
    struct text_list audits;
    struct text_list mails;
    struct text_list hooks;
};

/* What holds for all of them; see revoke_commit. */
struct revoke_terms {
    const struct settings *settings;
    const struct revoke_request *request; /* its reason, dates, actor and nonce */
    const char *scope;
    bool block;
    int64_t now_s;
    int64_t again; /* the first was revoked then; 0: it was not, or stays as it is */
    bool quiet;
};

struct revoke_outcome {
    const char *word;
    struct text_list versions; /* that were written */
    struct text_list refresh;
};

bool revoke_batch_add(TALLOC_CTX *ctx, struct revoke_batch *batch, const char *version_id,
                      const struct crl_entry *entry, struct fault *fault);

bool revoke_batch_commit(TALLOC_CTX *ctx, struct db *db, const struct revoke_batch *batch,
                         const struct revoke_terms *terms, struct revoke_outcome *ret,
                         struct fault *fault);

#endif
