/* lib/core/id.h: identifiers that we make and accept (05 section 3.1).
 *
 * Made: prefix, '-', 26 lower-case Crockford base32 characters. */
#ifndef CERTCTL_CORE_ID_H
#define CERTCTL_CORE_ID_H

#include <stdbool.h>
#include <talloc.h>

#define ID_MAX 128

/* 48 bits of Unix milliseconds, 80 random bits: sorts by time. */
char *id_new(TALLOC_CTX *ctx, const char *prefix);
/* 128 random bits: for ids that must not be guessable. */
char *id_new_secret(TALLOC_CTX *ctx, const char *prefix);
/* ^[A-Za-z0-9._-]{1,128}$, and neither "." nor ".." */
bool id_valid(const char *text);

#endif
