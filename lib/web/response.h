/* lib/web/response.h: what goes back. Headers and body hang on the request. */
#ifndef CERTCTL_WEB_RESPONSE_H
#define CERTCTL_WEB_RESPONSE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/bytes.h"

struct request;

#define RESPONSE_HEADERS_MAX 24

struct response {
    struct request *request;
    unsigned status;
    size_t header_count;
    struct {
        const char *name;
        const char *value;
    } headers[RESPONSE_HEADERS_MAX];
    struct bytes body;
    bool started; /* a body or an empty answer was set */
};

/* Replaces an earlier header of that name; format NULL removes it. The name lives as long as the
 * request. CR and LF in the value and a 25th header are bugs (abort): what a client wrote is
 * checked before it becomes a header. */
void response_header(struct response *response, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Adds one more header of the same name (Link). */
void response_header_add(struct response *response, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Each returns true, so that a handler can end with `return response_…`. Each sets Content-Type (or
 * removes it); response_header afterwards gives it another value. Bodies live as long as the
 * request. */
bool response_empty(struct response *response, unsigned status);
/* Steals the reference of `value`; the body ends with one newline. */
bool response_json(struct response *response, unsigned status, json_t *value);
/* JSON text as the database returned it. */
bool response_json_text(struct response *response, unsigned status, const char *text);
bool response_bytes(struct response *response, unsigned status, const char *content_type,
                    struct bytes body);

/* "Bad Request" and so on. */
const char *response_reason_phrase(unsigned status);

#endif
