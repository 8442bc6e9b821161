/* lib/auth/credential.h: who a request says it is, and from where, before anybody is asked. */
#ifndef CERTCTL_AUTH_CREDENTIAL_H
#define CERTCTL_AUTH_CREDENTIAL_H

#include <talloc.h>

enum credential_kind {
    CREDENTIAL_NONE,   /* no Authorization header */
    CREDENTIAL_SCHEME, /* one, but not "Bearer <token>" */
    CREDENTIAL_KEY,
};

struct credential {
    enum credential_kind kind;
    const char *key; /* CREDENTIAL_KEY: as sent, perhaps in no form of ours; on ctx */
};

/* `header` may be NULL. The scheme is compared without regard to case (RFC 9110 section 11.1). */
struct credential credential_from_header(TALLOC_CTX *ctx, const char *header);

/* The key of the limiters for an address: an IPv6 address is cut to its /64, since that is what one
 * client has; what is no address is "unknown". On ctx. */
char *address_limit_key(TALLOC_CTX *ctx, const char *address);

#endif
