/* tests/bench/asking.h: requests one after the other over each of several kept-alive connections,
 * until so many were answered; then what is said of them. */
#ifndef CERTCTL_BENCH_ASKING_H
#define CERTCTL_BENCH_ASKING_H

#include "tests/bench/http.h"

/* A run. Options of the program fill the first part. */
struct asking {
    const char *url;
    const char *root_file; /* NULL: none, or plain http */
    int64_t connections;
    int64_t count;
    int64_t warmup; /* so many before the clock runs */
    void *arg;
    /* Sends request `number`, counted from 0, by http_request. */
    void (*ask)(struct http *http, int64_t number, void *arg);
    /* Whether that answer, number's, is what was wanted. */
    bool (*is_right)(const struct http_answer *answer, int64_t number, void *arg);
};

#define ASKING_DEFAULTS .connections = 16, .count = 10000

/* Whether url, connections and count can be used. */
bool asking_is_whole(const struct asking *asking);
/* Asks, and prints rate, errors and durations as one line of JSON; before it "window 0", when the
 * clock begins to run. SIGTERM ends the asking before its count, and the line is printed. */
void asking_run(const struct asking *asking);

#endif
