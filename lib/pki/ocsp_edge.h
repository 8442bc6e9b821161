/* lib/pki/ocsp_edge.h: telling this host's web server that an OCSP answer is another now (04
 * section 11). What it may keep are answers to requests that can be written down from issuer and
 * serial: the nine below. Each is sent again by a way on which it does not look at what it has. */
#ifndef CERTCTL_PKI_OCSP_EDGE_H
#define CERTCTL_PKI_OCSP_EDGE_H

#include "core/bytes.h"
#include "core/fault.h"

struct ocsp_edge_target {
    const char *issuer_id;
    const char *serial; /* canonical hex */
    struct bytes name_sha1;
    struct bytes key_sha1;
    struct bytes name_sha256;
    struct bytes key_sha256;
};

/* The whole of them in HTTP/1.1, one after the other, on ctx. `by_spelling`: what is kept is named
 * by the path as it was written (Apache), so base64 with a slash is asked for in both spellings.
 * *ret_count: how many; 0 where the serial is none of ours. */
struct bytes ocsp_edge_requests(TALLOC_CTX *ctx, const struct ocsp_edge_target *target,
                                bool by_spelling, size_t *ret_count);

/* A connection to the web server. A talloc object that closes. */
struct ocsp_edge;
/* `place`: an absolute path of a unix socket (nginx), or host:port on loopback (Apache).
 * NET_CONNECTION. */
struct ocsp_edge *ocsp_edge_open(TALLOC_CTX *ctx, const char *place, struct fault *fault);
/* Sends them all, and leaves their answers for ocsp_edge_wait, which must come before the next: so
 * several connections have theirs under way at once. `deadline_us` (monotonic) is of both. Connects
 * anew before the web server would end the connection. False: it cannot be used any more.
 * NET_CONNECTION. */
bool ocsp_edge_send(struct ocsp_edge *edge, const struct ocsp_edge_target *target,
                    int64_t deadline_us, struct fault *fault);
/* Until the answer to everything that was sent is there. Otherwise as ocsp_edge_send. */
bool ocsp_edge_wait(struct ocsp_edge *edge, struct fault *fault);
/* Both in one. */
bool ocsp_edge_refresh(struct ocsp_edge *edge, const struct ocsp_edge_target *target,
                       int64_t deadline_us, struct fault *fault);

#endif
