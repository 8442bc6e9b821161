/* lib/net/hop.h: one connection of a validation to a name or an address: looked up, judged, pinned,
 * IPv6 first and once more by IPv4 (01 section 11.2). */
#ifndef CERTCTL_NET_HOP_H
#define CERTCTL_NET_HOP_H

#include "net/validation.h"

#define HOP_ADDRESSES_MAX 8

struct hop_addresses {
    struct net_address items[HOP_ADDRESSES_MAX];
    size_t count;
};

/* Gets an answer without a fault; all others end the validation. */
typedef void hop_answered(struct validation *validation, const struct fetch_result *result);

/* A member of the validator's struct. */
struct hop {
    struct validation *validation;
    struct fetch_wish fetch; /* but for its addresses, deadline and times */
    const char *host;        /* what is looked up; the URL may name another */
    hop_answered *answered;
    enum { HOP_WAIT, HOP_RESOLVE, HOP_CONNECT } step; /* answers from outside only set it */
    unsigned questions_open;
    bool is_address; /* the host itself: nothing to resolve */
    bool address_refused;
    struct hop_addresses v4;
    struct hop_addresses v6;
    bool on_v6;
    struct fault dns_fault; /* of A, unless AAAA says more */
};

/* `fetch->url` and the like, and `host`, must outlive the hop. The first hop_step looks it up. */
void hop_begin(struct hop *hop, struct validation *validation, const struct fetch_wish *fetch,
               const char *host, hop_answered *answered);
void hop_step(struct hop *hop);

#endif
