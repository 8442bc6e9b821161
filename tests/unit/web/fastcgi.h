/* tests/unit/web/fastcgi.h: a web server's half of FastCGI 1.0, as much as the tests need. */
#ifndef CERTCTL_TESTS_UNIT_WEB_FASTCGI_H
#define CERTCTL_TESTS_UNIT_WEB_FASTCGI_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

#define FASTCGI_KEEP_CONNECTION 1

/* A connected unix socket; -1 when nobody listens. */
int fastcgi_connect(const char *path);
/* BEGIN_REQUEST as responder with request id 1. */
bool fastcgi_begin(int fd, uint8_t flags);
/* Params ("NAME=value", NULL at the end), without the empty record that ends them all. */
bool fastcgi_some_params(int fd, const char *const *params);
/* And with it. */
bool fastcgi_params(int fd, const char *const *params);
/* One STDIN record; no bytes: the end of the body. */
bool fastcgi_stdin(int fd, struct bytes data);

struct fastcgi_answer {
    int status;       /* 0: none came */
    const char *head; /* Status line and headers */
    const char *body;
    bool ended;  /* END_REQUEST came, with REQUEST_COMPLETE and status 0 */
    bool closed; /* and then the connection was closed */
};
/* Reads until the responder closes or 15 s have passed without a byte. */
struct fastcgi_answer fastcgi_read(TALLOC_CTX *ctx, int fd);

#endif
