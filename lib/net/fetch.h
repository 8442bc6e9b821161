/* lib/net/fetch.h: GET requests to strangers, and bare TLS handshakes with them, many at once, each
 * pinned and bounded.
 *
 * Every libcurl handle of certctl is made in fetch.c (06 section 16.1): no proxy, no cookies, no
 * redirects, no lookup; a connection goes to an address that the caller named and the guard allows,
 * which is judged once more when the socket is made. */
#ifndef CERTCTL_NET_FETCH_H
#define CERTCTL_NET_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "net/guard.h"

struct fetcher;

/* The guard must outlive it. Freeing it ends what is under way without a call. On ctx. */
struct fetcher *fetcher_new(TALLOC_CTX *ctx, const struct guard *guard, struct fault *fault);
/* Until something happens on the network or on one of `fds`, or the time is over. */
void fetcher_wait(struct fetcher *fetcher, const int *fds, size_t fd_count, int64_t timeout_ms);
/* Moves all requests on; calls back for those that ended. */
void fetcher_work(struct fetcher *fetcher);

struct fetch_wish {
    const char *url;  /* http or https, with the host below */
    const char *host; /* as in the URL; addresses without brackets */
    unsigned port;
    const struct net_address *addresses; /* tried in this order; copied */
    size_t address_count;
    const char *user_agent;
    size_t body_max;     /* one byte more ends the request */
    int64_t deadline_us; /* monotonic; of the whole request */
    int64_t connect_ms;
    int64_t headers_ms; /* from start to the end of the headers, or of the handshake */
    /* NULL, or: https, and nothing but the handshake, with this protocol (RFC 7301) offered. */
    const char *alpn;
};

/* What came of it; gone after the call. */
struct fetch_result {
    /* REASON_NONE: an answer came, `status` tells which. Else NET_CONNECTION, NET_TLS,
     * NET_ADDRESS_REFUSED, or NET_RESPONSE for what is no HTTP or larger than allowed. */
    struct fault fault;
    bool connected;       /* TCP at least */
    const char *address;  /* of the peer, or NULL */
    unsigned status;      /* HTTP, or 0 */
    const char *location; /* of a redirect, or NULL */
    struct bytes body;    /* of a 200 only; others are cut off after their headers */
    const char *alpn;     /* of a handshake: what was agreed on, or NULL */
    struct bytes leaf;    /* of a handshake: the certificate shown, in DER; size 0: none */
};
typedef void fetch_done(void *context, const struct fetch_result *result);

struct fetch;
/* Hangs on ctx; freeing it ends it without a call. done is called once, from fetcher_work, and may
 * free it. NULL with the fault: libcurl refused. */
struct fetch *fetch_start(TALLOC_CTX *ctx, struct fetcher *fetcher, const struct fetch_wish *wish,
                          fetch_done *done, void *context, struct fault *fault);

#endif
