/* tests/unit/net/forwarder.c: DNS servers as settings name them. */
#include "net/forwarder.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/macro.h"

#include "core/banned.h"

static const struct {
    const char *about;
    const char *text;
    const char *address; /* NULL: refused */
} servers[] = {
    {"IPv4",                    "192.0.2.1",          "192.0.2.1@53"    },
    {"with a port",             "192.0.2.1:5353",     "192.0.2.1@5353"  },
    {"IPv6",                    "[2001:db8::1]",      "2001:db8::1@53"  },
    {"IPv6 with a port",        "[2001:db8::1]:5353", "2001:db8::1@5353"},
    {"IPv6 in no brackets",     "2001:db8::1",        NULL              },
    {"IPv4 in brackets",        "[192.0.2.1]:53",     NULL              },
    {"the greatest port",       "192.0.2.1:65535",    "192.0.2.1@65535" },
    {"one above it",            "192.0.2.1:65536",    NULL              },
    {"port 0",                  "192.0.2.1:0",        NULL              },
    {"no port after its colon", "192.0.2.1:",         NULL              },
    {"a name",                  "dns.example:53",     NULL              },
    {"nothing",                 "",                   NULL              },
    {"no closing bracket",      "[2001:db8::1",       NULL              },
};

Test(forwarder, becomes_an_address)
{
    for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *address = forwarder_address(scratch, servers[i].text);

        cr_expect_eq(address != NULL, servers[i].address != NULL, "%s", servers[i].about);
        if (address && servers[i].address)
            cr_expect_str_eq(address, servers[i].address, "%s", servers[i].about);
    }
}

static const struct {
    const char *list;
    const char *problem; /* NULL: it can be used */
} lists[] = {
    {"192.0.2.1",                        NULL       },
    {" 192.0.2.1:53 , [2001:db8::1]:53", NULL       },
    {"recursive",                        NULL       },
    {"192.0.2.1, recursive",             "recursive"},
    {"192.0.2.1, x, y",                  "x"        },
    {"",                                 ""         },
    {" , ",                              ""         },
};

Test(forwarder, lists_name_their_first_mistake)
{
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *problem = forwarders_problem(scratch, lists[i].list);

        cr_expect_eq(problem != NULL, lists[i].problem != NULL, "%s", lists[i].list);
        if (problem && lists[i].problem)
            cr_expect_str_eq(problem, lists[i].problem, "%s", lists[i].list);
    }
}
