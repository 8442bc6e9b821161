/* lib/net/forwarder.h: the DNS servers that a setting names, "192.0.2.1:5353" each. */
#ifndef CERTCTL_NET_FORWARDER_H
#define CERTCTL_NET_FORWARDER_H

#include "core/memory.h"

/* In place of servers: we ask the root and its children ourselves. */
#define FORWARDER_RECURSIVE "recursive"

/* "192.0.2.1:5353" and "[2001:db8::1]:53" as libunbound writes them, "192.0.2.1@5353"; NULL: it is
 * no address and port. */
char *forwarder_address(TALLOC_CTX *ctx, const char *text);

/* The first of a comma-separated list that is no server, or NULL: the list can be used. An empty
 * list is refused as "". */
char *forwarders_problem(TALLOC_CTX *ctx, const char *list);

#endif
