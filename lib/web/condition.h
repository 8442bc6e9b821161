/* lib/web/condition.h: what a client says about the answer it has, and how it wants to be treated
 * (RFC 9110 section 13, RFC 7240). */
#ifndef CERTCTL_WEB_CONDITION_H
#define CERTCTL_WEB_CONDITION_H

#include "core/text.h"
#include "web/request.h"
#include "web/response.h"

/* The opaque tags of If-None-Match without quotes and W/ (weak comparison); "*" stands for itself.
 * What is in no order ends the list: a client that says nothing readable gets the whole answer. */
struct text_list condition_none_match(const struct request *request, TALLOC_CTX *ctx);
/* True where that list names the tag, or is "*". */
bool condition_matches(const struct text_list *tags, const char *tag);

/* If-Match against the tag that the object has now, by strong comparison: a weak tag never matches,
 * "*" always. Without the header all is well; else PRECONDITION_FAILED. */
bool condition_if_match(const struct request *request, const char *tag, struct fault *fault);

/* ETag and what caches must know beside it (05 section 2.4). */
void condition_etag(struct response *response, const char *tag);

/* Prefer: handling=strict (RFC 7240 section 4.4). */
bool preference_strict(const struct request *request);

#endif
