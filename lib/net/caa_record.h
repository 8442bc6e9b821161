/* lib/net/caa_record.h: what CAA records say of us (RFC 8659, RFC 8657, 01 section 11.6). */
#ifndef CERTCTL_NET_CAA_RECORD_H
#define CERTCTL_NET_CAA_RECORD_H

#include <stdbool.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/text.h"

struct caa_wish {
    bool wildcard;
    const struct text_list *identities; /* our names */
    const char *account_url;            /* or NULL: no accounturi fits */
    const char *method;
};

/* Judges the first RRset that was found, RDATA each; `where` is its name. NET_CAA tells it. A
 * record that cannot be read forbids. */
bool caa_allows(const struct caa_wish *wish, const struct bytes *records, size_t count,
                const char *where, struct fault *fault);

/* Whether CAA is looked at: `mode` is CERTCTL_ACME_SERVER_CAA_MODE, `of_profile` "on", "off",
 * "inherit" or NULL. "auto" means: where we have names. */
bool caa_wanted(const char *mode, const char *of_profile, const struct text_list *identities);

#endif
