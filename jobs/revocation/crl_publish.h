/* jobs/revocation/crl_publish.h: CRLs and CA certificates as files of this host (04 section 9.5).
 *
 * <publish dir>/crl/<name>.crl and ca/<name>.crt, where a name is the id of a CA, of its row in the
 * hierarchy, or of the issuer whose leaves it signs now. */
#ifndef CERTCTL_JOBS_REVOCATION_CRL_PUBLISH_H
#define CERTCTL_JOBS_REVOCATION_CRL_PUBLISH_H

#include "jobs/run/runner.h"

/* Brings the files up to what crl_cache and ca_instances say, which other hosts may have written.
 * A file whose list has ended is removed. Failed files are counted as items. False: the database
 * failed. */
bool crl_publish(struct job_run *run, struct fault *fault);

#endif
