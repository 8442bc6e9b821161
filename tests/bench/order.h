/* tests/bench/order.h: ACME clients that take order after order from one list, each over a
 * connection of its own (RFC 8555 section 7.4). */
#ifndef CERTCTL_BENCH_ORDER_H
#define CERTCTL_BENCH_ORDER_H

#include "tests/bench/http.h"
#include "tests/bench/key.h"
#include "tests/bench/samples.h"

enum step {
    STEP_NONCE,
    STEP_ACCOUNT,
    STEP_NEW_ORDER,
    STEP_AUTHORIZATION,
    STEP_CHALLENGE,
    STEP_POLL,
    STEP_FINALIZE,
    STEP_CERTIFICATE,
    STEPS
};
extern const char *const step_names[STEPS];

/* One thing to order, made before the clock runs. */
struct wish {
    char *payload;         /* of new-order */
    char *csr;             /* of finalize */
    struct client *client; /* who took it; NULL: nobody yet */
};

struct client;

/* All clients of a run, and what they did. */
struct crowd {
    struct http_host host;
    const char *directory; /* URL up to the resources: https://localhost:8443/acme/profile/x */
    struct client **clients;
    size_t client_count;
    struct wish *wishes;
    size_t wish_count;
    size_t names; /* in one order */
    size_t taken;
    size_t done;       /* orders that ended, well or not */
    size_t registered; /* clients that can begin */
    size_t waiting;    /* clients that will poll */
    size_t warmup;     /* after so many orders opened(arg) is called */
    void (*opened)(void *arg);
    void *arg;
    int64_t poll_us; /* from the last proof that was fetched to the poll */
    /* Since the last crowd_forget. */
    size_t errors;
    size_t requests;
    size_t server_errors; /* status 5xx, or a broken connection */
    struct samples by_step[STEPS];
    struct samples all_steps;
    struct samples orders;
    char first_error[600];
};

/* A client without its account yet. account NULL: it registers a key of its own. */
struct client *client_new(TALLOC_CTX *ctx, struct crowd *crowd, struct client *account_of);
/* Fetches a nonce, and registers where it has to. */
void client_enter(struct client *client);
/* Takes the next wish; nothing where none is left. */
void client_order(struct client *client);
/* Where the time to ask again has come. */
void client_tick(struct client *client, int64_t now_us);
const char *client_thumbprint(const struct client *client);
/* The server came for a proof. */
void client_fetched(struct client *client, int64_t now_us);

void crowd_forget(struct crowd *crowd);

#endif
