/* tests/bench/targets.h: what acme-validate meets in challenge mode: a DNS server that knows every
 * name as 127.0.0.1, and a web server that has every proof. */
#ifndef CERTCTL_BENCH_TARGETS_H
#define CERTCTL_BENCH_TARGETS_H

#include <talloc.h>

#include "tests/bench/loop.h"

struct targets;

/* thumbprint(arg, host): whose proof is wanted there; NULL: nobody's. fetched(arg, host): the proof
 * was handed out. */
struct targets_ops {
    const char *(*thumbprint)(void *arg, const char *host);
    void (*fetched)(void *arg, const char *host);
    void *arg;
};

struct targets *targets_new(TALLOC_CTX *ctx, const struct loop *loop, unsigned dns_port,
                            unsigned http_port, const struct targets_ops *ops);

#endif
