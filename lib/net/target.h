/* lib/net/target.h: where an http-01 request may go: the first URL and what redirects name (RFC
 * 8555 section 8.3, 01 section 11.4). */
#ifndef CERTCTL_NET_TARGET_H
#define CERTCTL_NET_TARGET_H

#include <stdbool.h>
#include <talloc.h>

#include "core/fault.h"

#define TARGET_PATH_MAX 2000

struct http_target {
    const char *url;  /* normal form: the same place has the same text; no fragment */
    const char *host; /* lower case; addresses without brackets */
    unsigned port;
};

/* `reference` may be relative to `base` (NULL: it must be absolute). Refused are: other schemes
 * than http and https, other ports than 80, 443 and `extra_port`, user names, zones, hosts that are
 * no host name, and paths of more than TARGET_PATH_MAX bytes. NET_RESPONSE; texts hang on ctx. */
bool http_target_read(TALLOC_CTX *ctx, const char *base, const char *reference, unsigned extra_port,
                      struct http_target *ret_target, struct fault *fault);

#endif
