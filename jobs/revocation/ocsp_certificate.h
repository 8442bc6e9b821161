/* jobs/revocation/ocsp_certificate.h: certificates for the keys that OCSP responders have made. */
#ifndef CERTCTL_JOBS_REVOCATION_OCSP_CERTIFICATE_H
#define CERTCTL_JOBS_REVOCATION_OCSP_CERTIFICATE_H

#include "jobs/run/runner.h"

/* All that wait, of any host; what cannot be signed now is a failed item, and waits on. */
bool ocsp_certify(struct job_run *run, struct fault *fault);

#endif
