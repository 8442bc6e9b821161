/* jobs/ca/close.h: the signer is told which CAs are retired (04 section 5.5). */
#ifndef CERTCTL_JOBS_CA_CLOSE_H
#define CERTCTL_JOBS_CA_CLOSE_H

#include "jobs/run/runner.h"

/* Every retired CA whose facts are open still: a signer that is away, or a run that was killed,
 * leaves the row due for the next one. It only makes a CA stricter, so nobody has to approve. */
bool ca_close(struct job_run *run, struct fault *fault);

#endif
