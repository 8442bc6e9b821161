/* lib/net/http01.h: what http-01 decides by itself (RFC 8555 section 8.3, 01 section 11.4). */
#ifndef CERTCTL_NET_HTTP01_H
#define CERTCTL_NET_HTTP01_H

#include <stdbool.h>

#include "core/bytes.h"

#define HTTP01_BODY_MAX      16384
#define HTTP01_REDIRECTS_MAX 10

/* Whether a body is the key authorization, but for ASCII white space at its end. */
bool http01_body_matches(struct bytes body, const char *key_authorization);

#endif
