/* lib/core/text.h: small readers of text. Each states the most it takes; none scans. */
#ifndef CERTCTL_CORE_TEXT_H
#define CERTCTL_CORE_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <talloc.h>

#include "core/macro.h"

/* A NULL never equals anything. */
bool text_equal(const char *a, const char *b);
bool text_equal_nocase(const char *a, const char *b);
bool text_starts(const char *text, const char *prefix);
bool text_ends(const char *text, const char *suffix);
/* ASCII only; the locale has no say. */
char *text_lower(TALLOC_CTX *ctx, const char *text);
/* Without ASCII white space at both ends. */
char *text_trim(TALLOC_CTX *ctx, const char *text);

/* In double quotes, cut to 80 bytes with "…", unprintable bytes as \xNN: for fault details. */
char *text_quote(TALLOC_CTX *ctx, const char *text);
char *text_quote_n(TALLOC_CTX *ctx, const char *text, size_t length);

/* Decimal with optional minus, the whole text, inside the limits. */
bool text_to_integer(const char *text, int64_t least_value, int64_t most_value,
                     int64_t *ret) MUST_USE;
/* Go's duration: "90s", "1h30m", "5m", "250ms", "0"; non-negative. In milliseconds. */
bool text_to_duration_ms(const char *text, int64_t *ret_ms) MUST_USE;
/* The shortest Go form of a duration, e.g. "1h30m". */
char *text_from_duration_ms(TALLOC_CTX *ctx, int64_t ms);
/* true 1 yes on / false 0 no off, in any case. */
bool text_to_bool(const char *text, bool *ret) MUST_USE;

struct text_list {
    char **items;
    size_t count;
};
/* Splits at the separator, trims, drops empty items. */
struct text_list text_split(TALLOC_CTX *ctx, const char *text, char separator);
void text_list_add(TALLOC_CTX *ctx, struct text_list *list, const char *item);
bool text_list_has(const struct text_list *list, const char *item);
char *text_list_join(TALLOC_CTX *ctx, const struct text_list *list, const char *separator);

bool text_ascii(const char *text);
/* RFC 3629, no surrogates, no overlong forms. */
bool text_utf8_valid(const char *text, size_t length);
/* Bytes of the one character at the start, 1 to 4; 0 when it is none or is cut off. */
size_t text_utf8_sequence(const char *text, size_t length);
/* A copy with each byte that belongs to no character replaced by U+FFFD. */
char *text_utf8_repair(TALLOC_CTX *ctx, const char *text);

#endif
