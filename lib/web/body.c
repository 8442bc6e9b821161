/* lib/web/body.c: JSON bodies of the REST API. */
#include "web/body.h"

#include <strings.h>

#include "core/text.h"

#include "core/banned.h"

static bool media_acceptable(const struct request *request, struct fault *fault)
{
    const char *type = request->content_type ? request->content_type : "";
    const char *charset = strcasestr(type, "charset=");

    if (charset) {
        charset += strlen("charset=");
        charset += *charset == '"';
    }
    if (strncasecmp(type, "multipart/", strlen("multipart/")) == 0 ||
        (charset && strncasecmp(charset, "utf-8", strlen("utf-8")) != 0))
        return fault_set(fault, MEDIA_TYPE_WRONG, NULL, "Content-Type must be application/json");
    if (request_header(request, "Content-Encoding"))
        return fault_set(fault, MEDIA_TYPE_WRONG, NULL, "Content-Encoding is not supported");
    return true;
}

json_t *request_json(const struct request *request, struct fault *fault)
{
    if (!media_acceptable(request, fault))
        return NULL;
    return json_parse_object(request->body, INPUT_MALFORMED, "Invalid request body", fault);
}

json_t *request_json_optional(const struct request *request, struct fault *fault)
{
    return request->body.size == 0 ? json_object() : request_json(request, fault);
}
