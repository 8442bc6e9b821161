/* lib/web/request.h: one HTTP request as the web server vouches for it.
 *
 * struct request is itself the talloc root of everything that belongs to the request. Facts about
 * the client (address, TLS, verified certificate) come from params whose names do not begin with
 * HTTP_; what begins so is the client's own word. */
#ifndef CERTCTL_WEB_REQUEST_H
#define CERTCTL_WEB_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/settings.h"

struct db;
struct route;

enum method {
    GET = 1,
    HEAD = 2,
    POST = 4,
    PUT = 8,
    PATCH = 16,
    DELETE = 32,
    OPTIONS = 64,
};

#define REQUEST_SEGMENTS_MAX 16

struct request {
    const struct settings *settings;
    struct db *db;
    void *worker; /* the responder's own state over requests (caches only), or NULL */

    enum method method; /* 0: a token that we do not know, refused before any handler */
    const char *path;   /* raw, before '?' */
    const char *query;  /* raw, "" when absent */
    char *segments[REQUEST_SEGMENTS_MAX]; /* percent-decoded once */
    size_t segment_count;
    bool raw_tail; /* the last segment is the rest of the path, undecoded, perhaps empty */

    const struct route *route; /* NULL until one was found */
    struct {
        const char *name; /* as in the pattern, without braces */
        const char *value;
    } captured[REQUEST_SEGMENTS_MAX];
    size_t captured_count;

    struct bytes body;        /* read before the handler runs; at most the route's limit */
    const char *content_type; /* NULL when absent or empty, as the facts below */
    const char *request_id;   /* UUID form; never NULL */
    const char *remote_addr;
    const char *server_name;
    const char *server_port;
    bool https;
    const char *tls_client_verify; /* "SUCCESS", "NONE", … or NULL */
    const char *tls_client_cert;   /* PEM, unescaped, or NULL */
    int64_t started_us;            /* monotonic */

    struct fault_list *problems; /* every failing field of the body, the first included; or NULL */
    const char *actor;           /* for the log and the audit row; set by admission */
    char *const *params;         /* FastCGI params, "NAME=value", NULL at the end */
    void *protocol;              /* the responder's own part, e.g. struct acme_request */
};

/* A FastCGI param, or NULL. Only for names that are documented facts. Of a repeated name the first
 * counts. */
const char *request_param(const struct request *request, const char *name);
/* A client's header by its HTTP name ("Accept"), or NULL. */
const char *request_header(const struct request *request, const char *name);
/* The value captured for {name}; aborts when the route has no such segment. */
const char *request_captured(const struct request *request, const char *name);

#endif
