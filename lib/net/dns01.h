/* lib/net/dns01.h: what dns-01 decides by itself (RFC 8555 section 8.4, 01 section 11.6). */
#ifndef CERTCTL_NET_DNS01_H
#define CERTCTL_NET_DNS01_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"

/* The character-strings of a TXT record's RDATA in one piece, on ctx (RFC 1035 section 3.3.14).
 * False: a length points past the end, or there is no string. */
bool dns01_text_join(TALLOC_CTX *ctx, struct bytes rdata, struct bytes *ret_text) MUST_USE;

/* "_acme-challenge.NAME", or with an account's URL "_LABEL._acme-challenge.NAME" of
 * draft-ietf-acme-dns-account-label; on ctx. */
char *dns01_name(TALLOC_CTX *ctx, const char *name, const char *account_url);

#endif
