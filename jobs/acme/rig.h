/* jobs/acme/rig.h: what the jobs that ask DNS and strangers for ACME have in common: guard,
 * resolvers, connections, one wait for all of them (01 sections 11.2 and 11.3). */
#ifndef CERTCTL_JOBS_ACME_RIG_H
#define CERTCTL_JOBS_ACME_RIG_H

#include <jansson.h>

#include "net/validation.h"

#include "jobs/run/runner.h"

struct resolver_kept;

struct acme_rig {
    const struct job_run *run;
    struct guard *guard;
    struct resolver_kept *resolvers;
    struct resolver *addresses; /* as the settings say; NULL before acme_rig_up */
    struct resolver *records;
    struct fetcher *fetcher;
    struct validation_rig validation;
};

/* What such a job says of itself: where ACME is off it has nothing to do; it asks the network. */
bool acme_rig_wanted(const struct settings *settings);
extern const struct confine_plan acme_rig_confine;

/* On ctx. SETTING_INVALID: the outbound exceptions cannot be read. */
struct acme_rig *acme_rig_new(TALLOC_CTX *ctx, const struct job_run *run, struct fault *fault);
/* DNS has a thread and HTTP its tables: to be called when there is work, and only who has some pays
 * for them. More than once is good. */
bool acme_rig_up(struct acme_rig *rig, struct fault *fault);
/* After everything that hangs on its connections and questions is gone. */
void acme_rig_down(struct acme_rig *rig);
/* One context of libunbound for each distinct setting. `servers`: a profile's, with commas. */
struct resolver *acme_rig_resolver(struct acme_rig *rig, const char *servers, struct fault *fault);
/* Until something happens or the time is over, and calls back for it. True: woken, somebody left
 * work. */
bool acme_rig_wait(struct acme_rig *rig, int64_t most_ms);
/* How a fault stands in challenge and order, RFC 8555 section 6.7: type, detail, status. The
 * caller's. */
json_t *acme_rig_problem(const struct fault *fault);
/* Who claims: host, process and a random part. */
char *acme_rig_own_name(TALLOC_CTX *ctx, const struct job_run *run);

#endif
