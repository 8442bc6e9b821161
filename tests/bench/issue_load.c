/* tests/bench/issue_load.c: lifecycle_issue for one ready order after the other, with the signer
 * and the database of a site, from as many threads as a responder has workers; or of the same
 * issuances the two statements alone. Orders and CSRs are made before the clock runs. */
#undef main /* the makefile names the product's main otherwise */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "lifecycle/issue.h"
#include "tests/bench/connection.h"
#include "tests/bench/key.h"
#include "tests/bench/loop.h"
#include "tests/bench/options.h"
#include "tests/bench/sql_flow.h"

#include "core/banned.h"

#define NONCE_OCTETS 38
#define NONCE_LIFE_S 420

struct run {
    struct flow_model model;
    struct settings settings;
    const char *model_file;
    const char *url;
    int64_t connections;
    int64_t count;  /* of each thread */
    int64_t warmup; /* of each thread */
    int64_t whole;  /* lifecycle_issue, not the statements alone */
    pthread_barrier_t ready;
    pthread_barrier_t done;
};

struct worker {
    pthread_t thread;
    struct run *run;
    struct flow flow;
    struct flow_order **orders;
    struct bytes *csrs; /* whole */
    struct samples samples;
};

static void order_prepare(struct worker *worker, int64_t at)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct flow_order *order = flow_order_begin(worker->flow.db, &worker->flow);
    char *name = mem_text(scratch, flow_order_name(scratch, order));

    worker->orders[at] = order;
    if (!worker->run->whole)
        return;
    const char *text = csr_new(scratch, &name, 1);
    if (!base64url_to_bytes(worker->flow.db, text, strlen(text), &worker->csrs[at]))
        give_up("a CSR cannot be read");
}

/* As fcgi/acme/finalize.c asks. */
static void issue(struct worker *worker, const struct flow_order *order, struct bytes csr)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct rows *rows = flow_finalize_read(scratch, &worker->flow, order);
    struct issue_request wanted = {0};
    struct issue_result result = {0};
    uint8_t nonce[NONCE_OCTETS];
    struct fault fault = {0};

    random_bytes(nonce, sizeof(nonce));
    if (!issue_request_from_row(scratch, rows, &wanted, &fault))
        give_up("%s: %s; %s", order->order_id, fault.detail, fault.cause);
    wanted.grant = issue_grant_from_acme_order(scratch, rows, 0, order->account, &fault);
    wanted.csr_der = csr;
    wanted.owner_id = worker->flow.model->owner;
    wanted.team_id = worker->flow.model->team;
    wanted.renewal_policy_id = worker->flow.model->policy;
    wanted.actor = mem_printf(scratch, "acme:%s", order->account);
    wanted.source_ip = "127.0.0.1";
    wanted.request_id = id_new(scratch, "bench");
    wanted.nonce = base64url_from_bytes(scratch, BYTES_OF(nonce));
    wanted.nonce_expires = clock_now_s() + NONCE_LIFE_S;
    if (!wanted.grant ||
        !lifecycle_issue(scratch, worker->flow.db, &worker->run->settings, &wanted, &result,
                         &fault) ||
        result.outcome != ISSUE_DONE)
        give_up("%s: %s; %s", order->order_id, fault.detail, fault.cause);
}

static void statements_only(struct worker *worker, const struct flow_order *order)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    (void)flow_finalize_read(scratch, &worker->flow, order);
    flow_commit(&worker->flow, order, id_new(scratch, "mc"));
}

static void go(struct worker *worker, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        const int64_t began_us = clock_monotonic_us();

        if (worker->run->whole)
            issue(worker, worker->orders[i], worker->csrs[i]);
        else
            statements_only(worker, worker->orders[i]);
        samples_add(worker->flow.db, &worker->samples, clock_monotonic_us() - began_us);
    }
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    const struct run *run = worker->run;

    for (int64_t i = 0; i < run->warmup + run->count; i++)
        order_prepare(worker, i);
    go(worker, 0, run->warmup);
    worker->samples.count = 0;
    (void)pthread_barrier_wait(&worker->run->ready);
    go(worker, run->warmup, run->warmup + run->count);
    (void)pthread_barrier_wait(&worker->run->done);
    return NULL;
}

static void run_read(struct run *run, int argc, char **argv)
{
    const struct option_slot slots[] = {
        {"--model",       &run->model_file, NULL             },
        {"--database",    &run->url,        NULL             },
        {"--connections", NULL,             &run->connections},
        {"--count",       NULL,             &run->count      },
        {"--warmup",      NULL,             &run->warmup     },
        {"--whole",       NULL,             &run->whole      },
    };

    options_read(argc, argv, slots, ARRAY_SIZE(slots));
    AUTO(json_t) *model = run->model_file ? json_load_file(run->model_file, 0, NULL) : NULL;
    if (!json_is_object(model) || !run->url || run->connections < 1 || run->count < 1 ||
        run->warmup < 1)
        give_up("wanted: --model=FILE --database=URL [--connections=N --count=N --warmup=N "
                "--whole=1]; counts are of each connection");
    flow_model_read(run, model, &run->model);
    if (run->model.accounts.count == 0 || run->model.challenge)
        give_up("the model has no accounts, or its orders want challenges");
}

static void worker_begin(struct run *run, struct worker *worker, size_t number)
{
    const struct text_list *accounts = &run->model.accounts;
    const size_t count = (size_t)(run->warmup + run->count); /* both positive */

    worker->run = run;
    worker->flow = (struct flow){
        .model = &run->model,
        .db = connection_as(run, run->url, "certctl-acme", "certctl_acme"),
        .account = accounts->items[number % accounts->count],
    };
    worker->orders = mem_array(run, struct flow_order *, count);
    worker->csrs = mem_array(run, struct bytes, count);
}

static void report(const struct run *run, struct worker *workers, int64_t took_us)
{
    AUTO(json_t) *result = json_object();
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct samples all = {0};
    const int64_t count = run->count * run->connections;

    for (int64_t i = 0; i < run->connections; i++)
        samples_join(scratch, &all, &workers[i].samples);
    json_set_new(result, "rate", json_real((double)count * 1e6 / (double)took_us));
    json_set_integer(result, "issued", count);
    json_set_new(result, "issuance", samples_json(&all));
    (void)printf("%s\n", json_to_text(scratch, result));
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *root = talloc_named_const(NULL, 0, "issue-load");
    struct run *run = mem_new(root, struct run);

    *run = (struct run){.connections = 4, .count = 1000, .warmup = 100};
    run_read(run, argc, argv);
    settings_load_or_exit(&run->settings);
    const size_t count = (size_t)run->connections; /* positive */
    struct worker *workers = mem_array(root, struct worker, count);
    for (size_t i = 0; i < count; i++)
        worker_begin(run, &workers[i], i);
    become("certctl-acme"); /* as whom the signer knows its peers */
    order_prepare(&workers[0], 0);
    go(&workers[0], 0, 1); /* OpenSSL's objects are made before there are threads */
    if (pthread_barrier_init(&run->ready, NULL, (unsigned)count + 1) != 0 ||
        pthread_barrier_init(&run->done, NULL, (unsigned)count + 1) != 0)
        give_up("no barrier can be made");
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
            give_up("no thread can be made");
    (void)pthread_barrier_wait(&run->ready);
    (void)printf("window 0\n");
    (void)fflush(stdout);
    const int64_t began_us = clock_monotonic_us();
    (void)pthread_barrier_wait(&run->done);
    const int64_t took_us = clock_monotonic_us() - began_us;
    for (size_t i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    report(run, workers, took_us);
    return EXIT_SUCCESS;
}
