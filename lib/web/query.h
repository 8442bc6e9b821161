/* lib/web/query.h: the parameters of a query string (05 section 1.5), and its own encoding. */
#ifndef CERTCTL_WEB_QUERY_H
#define CERTCTL_WEB_QUERY_H

#include <stdbool.h>
#include <talloc.h>

#include "core/fault.h"

#define QUERY_PARAMETERS_MAX 64

struct query {
    size_t count;
    struct {
        const char *name;
        const char *value; /* never NULL; "" where there is none */
    } items[QUERY_PARAMETERS_MAX];
};

/* Decodes name=value pairs between '&'; '+' is a space. Refuses (INPUT_MALFORMED) a bad escape, NUL
 * and other control characters, invalid UTF-8, a name without a character, a name that came
 * already, and a 65th parameter. Empty pairs are skipped. Texts hang on ctx. */
bool query_parse(TALLOC_CTX *ctx, const char *text, struct query *ret_query, struct fault *fault);

/* Decodes %XX in place. False on a bad escape and on %00. */
bool web_percent_decode(char *text);

/* The value of that name, or NULL. */
const char *query_value(const struct query *query, const char *name);

/* Appends "name=value" to a text that mem_text made, with '&' or '?' before it: everything but RFC
 * 3986's unreserved characters is escaped, so that the text may stand in a header. */
char *query_append(char *text, const char *name, const char *value);

#endif
