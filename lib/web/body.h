/* lib/web/body.h: what a request's body says, for routes that take JSON (05 sections 2.1, 2.7). */
#ifndef CERTCTL_WEB_BODY_H
#define CERTCTL_WEB_BODY_H

#include "core/json.h"
#include "web/request.h"

/* The body as one JSON object, whatever Content-Type says of it, since scripts send JSON as a form;
 * but not multipart, another charset or an encoding (MEDIA_TYPE_WRONG). NULL with INPUT_MALFORMED
 * when it is no JSON object; an empty body is none either. */
json_t *request_json(const struct request *request, struct fault *fault) MUST_USE;
/* The same where a body may be absent: then an empty object. */
json_t *request_json_optional(const struct request *request, struct fault *fault) MUST_USE;

#endif
