/* tests/unit/net/guard.c: the table of 06 section 16.1, both edges of each range and their
 * neighbours. */
#include "net/guard.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

static struct guard *guard_of(TALLOC_CTX *ctx, bool block_private, const char *allowed)
{
    const struct text_list list = text_split(ctx, allowed, ',');
    struct fault fault = {0};
    struct guard *guard = guard_new(ctx, block_private, &list, &fault);

    cr_assert_not_null(guard, "%s", fault.detail);
    return guard;
}

static bool allows(const struct guard *guard, const char *text)
{
    struct net_address address;

    cr_assert(net_address_from_text(text, &address), "%s is no address", text);
    return guard_allows(guard, &address);
}

enum verdict { NEVER, PUBLIC_ONLY, ALWAYS }; /* PUBLIC_ONLY: refused with BLOCK_RFC1918 */

static const struct {
    const char *address;
    enum verdict verdict;
} cases[] = {
    {"0.0.0.0",                                 NEVER      },
    {"0.255.255.255",                           NEVER      },
    {"1.0.0.0",                                 ALWAYS     },
    {"9.255.255.255",                           ALWAYS     },
    {"10.0.0.0",                                PUBLIC_ONLY},
    {"10.255.255.255",                          PUBLIC_ONLY},
    {"11.0.0.0",                                ALWAYS     },
    {"100.63.255.255",                          ALWAYS     },
    {"100.64.0.0",                              PUBLIC_ONLY},
    {"100.127.255.255",                         PUBLIC_ONLY},
    {"100.128.0.0",                             ALWAYS     },
    {"126.255.255.255",                         ALWAYS     },
    {"127.0.0.0",                               NEVER      },
    {"127.255.255.255",                         NEVER      },
    {"128.0.0.0",                               ALWAYS     },
    {"169.253.255.255",                         ALWAYS     },
    {"169.254.0.0",                             NEVER      },
    {"169.254.169.254",                         NEVER      },
    {"169.254.255.255",                         NEVER      },
    {"169.255.0.0",                             ALWAYS     },
    {"172.15.255.255",                          ALWAYS     },
    {"172.16.0.0",                              PUBLIC_ONLY},
    {"172.31.255.255",                          PUBLIC_ONLY},
    {"172.32.0.0",                              ALWAYS     },
    {"191.255.255.255",                         ALWAYS     },
    {"192.0.0.0",                               NEVER      },
    {"192.0.0.255",                             NEVER      },
    {"192.0.1.0",                               ALWAYS     },
    {"192.167.255.255",                         ALWAYS     },
    {"192.168.0.0",                             PUBLIC_ONLY},
    {"192.168.255.255",                         PUBLIC_ONLY},
    {"192.169.0.0",                             ALWAYS     },
    {"198.17.255.255",                          ALWAYS     },
    {"198.18.0.0",                              NEVER      },
    {"198.19.255.255",                          NEVER      },
    {"198.20.0.0",                              ALWAYS     },
    {"223.255.255.255",                         ALWAYS     },
    {"224.0.0.0",                               NEVER      },
    {"239.255.255.255",                         NEVER      },
    {"240.0.0.0",                               NEVER      },
    {"255.255.255.255",                         NEVER      },
    {"::",                                      NEVER      },
    {"::1",                                     NEVER      },
    {"::2",                                     ALWAYS     },
    {"ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",   ALWAYS     },
    {"100::",                                   NEVER      },
    {"100::ffff:ffff:ffff:ffff",                NEVER      },
    {"100:0:0:1::",                             ALWAYS     },
    {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ALWAYS     },
    {"2001::",                                  NEVER      },
    {"2001:0:ffff:ffff:ffff:ffff:ffff:ffff",    NEVER      },
    {"2001:1::",                                ALWAYS     },
    {"fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ALWAYS     },
    {"fc00::",                                  PUBLIC_ONLY},
    {"fd00:ec2::253",                           PUBLIC_ONLY},
    {"fd00:ec2::254",                           NEVER      },
    {"fd00:ec2::255",                           PUBLIC_ONLY},
    {"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC_ONLY},
    {"fe00::",                                  ALWAYS     },
    {"fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ALWAYS     },
    {"fe80::",                                  NEVER      },
    {"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NEVER      },
    {"fec0::",                                  ALWAYS     },
    {"feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ALWAYS     },
    {"ff00::",                                  NEVER      },
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NEVER      },
 /* judged by what is inside */
    {"::ffff:127.0.0.1",                        NEVER      },
    {"::ffff:169.254.169.254",                  NEVER      },
    {"::ffff:10.0.0.1",                         PUBLIC_ONLY},
    {"::ffff:192.0.2.1",                        ALWAYS     },
    {"::fffe:127.0.0.1",                        ALWAYS     },
    {"64:ff9b::127.0.0.1",                      NEVER      },
    {"64:ff9b::a00:1",                          PUBLIC_ONLY},
    {"64:ff9b::192.0.2.1",                      ALWAYS     },
    {"64:ff9b:0:0:0:1:7f00:1",                  ALWAYS     },
    {"2002:7f00:1::",                           NEVER      },
    {"2002:a00:1::1",                           PUBLIC_ONLY},
    {"2002:c000:201:ffff::1",                   ALWAYS     },
    {"2003:7f00:1::",                           ALWAYS     },
};

Test(guard, the_table_at_both_edges_of_each_range)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct guard *open = guard_of(scratch, false, "");
    const struct guard *strict = guard_of(scratch, true, "");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cr_expect_eq(allows(open, cases[i].address), cases[i].verdict != NEVER, "%s",
                     cases[i].address);
        cr_expect_eq(allows(strict, cases[i].address), cases[i].verdict == ALWAYS, "%s, strict",
                     cases[i].address);
    }
}

Test(guard, exceptions_open_what_they_name_and_no_more)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct guard *guard = guard_of(scratch, true,
                                         "127.0.0.0/31,10.2.0.0/15,fd00::/16,::1/128");

    static const struct {
        const char *address;
        bool allowed;
    } exceptions[] = {
        {"127.0.0.0",        true },
        {"127.0.0.1",        true },
        {"127.0.0.2",        false},
        {"::ffff:127.0.0.1", true },
        {"::ffff:127.0.0.2", false},
        {"64:ff9b::7f00:1",  true },
        {"2002:7f00:1::",    true },
        {"2002:7f00:2::",    false},
        {"10.1.255.255",     false},
        {"10.2.0.0",         true },
        {"10.3.255.255",     true },
        {"10.4.0.0",         false},
        {"fd00:ec2::254",    true },
        {"fd01::",           false},
        {"::1",              true },
        {"::",               false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(exceptions); i++)
        cr_expect_eq(allows(guard, exceptions[i].address), exceptions[i].allowed, "%s",
                     exceptions[i].address);
}

Test(guard, cidrs_that_are_none_are_refused)
{
    static const char *const broken[] = {
        "127.0.0.1",    "127.0.0.1/33", "::1/129",       "127.0.0.1/8",
        "127.0.0.0/-1", "/8",           "127.0.0.0/",    "localhost/8",
        "[::1]/128",    "10.0.0.0/8/8", "fe80::1%lo/64", "2001:db8::1/64",
    };

    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct text_list list = text_split(scratch, broken[i], ',');
        struct fault fault = {0};

        cr_expect_null(guard_new(kept, false, &list, &fault), "%s", broken[i]);
        cr_expect_eq(fault.reason, SETTING_INVALID, "%s", broken[i]);
        cr_expect_eq(talloc_total_blocks(kept), 1, "%s: memory left behind", broken[i]);
    }
}

Test(guard, addresses_come_from_sockets_too)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct net_address address = {.octets = {42}};
    struct net_address wanted;

    cr_expect_not(net_address_from_socket(&other, &address));
    cr_expect_eq(address.octets[0], 42);
    cr_assert_eq(inet_pton(AF_INET, "192.0.2.7", &v4.sin_addr), 1);
    cr_expect(net_address_from_socket((const struct sockaddr *)&v4, &address));
    cr_assert(net_address_from_text("192.0.2.7", &wanted));
    cr_expect(net_address_equal(&address, &wanted));
    cr_assert_eq(inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr), 1);
    cr_expect(net_address_from_socket((const struct sockaddr *)&v6, &address));
    cr_expect_not(net_address_equal(&address, &wanted));
    cr_assert(net_address_from_text("2001:db8::7", &wanted));
    cr_expect(net_address_equal(&address, &wanted));
}
