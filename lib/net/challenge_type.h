/* lib/net/challenge_type.h: the types of challenges that exist here, and what each can prove
 * (RFC 8555 section 8, RFC 8737, RFC 8738 section 7,
 * draft-ietf-acme-dns-account-label, draft-ietf-acme-dns-persist). */
#ifndef CERTCTL_NET_CHALLENGE_TYPE_H
#define CERTCTL_NET_CHALLENGE_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

struct challenge_type {
    const char *name;
    bool proves_dns;
    bool proves_wildcard;
    bool proves_ip;
    bool by_default; /* offered where a profile names no types (01 section 4.2) */
    /* No token: the record names one of challenge_issuers and the account, and stays. What it
     * proved serves one order alone (01 section 11.6). */
    bool persists;
};

/* In the order in which an authorization shows them. */
extern const struct challenge_type challenge_types[];
extern const size_t challenge_type_count;

/* NULL: there is none of that name. */
const struct challenge_type *challenge_type_find(const char *name);

/* `identifier_type` is "dns" or "ip". */
bool challenge_type_proves(const struct challenge_type *type, const char *identifier_type,
                           bool wildcard);

#define CHALLENGE_ISSUERS_MOST 10

/* The names by which a record that persists can call us, of `identities`, our names in CAA: in
 * lower case, without a dot at the end, the first CHALLENGE_ISSUERS_MOST of them
 * (draft-ietf-acme-dns-persist-01 section 3.1). What is no name in ASCII is left out. On ctx. */
struct text_list challenge_issuers(TALLOC_CTX *ctx, const struct text_list *identities);

#endif
