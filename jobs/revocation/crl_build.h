/* jobs/revocation/crl_build.h: which CAs need a new CRL, and making one (04 sections 9.2 to
 * 9.4). */
#ifndef CERTCTL_JOBS_REVOCATION_CRL_BUILD_H
#define CERTCTL_JOBS_REVOCATION_CRL_BUILD_H

#include "jobs/run/runner.h"

/* The CAs whose list is due, or the one CA if it is: columns id, issuer_id, key_ref, key_algorithm,
 * subject_der, ski, cert_der. NULL: the database failed. */
struct rows *crl_due(TALLOC_CTX *ctx, struct job_run *run, const char *ca_id, struct fault *fault);
/* Milliseconds until the next revocation has waited long enough; 0: none waits. */
bool crl_due_next_ms(struct job_run *run, int64_t *ret_ms, struct fault *fault);
/* One row of crl_due: takes the CA's next number, has the list signed, stores it. *ret_built false
 * without a fault: another host is at it. False: an event row says why, the old list stays. */
bool crl_build(struct job_run *run, const struct rows *due, size_t row, bool *ret_built,
               struct fault *fault);

#endif
