/* jobs/revocation/ocsp_ahead.h: OCSP answers that are signed before anybody asks (04 section
 * 10.6). */
#ifndef CERTCTL_JOBS_REVOCATION_OCSP_AHEAD_H
#define CERTCTL_JOBS_REVOCATION_OCSP_AHEAD_H

#include "pki/ocsp.h"

#include "jobs/run/runner.h"

/* A CA whose issuer wants it, and where the walk over its certificates stands. */
struct ocsp_ahead {
    const char *ca_id;
    const char *issuer_id;
    const struct certificate *certificate;
    const struct ocsp_signer *signer;
    bool begins;
    const char *not_after; /* of the last that was looked at, in the database's words */
    const char *serial;    /* and its serial */
};

/* Goes on with the walk, a part of it at most; *ret_more: it is not at its end. Every certificate
 * of the CA that has not expired has an answer in the first half of its life behind it. False: the
 * database refused, or nothing can be signed; what was stored stays. */
bool ocsp_sign_ahead(struct job_run *run, const struct ocsp_ahead *ahead, bool *ret_more,
                     struct fault *fault);

#endif
