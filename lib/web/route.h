/* lib/web/route.h: tables that say which function serves what. The table is the API's own
 * documentation; a test holds it against doc/openapi.yaml. */
#ifndef CERTCTL_WEB_ROUTE_H
#define CERTCTL_WEB_ROUTE_H

#include "web/request.h"
#include "web/response.h"

typedef bool route_handler(struct request *request, struct response *response, struct fault *fault);

struct route {
    unsigned methods;    /* GET | HEAD, POST, … */
    const char *pattern; /* "/acme/order/{order}/finalize" */
    int access;          /* the responder's own enum; its admit function knows it */
    route_handler *handler;
    int64_t body_max_bytes; /* 0: the responder's limit */
};

/* Finds the route for request->segments and fills route and captured. No path: ROUTE_UNKNOWN.
 * Path but not this method: METHOD_NOT_ALLOWED, with *ret_allow the Allow value ("GET, HEAD,
 * OPTIONS") on the request. HEAD is served wherever GET is. */
bool route_find(struct request *request, const struct route *routes, size_t count,
                const char **ret_allow, struct fault *fault);

/* Splits and decodes request->path into segments (05 section 1.4, step 4). */
bool path_split(struct request *request, struct fault *fault);

/* One row of a protocol's table from reason to wire form. */
struct wire_fault {
    enum fault_reason reason;
    unsigned status;
    const char *type; /* the protocol's word, e.g. "badCSR" */
};
/* The row for a reason, or NULL: told by kind. */
const struct wire_fault *wire_fault_find(const struct wire_fault *table, size_t count,
                                         enum fault_reason reason);
/* Status by kind: malformed 400, unauthorized 401, forbidden 403, not_found 404, conflict 409,
 * policy 400, rate_limited 429, upstream 502, unavailable 503, internal 500. */
unsigned fault_kind_status(enum fault_kind kind);

#endif
