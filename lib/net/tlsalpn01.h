/* lib/net/tlsalpn01.h: what tls-alpn-01 decides by itself (RFC 8737, RFC 8738 section 6, 01 section
 * 11.5). */
#ifndef CERTCTL_NET_TLSALPN01_H
#define CERTCTL_NET_TLSALPN01_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"

/* "192.0.2.1" to "1.2.0.192.in-addr.arpa", "2001:db8::1" to its 32 nibbles under ip6.arpa; on ctx.
 * NULL: no address. */
char *tlsalpn01_reverse_name(TALLOC_CTX *ctx, const char *address);

/* Whether the certificate of a peer proves the identifier: one name, the critical acmeIdentifier
 * with the digest of the key authorization, signed by itself. NET_RESPONSE names the rule. */
bool tlsalpn01_certificate_check(struct bytes der, const char *identifier,
                                 const char *key_authorization, struct fault *fault);

#endif
