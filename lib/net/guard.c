/* lib/net/guard.c: addresses that are never contacted (06 section 16.1). */
#include "net/guard.h"

#include <arpa/inet.h>
#include <string.h>

#include "core/memory.h"

#include "core/banned.h"

struct cidr {
    bool v6;
    uint8_t octets[16];
    unsigned bits;
};

struct guard {
    bool block_private;
    struct cidr *allowed;
    size_t allowed_count;
};

enum when { ALWAYS, PRIVATE };

#define V4(a, b, c, d)                                                                             \
    {                                                                                              \
        (a), (b), (c), (d)                                                                         \
    }

/* The table of the specification, row by row. */
static const struct {
    enum when when;
    struct cidr range;
} refused[] = {
    {ALWAYS,  {false, V4(0, 0, 0, 0), 8}                                     },
    {ALWAYS,  {false, V4(127, 0, 0, 0), 8}                                   },
    {ALWAYS,  {false, V4(169, 254, 0, 0), 16}                                },
    {ALWAYS,  {false, V4(192, 0, 0, 0), 24}                                  },
    {ALWAYS,  {false, V4(198, 18, 0, 0), 15}                                 },
    {ALWAYS,  {false, V4(224, 0, 0, 0), 4}                                   },
    {ALWAYS,  {false, V4(240, 0, 0, 0), 4}                                   },
    {PRIVATE, {false, V4(10, 0, 0, 0), 8}                                    },
    {PRIVATE, {false, V4(172, 16, 0, 0), 12}                                 },
    {PRIVATE, {false, V4(192, 168, 0, 0), 16}                                },
    {PRIVATE, {false, V4(100, 64, 0, 0), 10}                                 },
    {ALWAYS,  {true, {0}, 128}                                               },
    {ALWAYS,  {true, {[15] = 1}, 128}                                        },
    {ALWAYS,  {true, {0xfe, 0x80}, 10}                                       },
    {ALWAYS,  {true, {0xff}, 8}                                              },
    {ALWAYS,  {true, {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128}},
    {ALWAYS,  {true, {0x01, 0x00}, 64}                                       },
    {ALWAYS,  {true, {0x20, 0x01, 0x00, 0x00}, 32}                           },
    {PRIVATE, {true, {0xfc}, 7}                                              },
};

/* Where an IPv4 address lies inside an IPv6 one. */
static const struct {
    struct cidr range;
    size_t at;
} embedded[] = {
    {{true, {[10] = 0xff, [11] = 0xff}, 96}, 12},
    {{true, {0x00, 0x64, 0xff, 0x9b}, 96},   12},
    {{true, {0x20, 0x02}, 16},               2 },
};

bool net_address_from_text(const char *text, struct net_address *ret)
{
    struct net_address address = {0};

    address.v6 = strchr(text, ':') != NULL;
    if (inet_pton(address.v6 ? AF_INET6 : AF_INET, text, address.octets) != 1)
        return false;
    *ret = address;
    return true;
}

bool net_address_from_socket(const struct sockaddr *from, struct net_address *ret)
{
    struct net_address address = {0};

    /* The casts are the sockets interface's own. */
    if (from->sa_family == AF_INET) {
        memcpy(address.octets, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        address.v6 = true;
        memcpy(address.octets, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    } else {
        return false;
    }
    *ret = address;
    return true;
}

char *net_address_to_text(TALLOC_CTX *ctx, const struct net_address *address)
{
    char text[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->octets, text, sizeof(text));
    return mem_text(ctx, text);
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
    return a->v6 == b->v6 && memcmp(a->octets, b->octets, sizeof(a->octets)) == 0;
}

static bool lies_in(const struct net_address *address, const struct cidr *range)
{
    const size_t whole = range->bits / 8;
    const unsigned rest = range->bits % 8;

    if (address->v6 != range->v6 || memcmp(address->octets, range->octets, whole) != 0)
        return false;
    return rest == 0 || (address->octets[whole] ^ range->octets[whole]) >> (8 - rest) == 0;
}

/* 192.0.2.1/24 is more likely a typing error than a wish for 192.0.2.0/24. */
static bool host_bits_are_zero(const struct cidr *range)
{
    for (unsigned bit = range->bits; bit < (range->v6 ? 128U : 32U); bit++)
        if (range->octets[bit / 8] & (0x80U >> bit % 8))
            return false;
    return true;
}

static bool cidr_from_text(TALLOC_CTX *scratch, const char *text, struct cidr *ret)
{
    const char *slash = strchr(text, '/');
    struct net_address address;
    int64_t bits;

    if (!slash ||
        !net_address_from_text(mem_text_n(scratch, text, (size_t)(slash - text)), &address) ||
        !text_to_integer(slash + 1, 0, address.v6 ? 128 : 32, &bits))
        return false;
    struct cidr range = {.v6 = address.v6, .bits = (unsigned)bits}; /* 128 at most */
    memcpy(range.octets, address.octets, sizeof(range.octets));
    if (!host_bits_are_zero(&range))
        return false;
    *ret = range;
    return true;
}

struct guard *guard_new(TALLOC_CTX *ctx, bool block_private, const struct text_list *allowed,
                        struct fault *fault)
{
    struct guard *guard = mem_new(ctx, struct guard);

    guard->block_private = block_private;
    guard->allowed = mem_array(guard, struct cidr, allowed->count);
    for (size_t i = 0; i < allowed->count; i++) {
        if (!cidr_from_text(guard, allowed->items[i], &guard->allowed[guard->allowed_count])) {
            fault_set(fault, SETTING_INVALID, "CERTCTL_OUTBOUND_ALLOW_CIDRS",
                      "CERTCTL_OUTBOUND_ALLOW_CIDRS: %s is no network with a prefix length",
                      text_quote(guard, allowed->items[i]));
            talloc_free(guard);
            return NULL;
        }
        guard->allowed_count++;
    }
    return guard;
}

/* False: there is none inside. */
static bool inner_of(const struct net_address *address, struct net_address *ret_inner)
{
    for (size_t i = 0; i < ARRAY_SIZE(embedded); i++) {
        if (!lies_in(address, &embedded[i].range))
            continue;
        *ret_inner = (struct net_address){0};
        memcpy(ret_inner->octets, address->octets + embedded[i].at, 4);
        return true;
    }
    return false;
}

static bool excepted(const struct guard *guard, const struct net_address *address)
{
    for (size_t i = 0; i < guard->allowed_count; i++)
        if (lies_in(address, &guard->allowed[i]))
            return true;
    return false;
}

bool guard_allows(const struct guard *guard, const struct net_address *address)
{
    struct net_address judged = *address;

    if (excepted(guard, address))
        return true;
    if (inner_of(address, &judged) && excepted(guard, &judged))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if ((refused[i].when == ALWAYS || guard->block_private) &&
            lies_in(&judged, &refused[i].range))
            return false;
    return true;
}
