/* jobs/site/probe.h: what certificate a TLS port serves. */
#ifndef CERTCTL_JOBS_SITE_PROBE_H
#define CERTCTL_JOBS_SITE_PROBE_H

#include <talloc.h>

#include "core/fault.h"

/* The SHA-256 of the certificate that "address:port" serves to a client that names `server_name`
 * (NULL: none), lower-case hex on ctx; three seconds at most. NULL with the fault: nobody there, or
 * no TLS. Nothing is trusted and nothing is sent: the fingerprint is all that is asked. */
const char *site_probe(TALLOC_CTX *ctx, const char *where, const char *server_name,
                       struct fault *fault);

#endif
