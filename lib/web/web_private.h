/* lib/web/web_private.h: the room's own seams. Everything but libfcgi is reached through them, so
 * that tests and fuzz targets serve requests without a socket. */
#ifndef CERTCTL_WEB_WEB_PRIVATE_H
#define CERTCTL_WEB_WEB_PRIVATE_H

#include "core/digest.h"
#include "web/query.h"
#include "web/serve.h"

#define WEB_URI_MAX    8192  /* bytes of REQUEST_URI, query included (05 section 1.5) */
#define WEB_HEADER_MAX 65536 /* bytes of all HTTP_* params, names and values */
#define WEB_PARAMS_MAX 200

/* What outlives requests; immutable while the worker serves. */
struct web_host {
    const struct responder *responder;
    const struct settings *settings;
    struct db *db; /* NULL: the responder has no role */
    void *worker;
    uint8_t edge_digest[DIGEST_SHA256_SIZE]; /* SHA-256 of the right CERTCTL_EDGE_KEY */
};

/* Reads up to `size` bytes of the body; fewer mean that the body ended. */
typedef size_t web_body_reader(void *source, uint8_t *into, size_t size);

/* One request as it arrived, before anything was believed. */
struct web_input {
    char *const *params; /* "NAME=value", NULL at the end; may die after web_handle */
    web_body_reader *read;
    void *source;
};

/* Serves one request: checks in the order of 05 section 1.4, then the handler, or the refusal.
 * Never fails. Returns the request, child of ctx, which owns what *ret_response points to.
 * *ret_fault says for the log why it was refused (reason REASON_NONE: it was not). */
struct request *web_handle(TALLOC_CTX *ctx, const struct web_host *host,
                           const struct web_input *input, struct response *ret_response,
                           struct fault *ret_fault);

/* The value of the first param of that name, or NULL. */
const char *web_param_find(char *const *params, const char *name);

/* A request about which nothing is known but its time: path and query are "", params none. */
struct request *web_request_new(TALLOC_CTX *ctx, const struct web_host *host);
/* Copies the params but the edge key, and reads the facts among them. Judges nothing. */
void web_request_fill(struct request *request, char *const *params);
/* Header bytes and number of params within their limits, or HEADERS_TOO_LARGE. */
bool web_request_check_size(const struct request *request, struct fault *fault);
/* Reads the body that CONTENT_LENGTH announces, at most `limit` bytes. */
bool web_request_read_body(struct request *request, const struct web_input *input, int64_t limit,
                           struct fault *fault);

/* As path_split, for a path below a responder's raw_tail_below. */
bool web_path_split_raw_tail(struct request *request, const char *below, struct fault *fault);
/* The decoded segments equal DOCUMENT_URI where the web server sent it (05 section 1.4, step 5). A
 * raw tail is not compared: who sees the path decoded sees it in another form. */
bool web_path_check_document(const struct request *request, struct fault *fault);

/* Sets the six headers of 05 section 2.4. */
void web_security_headers(struct response *response);
/* Status line and headers in CGI form, with the empty line that ends them; on ctx. */
char *web_response_head(TALLOC_CTX *ctx, const struct response *response);
/* False for HEAD and for statuses that bear none. */
bool web_response_has_body(const struct response *response);

/* Serves the one request of a connection that was just accepted, and closes it. What libfcgi takes
 * for no whole request is logged and dropped. */
struct FCGX_Request;
void web_connection_serve(TALLOC_CTX *ctx, const struct web_host *host,
                          struct FCGX_Request *connection, int fd);

/* When this worker leaves (00 decision 45). */
struct web_life {
    int64_t until_us; /* monotonic: not before */
    int64_t requests_max;
    int64_t requests;
    int64_t rss_max_bytes; /* 0: no limit */
    bool grown;            /* resident memory was found above the limit */
};
/* Limits of the settings, each with a random tenth on top. */
struct web_life web_life_new(const struct settings *settings, int64_t now_us);
/* Counts one request; every 100th looks at `rss_bytes`. True when the worker should leave. */
bool web_life_spent(struct web_life *life, int64_t now_us, int64_t (*rss_bytes)(void));
/* Resident memory of this process, or 0 where /proc does not say. */
int64_t web_rss_bytes(void);

/* The signals of terminals and of broken connections. */
void web_ignore_signals(void);
/* For responders that have no plan of their own. */
extern const struct confine_plan web_confine_usual;
/* Fd 0 is a listening socket; systemd's fd 3 is moved there when it is not. */
bool web_listening(void);

#endif
