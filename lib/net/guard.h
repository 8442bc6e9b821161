/* lib/net/guard.h: the one table of addresses that this server does not contact (06 section 16.1).
 *
 * Whoever dials out judges each address that a name resolves to, and judges again what the socket
 * is about to be connected to. */
#ifndef CERTCTL_NET_GUARD_H
#define CERTCTL_NET_GUARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <talloc.h>

#include "core/fault.h"
#include "core/text.h"

struct net_address {
    bool v6;
    uint8_t octets[16]; /* network order; an IPv4 address has the first four, the others are 0 */
};

/* Numeric, without brackets, zone or prefix length; nothing is looked up. */
bool net_address_from_text(const char *text, struct net_address *ret) MUST_USE;
/* False for other families. */
bool net_address_from_socket(const struct sockaddr *from, struct net_address *ret) MUST_USE;
/* As inet_ntop writes it; on ctx. */
char *net_address_to_text(TALLOC_CTX *ctx, const struct net_address *address);
bool net_address_equal(const struct net_address *a, const struct net_address *b);

struct guard;

/* `allowed`: the CIDRs of CERTCTL_OUTBOUND_ALLOW_CIDRS, the only exceptions; host bits must be 0.
 * `block_private`: CERTCTL_BLOCK_RFC1918_OUTBOUND. SETTING_INVALID names the item. On ctx. */
struct guard *guard_new(TALLOC_CTX *ctx, bool block_private, const struct text_list *allowed,
                        struct fault *fault);

/* Whether we may connect there. IPv4 addresses inside IPv6 ones (mapped, NAT64, 6to4) are judged
 * as themselves. */
bool guard_allows(const struct guard *guard, const struct net_address *address);

#endif
