/* lib/net/challenge_type.h: the types of challenges that exist here, and what each can prove
 * (RFC 8555 section 8, RFC 8737, RFC 8738 section 7). */
#ifndef CERTCTL_NET_CHALLENGE_TYPE_H
#define CERTCTL_NET_CHALLENGE_TYPE_H

#include <stdbool.h>
#include <stddef.h>

struct challenge_type {
    const char *name;
    bool proves_dns;
    bool proves_wildcard;
    bool proves_ip;
    bool by_default; /* offered where a profile names no types (01 section 4.2) */
};

/* In the order in which an authorization shows them. */
extern const struct challenge_type challenge_types[];
extern const size_t challenge_type_count;

/* NULL: there is none of that name. */
const struct challenge_type *challenge_type_find(const char *name);

/* `identifier_type` is "dns" or "ip". */
bool challenge_type_proves(const struct challenge_type *type, const char *identifier_type,
                           bool wildcard);

#endif
