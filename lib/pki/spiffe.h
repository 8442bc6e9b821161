/* lib/pki/spiffe.h: SPIFFE IDs and the patterns of profiles for them (04 section 7.4).
 *
 * A pattern is an ID in whose path '*' stands for one or more characters of one segment, and "**"
 * at its end for the rest, at least one character. The trust domain is always literal. */
#ifndef CERTCTL_PKI_SPIFFE_H
#define CERTCTL_PKI_SPIFFE_H

#include <stdbool.h>

/* The scheme in any case: whatever looks like an ID must be one. */
bool spiffe_is_meant(const char *uri);
/* The rule of SPIFFE-ID section 2 that a text breaks, or NULL: at most 2,048 bytes; a trust domain
 * of [a-z0-9._-]; segments of [A-Za-z0-9._-], none empty, "." or ".."; nothing else, so neither
 * user nor port, query nor fragment. */
const char *spiffe_id_problem(const char *text);
/* The same for a pattern. */
const char *spiffe_pattern_problem(const char *pattern);
/* Of a good pattern and a good ID. */
bool spiffe_pattern_matches(const char *pattern, const char *id);
/* Whether the pattern stands for itself alone. */
bool spiffe_pattern_is_literal(const char *pattern);

#endif
