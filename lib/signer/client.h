/* lib/signer/client.h: asking certctl-signer. One connection per request, 1 s to connect and
 * write, 5 s for the answer. SIGNER_UNREACHABLE (nobody listens, the peer died, too slow) or the
 * signer's own refusal. Nothing is retried here and nothing has to be restarted afterwards. */
#ifndef CERTCTL_SIGNER_CLIENT_H
#define CERTCTL_SIGNER_CLIENT_H

#include "signer/message.h"

bool signer_call(TALLOC_CTX *ctx, const char *socket_path, const struct signer_request *request,
                 struct signer_reply *ret_reply, struct fault *fault);

/* A leaf certificate, DER on ctx. */
bool signer_sign_leaf(TALLOC_CTX *ctx, const char *socket_path, const char *key_ref,
                      const struct certificate_wish *wish, struct bytes *ret_der,
                      struct fault *fault);

/* The certificate of an OCSP responder for that CA, DER on ctx. */
bool signer_sign_ocsp_responder(TALLOC_CTX *ctx, const char *socket_path, const char *key_ref,
                                const struct ocsp_wish *wish, struct bytes *ret_der,
                                struct fault *fault);

/* The signature over the TBSCertList in a memfd that is sealed against writing, on ctx. What the
 * signer asks of the list is in signer/answer_crl.c. */
bool signer_sign_crl(TALLOC_CTX *ctx, const char *socket_path, const char *key_ref, int memfd,
                     struct bytes *ret_signature, struct fault *fault);

#endif
