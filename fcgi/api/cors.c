/* fcgi/api/cors.c: headers for pages of other origins, 05 section 2.6 and 06 section 13. */
#include "core/text.h"
#include "fcgi/api/api.h"

#include "core/banned.h"

/* The configured item that the origin equals, or NULL: what is sent back is never the client's own
 * text. "null" is what sandboxed pages of anybody send. */
static const char *origin_allowed(const struct text_list *allowed, const char *origin)
{
    if (!origin || text_equal(origin, "null"))
        return NULL;
    for (size_t i = 0; i < allowed->count; i++)
        if (text_equal(allowed->items[i], origin))
            return allowed->items[i];
    return NULL;
}

void api_cors(const struct request *request, struct response *response)
{
    const struct text_list *allowed = &request->settings->cors_origins;

    if (allowed->count == 0)
        return;
    const char *origin = origin_allowed(allowed, request_header(request, "Origin"));
    response_header(response, "Vary", "Origin");
    if (origin)
        response_header(response, "Access-Control-Allow-Credentials", "true");
    else if (text_list_has(allowed, "*"))
        origin = "*";
    if (!origin)
        return;
    response_header(response, "Access-Control-Allow-Origin", "%s", origin);
    response_header(response, "Access-Control-Expose-Headers",
                    "ETag, X-Request-ID, Retry-After, Link");
    if (request->method != OPTIONS)
        return;
    response_header(response, "Access-Control-Allow-Methods",
                    "GET, POST, PUT, DELETE, PATCH, OPTIONS");
    response_header(response, "Access-Control-Allow-Headers",
                    "Content-Type, Authorization, X-Request-ID, X-CSRF-Token, If-Match, "
                    "If-None-Match, Idempotency-Key, Prefer");
    response_header(response, "Access-Control-Max-Age", "86400");
}
