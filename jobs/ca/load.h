/* jobs/ca/load.h: the CA that the operator's files name (04 sections 3.2 and 3.4). */
#ifndef CERTCTL_JOBS_CA_LOAD_H
#define CERTCTL_JOBS_CA_LOAD_H

#include "jobs/run/runner.h"

/* Where CERTCTL_CA_CERT_PATH holds a certificate that is no CA of ours yet: a request to import it,
 * once, that waits for its approval as every other. What is wrong with certificate or key is in
 * the issuer's test_status and last_error, and in the log once a process. False: the database. */
bool ca_load(struct job_run *run, struct fault *fault);

#endif
