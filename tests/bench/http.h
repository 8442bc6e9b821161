/* tests/bench/http.h: HTTP/1.1 over one kept-alive TLS connection, as little of it as a load client
 * needs. One request at a time; what comes is trusted, since the server is ours. */
#ifndef CERTCTL_BENCH_HTTP_H
#define CERTCTL_BENCH_HTTP_H

#include <netinet/in.h>
#include <openssl/ssl.h>

#include "core/bytes.h"
#include "tests/bench/loop.h"

/* What all connections of a run share. */
struct http_host {
    const struct loop *loop;
    SSL_CTX *tls; /* NULL: plain http */
    struct sockaddr_in address;
    char *name; /* for SNI, the certificate and Host */
    unsigned port;
};

#define HTTP_ANSWER_MAX 65536
#define HTTP_FIELD_MAX  512

/* What came; texts are empty where the header field was missing. */
struct http_answer {
    unsigned status; /* 0: the connection broke */
    struct bytes body;
    char nonce[HTTP_FIELD_MAX];
    char location[HTTP_FIELD_MAX];
    int64_t took_us;
};

struct http {
    struct watcher watcher; /* first */
    const struct http_host *host;
    SSL *ssl;
    bool head;  /* the request was HEAD: no body follows */
    bool close; /* the server ends this connection after its answer */
    bool busy;
    char *out; /* on the http */
    size_t out_size;
    size_t out_done;
    int64_t began_us;
    uint8_t in[HTTP_ANSWER_MAX];
    size_t in_size;
    size_t head_size; /* 0: not all of the head is there */
    size_t body_size; /* of the body to come; SIZE_MAX: chunked */
    struct http_answer answer;
    void (*answered)(struct http *http);
};

/* "https://localhost:8443/rest" or http://; the root that the server's chain must lead to, or NULL.
 * Connections go to 127.0.0.1. */
struct http_host http_host_new(TALLOC_CTX *ctx, const struct loop *loop, const char *url,
                               const char *root_file);
/* The part of a URL after the authority. */
const char *http_path(const char *url);

void http_open(struct http *http, const struct http_host *host);
/* body.data NULL: none. answered(http) is called from the loop, never from in here. */
void http_request(struct http *http, const char *method, const char *path, const char *type,
                  struct bytes body);

#endif
