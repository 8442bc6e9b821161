/* lib/core/clock.h: the one clock, which tests can set, and the text forms of time. */
#ifndef CERTCTL_CORE_CLOCK_H
#define CERTCTL_CORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

/* Unix time. */
int64_t clock_now_s(void);
int64_t clock_now_us(void);
/* For durations and deadlines; has no relation to Unix time. */
int64_t clock_monotonic_us(void);
/* Tests only: later readings of Unix time are shifted by this many seconds. */
void clock_shift_s(int64_t seconds);

/* "2026-11-20T17:05:00Z": UTC, whole seconds (RFC 3339). */
char *time_to_rfc3339(TALLOC_CTX *ctx, int64_t unix_s);
/* "Fri, 20 Nov 2026 17:05:00 GMT": a date in an HTTP header (RFC 9110 section 5.6.7). */
char *time_to_http(TALLOC_CTX *ctx, int64_t unix_s);
/* With offset or Z; a fraction is accepted and dropped; years 1 to 9999. */
bool time_from_rfc3339(const char *text, int64_t *ret_unix_s);

#endif
