/* jobs/site/request.h: a fresh key and the CSR for it: the web server's own request. */
#ifndef CERTCTL_JOBS_SITE_REQUEST_H
#define CERTCTL_JOBS_SITE_REQUEST_H

#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "pki/name.h"

/* ECDSA P-256: every client of the last ten years takes it, and Ed25519 is refused by some. */
struct site_request {
    const char *key_pem; /* PKCS#8; overwritten with zeros when it is freed */
    struct bytes csr_der;
};

/* DNS names and addresses only. INTERNAL where OpenSSL fails. */
bool site_request_make(TALLOC_CTX *ctx, const struct name_list *names,
                       struct site_request *ret_request, struct fault *fault);

#endif
