/* lib/net/forwarder.c: see forwarder.h. */
#include "net/forwarder.h"

#include <string.h>

#include "core/auto.h"
#include "core/text.h"
#include "net/guard.h"

#include "core/banned.h"

char *forwarder_address(TALLOC_CTX *ctx, const char *text)
{
    const bool bracketed = text[0] == '[';
    const char *host = text + (bracketed ? 1 : 0);
    const size_t length = strcspn(host, bracketed ? "]" : ":");
    const char *rest = host + length + (bracketed && host[length] ? 1 : 0);
    const char *address = mem_text_n(ctx, host, length);
    struct net_address numeric;
    int64_t port = 53;

    if (!net_address_from_text(address, &numeric) || numeric.v6 != bracketed ||
        (bracketed && host[length] != ']'))
        return NULL;
    if (*rest && (*rest != ':' || !text_to_integer(rest + 1, 1, 65535, &port)))
        return NULL;
    return mem_printf(ctx, "%s@%d", address, (int)port); /* 65535 at most */
}

char *forwarders_problem(TALLOC_CTX *ctx, const char *list)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list servers = text_split(scratch, list, ',');

    if (servers.count == 0)
        return mem_text(ctx, "");
    if (servers.count == 1 && text_equal(servers.items[0], FORWARDER_RECURSIVE))
        return NULL;
    for (size_t i = 0; i < servers.count; i++)
        if (!forwarder_address(scratch, servers.items[i]))
            return mem_text(ctx, servers.items[i]);
    return NULL;
}
