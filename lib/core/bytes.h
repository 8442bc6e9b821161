/* lib/core/bytes.h: octet strings and their text forms. */
#ifndef CERTCTL_CORE_BYTES_H
#define CERTCTL_CORE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/macro.h"

/* Borrowed or talloc-owned, as the declaration that returns it says. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

#define BYTES_OF(array) ((struct bytes){(array), sizeof(array)})

bool bytes_equal(struct bytes a, struct bytes b);
/* Constant time in the content; the sizes are not secret. */
bool bytes_equal_secret(struct bytes a, struct bytes b);
struct bytes bytes_copy(TALLOC_CTX *ctx, struct bytes from);
struct bytes bytes_of_text(const char *text);

/* Either case; -1: no hex digit. */
int hex_digit_value(char digit);
/* Lower-case hex. */
char *hex_from_bytes(TALLOC_CTX *ctx, struct bytes from);
/* Either case, even length, nothing else. False leaves *ret alone. */
bool hex_to_bytes(TALLOC_CTX *ctx, const char *text, struct bytes *ret) MUST_USE;

/* RFC 4648 section 5 without padding. */
char *base64url_from_bytes(TALLOC_CTX *ctx, struct bytes from);
/* Strict: no padding, no white space, canonical last character (RFC 7515 section 2). */
bool base64url_to_bytes(TALLOC_CTX *ctx, const char *text, size_t length,
                        struct bytes *ret) MUST_USE;

/* RFC 4648 section 4, with padding; for PEM and the account key file. */
char *base64_from_bytes(TALLOC_CTX *ctx, struct bytes from);
/* White space between characters is skipped; padding is required and canonical. */
bool base64_to_bytes(TALLOC_CTX *ctx, const char *text, size_t length, struct bytes *ret) MUST_USE;

#endif
