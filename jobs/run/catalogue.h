/* jobs/run/catalogue.h: every job binary that exists, once: its lock number, user, role and mode
 * (07 section 2). The runner, certctl-tick and the tests read it; nothing repeats it. */
#ifndef CERTCTL_JOBS_RUN_CATALOGUE_H
#define CERTCTL_JOBS_RUN_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <talloc.h>

enum job_mode {
    JOB_SINGLETON, /* one run in the cluster */
    JOB_PARALLEL,  /* one run per host; rows are shared by SKIP LOCKED */
};

struct job_entry {
    const char *name; /* the binary is certctl-job-<name> */
    int number;       /* second half of the advisory lock; never reused */
    const char *user; /* OS user whose certctl-tick starts it (10 section 7) */
    const char *role; /* database role of that user */
    enum job_mode mode;
    bool lingers;
};

const struct job_entry *job_catalogue(size_t *ret_count);
/* NULL when there is no such job. */
const struct job_entry *job_entry_by_name(const char *name);
/* NULL when no job belongs to this user. */
const char *job_role_of_user(const char *user);
/* Key of scheduler_state: the name, for parallel jobs "name@host". On ctx. */
char *job_state_key(TALLOC_CTX *ctx, const struct job_entry *entry, const char *host);

#endif
