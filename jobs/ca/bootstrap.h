/* jobs/ca/bootstrap.h: an approved request of kind bootstrap becomes a root and an issuing CA. */
#ifndef CERTCTL_JOBS_CA_BOOTSTRAP_H
#define CERTCTL_JOBS_CA_BOOTSTRAP_H

#include "lifecycle/ca_request.h"

#include "jobs/run/runner.h"

/* Has the signer make both keys and certificates, then stores all in one transaction and marks the
 * request done. RESOURCE_CONFLICT: the issuer has an active CA. On failure the signer is asked to
 * forget the new keys, unless it is not known whether the transaction was committed. */
bool ca_bootstrap_carry_out(struct job_run *run, const char *request_id,
                            const struct ca_request *request, const struct ca_bootstrap *bootstrap,
                            struct fault *fault);

#endif
