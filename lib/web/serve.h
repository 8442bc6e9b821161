/* lib/web/serve.h: the one loop of all responders, and the only door to libfcgi. */
#ifndef CERTCTL_WEB_SERVE_H
#define CERTCTL_WEB_SERVE_H

#include "core/confine.h"
#include "web/route.h"

/* The runtime directory, to read. Sockets need no right to files. */
#define WEB_CONFINE_PATHS                                                                          \
    {                                                                                              \
        CONFINE_READ, AT(settings, runtime_dir), NULL                                              \
    }

struct responder {
    const char *name;    /* "certctl-acme" */
    const char *surface; /* CERTCTL_SURFACE of its locations: "acme" */
    const char *role;    /* database role: "certctl_acme"; NULL: none */
    const struct route *routes;
    size_t route_count;
    int64_t body_max_bytes;         /* longer: INPUT_TOO_LARGE */
    bool plain_http;                /* surfaces that may be asked over http */
    bool malformed_path_is_unknown; /* ACME: percent signs and the like are 404 */
    bool security_headers;          /* the six headers of 05 section 2.4 */
    int64_t statement_timeout_ms;   /* 0: 15 s */
    /* "/ocsp/": below it and one segment more, the rest of the path is one segment as it came,
     * slashes and escapes included (RFC 6960 appendix A.1 has base64 there). NULL: none. */
    const char *raw_tail_below;

    /* What it may touch, WEB_CONFINE_PATHS first; NULL: these alone. */
    const struct confine_plan *confine;

    /* Once, before anything else, --check-statements too: adds statements that are made from tables
     * to the db; what it makes is a child of ctx. May be NULL. */
    void (*declare)(TALLOC_CTX *ctx, struct db *db);
    /* The name of a route's access for --routes; NULL: "-". */
    const char *(*access_name)(int access);
    /* After settings, before the first accept; returns the worker state (child of ctx) or NULL
     * with the fault. NULL without a fault: there is no state. */
    void *(*start)(TALLOC_CTX *ctx, const struct settings *settings, struct fault *fault);
    /* Before anything is judged: headers that every answer bears, refusals too. The params' facts
     * are filled in; where the edge key is wrong, none is: path and query are "", other texts NULL,
     * method is 0. Segments and route are not known yet, and nobody has looked at the path: it is
     * in no shape for a header. May be NULL. */
    void (*prepare)(struct request *request, struct response *response);
    /* Authentication and permission for request->route->access, after the body was read; may be
     * NULL. An answer set in here is final: the handler does not run. */
    bool (*admit)(struct request *request, struct response *response, struct fault *fault);
    /* Calls request->route->handler, and knows what comes of it before it leaves; NULL: nothing
     * stands between. */
    bool (*handle)(struct request *request, struct response *response, struct fault *fault);
    /* Writes the fault in the protocol's own form; NULL: the JSON error body of 05 section 2.2.
     * Must not fail. Headers set so far stay: prepare's, Allow of a 405, a handler's. */
    void (*refuse)(struct request *request, struct response *response, const struct fault *fault);
    /* After the answer has left, before the next accept and before the log line; may be NULL. */
    void (*finish)(struct request *request, struct response *response);
    /* Once, after the last request of a worker that leaves by itself; may be NULL. */
    void (*stop)(void *worker, struct db *db);
};

/* main() of every responder. Options: --version, --routes (prints method, pattern and access of
 * each route, separated by tabs), --check-statements (prepares every statement of this binary
 * under its role and exits). Reads settings, opens nothing else, then accepts on fd 0 until
 * SIGTERM, the request budget or the memory limit. */
int web_main(const struct responder *responder, int argc, char **argv);

/* The JSON error body {"error","message","request_id","code"} (05 section 2.2). */
void web_refuse_json(struct request *request, struct response *response, const struct fault *fault);

#endif
