/* lib/net/persist01.h: what dns-persist-01 decides by itself (draft-ietf-acme-dns-persist-01, 01
 * section 11.6). */
#ifndef CERTCTL_NET_PERSIST01_H
#define CERTCTL_NET_PERSIST01_H

#include <stdint.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/text.h"

struct persist_wish {
    const struct text_list *issuers; /* of challenge_issuers */
    const char *account_url;
    bool wildcard;
    int64_t now_s;
};

/* Whether one of the TXT records, RDATA each and one at least, lets the account have the name;
 * `where` is theirs. NET_RESPONSE tells of the one that came nearest. */
bool persist01_proves(const struct persist_wish *wish, const struct bytes *records, size_t count,
                      const char *where, struct fault *fault);

#endif
