/* tests/bench/belief.h: an OCSP answer, as a client looks at it that believes nothing: OpenSSL. */
#ifndef CERTCTL_BENCH_BELIEF_H
#define CERTCTL_BENCH_BELIEF_H

#include <openssl/x509.h>
#include <talloc.h>

#include "core/bytes.h"

/* What is believed in: this CA alone, whoever certified it. Gives up where there is no memory. The
 * caller's, by X509_STORE_free. */
X509_STORE *belief_in(X509 *ca);
/* Whether it answers this request, bears its nonce, is in force and says this of the one
 * certificate (V_OCSP_CERTSTATUS_…), signed by a responder that the CA certified for that. */
bool belief_holds(X509_STORE *store, struct bytes request, struct bytes answer, int status);

#endif
