/* lib/net/http01.h: validation of http-01 (RFC 8555 section 8.3, 01 section 11.4), many at once. */
#ifndef CERTCTL_NET_HTTP01_H
#define CERTCTL_NET_HTTP01_H

#include "net/fetch.h"
#include "net/resolve.h"

#define HTTP01_BODY_MAX      16384
#define HTTP01_REDIRECTS_MAX 10

/* What all validations of a process share; borrowed, must outlive them. */
struct http01_rig {
    const struct guard *guard;
    struct resolver *resolver;
    struct fetcher *fetcher;
    const char *user_agent;
    unsigned port;      /* 80, but for tests */
    int64_t timeout_ms; /* of one attempt, in all */
};

struct http01_wish {
    const char *host; /* normalised name, or address */
    const char *token;
    const char *key_authorization;
};

/* Gone after the call. `fault`, when it is not valid: NET_DNS, NET_CONNECTION, NET_TLS,
 * NET_RESPONSE, NET_ADDRESS_REFUSED, or INTERNAL. Its cause holds what only the log may know. */
struct http01_outcome {
    bool valid;
    bool transient;      /* another attempt may do better */
    const char *address; /* of the last peer, or NULL */
    const char *url;     /* the last one that was asked for */
    unsigned redirects;
    struct fault fault;
};
typedef void http01_done(void *context, const struct http01_outcome *outcome);

struct http01;
/* done is called once: perhaps in here, else from resolver_work, fetcher_work or http01_tick. It
 * must not free the validation, which hangs on ctx; freeing it ends it without a call. */
struct http01 *http01_start(TALLOC_CTX *ctx, const struct http01_rig *rig,
                            const struct http01_wish *wish, http01_done *done, void *context);
/* To be called after the start, after each resolver_work and fetcher_work, and each second or so:
 * takes the next step, and ends what is past its time. */
void http01_tick(struct http01 *validation);

/* Whether a body is the key authorization, but for ASCII white space at its end. */
bool http01_body_matches(struct bytes body, const char *key_authorization);

#endif
