/* tests/bench/sql_load.c: the statements of whole orders from as many connections as a responder
 * has workers, and in challenge mode one more for the validator: what the database alone could
 * do. */
#undef main /* the makefile names the product's main otherwise */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "tests/bench/connection.h"
#include "tests/bench/loop.h"
#include "tests/bench/options.h"
#include "tests/bench/sql_flow.h"

#include "core/banned.h"

#define IN_FLIGHT_MAX 256

/* Everything that the threads share is under the lock, but for what each works on. */
struct run {
    struct flow_model model;
    const char *model_file;
    const char *url;
    int64_t connections;
    int64_t count;
    int64_t warmup;
    int64_t in_flight; /* orders that wait for their validation at most */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int64_t begun;
    int64_t done;
    struct flow_order *waiting[IN_FLIGHT_MAX]; /* for the validator; NULL: free place */
    size_t waiting_count;
    struct flow_order *ready[IN_FLIGHT_MAX];
    size_t ready_count;
    int64_t began_us;
    int64_t cpu_us; /* own, at the begin of the window */
    struct samples orders;
};

struct worker {
    pthread_t thread;
    struct run *run;
    struct flow flow;
};

static int64_t cpu_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Called with the lock held. */
static void order_done(struct run *run, struct flow_order *order)
{
    samples_add(run, &run->orders, clock_monotonic_us() - order->began_us);
    talloc_free(order);
    if (++run->done != run->warmup)
        return;
    run->began_us = clock_monotonic_us();
    run->cpu_us = cpu_us();
    run->orders.count = 0;
    (void)printf("window 0\n");
    (void)fflush(stdout);
}

static void put_waiting(struct run *run, struct flow_order *order)
{
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        if (!run->waiting[i]) {
            run->waiting[i] = order;
            run->waiting_count++;
            return;
        }
    give_up("too many orders wait");
}

static void on_taken(void *arg, const char *challenge_id)
{
    struct run *run = arg;

    pthread_mutex_lock(&run->lock);
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        if (run->waiting[i] && text_equal(run->waiting[i]->challenge_id, challenge_id)) {
            run->ready[run->ready_count++] = run->waiting[i];
            run->waiting[i] = NULL;
            run->waiting_count--;
        }
    pthread_cond_broadcast(&run->moved);
    pthread_mutex_unlock(&run->lock);
}

static void *validator_main(void *arg)
{
    struct worker *worker = arg;
    struct run *run = worker->run;

    pthread_mutex_lock(&run->lock);
    while (run->done < run->warmup + run->count) {
        if (run->waiting_count == 0) {
            pthread_cond_wait(&run->moved, &run->lock);
            continue;
        }
        pthread_mutex_unlock(&run->lock);
        if (flow_validate(&worker->flow, on_taken, run) == 0)
            (void)usleep(1000);
        pthread_mutex_lock(&run->lock);
    }
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* Takes from what is in flight first. Called with the lock held, which it gives up meanwhile. */
static bool work_once(struct worker *worker)
{
    struct run *run = worker->run;
    const size_t in_flight = run->waiting_count + run->ready_count;
    struct flow_order *order = NULL;

    if (run->ready_count > 0) {
        order = run->ready[--run->ready_count];
    } else if (run->begun == run->warmup + run->count || in_flight >= (size_t)run->in_flight) {
        return false;
    } else {
        run->begun++;
        pthread_mutex_unlock(&run->lock);
        order = flow_order_begin(worker->flow.db, &worker->flow);
        pthread_mutex_lock(&run->lock);
        if (run->model.challenge) {
            put_waiting(run, talloc_steal(run, order));
            pthread_cond_broadcast(&run->moved);
            return true;
        }
    }
    pthread_mutex_unlock(&run->lock);
    flow_order_end(&worker->flow, order);
    pthread_mutex_lock(&run->lock);
    order_done(run, order);
    pthread_cond_broadcast(&run->moved);
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct run *run = worker->run;

    pthread_mutex_lock(&run->lock);
    while (run->done < run->warmup + run->count)
        if (!work_once(worker))
            pthread_cond_wait(&run->moved, &run->lock);
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

static void report(struct run *run, struct worker *workers, size_t count, int64_t took_us)
{
    AUTO(json_t) *result = json_object();
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    json_t *by_statement = json_object();

    for (size_t i = 0; i < FLOW_STATEMENTS; i++) {
        struct samples joined = {0};

        for (size_t j = 0; j < count; j++)
            samples_join(scratch, &joined, &workers[j].flow.samples[i]);
        if (joined.count > 0)
            json_set_new(by_statement, flow_names[i], samples_json(&joined));
    }
    json_set_new(result, "rate", json_real((double)run->count * 1e6 / (double)took_us));
    json_set_new(result, "client_cpu_s", json_real((double)(cpu_us() - run->cpu_us) / 1e6));
    json_set_integer(result, "orders", run->count);
    json_set_new(result, "order", samples_json(&run->orders));
    json_set_new(result, "statements", by_statement);
    (void)printf("%s\n", json_to_text(scratch, result));
}

static void run_read(struct run *run, int argc, char **argv)
{
    const struct option_slot slots[] = {
        {"--model",       &run->model_file, NULL             },
        {"--database",    &run->url,        NULL             },
        {"--connections", NULL,             &run->connections},
        {"--count",       NULL,             &run->count      },
        {"--warmup",      NULL,             &run->warmup     },
        {"--in-flight",   NULL,             &run->in_flight  },
    };

    options_read(argc, argv, slots, ARRAY_SIZE(slots));
    AUTO(json_t) *model = run->model_file ? json_load_file(run->model_file, 0, NULL) : NULL;
    if (!json_is_object(model) || !run->url || run->connections < 1 || run->count < 1 ||
        run->warmup < 1 || run->in_flight + run->connections > IN_FLIGHT_MAX)
        give_up("wanted: --model=FILE --database=URL [--connections=N --count=N --warmup=N "
                "--in-flight=N]");
    flow_model_read(run, model, &run->model);
    if (run->model.accounts.count == 0)
        give_up("the model has no accounts");
}

static void worker_begin(struct run *run, struct worker *worker, size_t number, bool validator)
{
    const struct text_list *accounts = &run->model.accounts;

    worker->run = run;
    worker->flow = (struct flow){
        .model = &run->model,
        .db = validator ? connection_as(run, run->url, "certctl-jobs", "certctl_jobs")
                        : connection_as(run, run->url, "certctl-acme", "certctl_acme"),
        .account = accounts->items[number % accounts->count],
    };
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *root = talloc_named_const(NULL, 0, "sql-load");
    struct run *run = mem_new(root, struct run);
    uint8_t unused[DIGEST_SHA256_SIZE];

    *run = (struct run){.connections = 4,
                        .count = 1000,
                        .warmup = 100,
                        .in_flight = 64,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .moved = PTHREAD_COND_INITIALIZER};
    run_read(run, argc, argv);
    digest_sha256(bytes_of_text(""), unused); /* fetched before there are threads */
    const size_t count = (size_t)run->connections + run->model.challenge;
    struct worker *workers = mem_array(root, struct worker, count);
    for (size_t i = 0; i < count; i++)
        worker_begin(run, &workers[i], i, i == (size_t)run->connections);
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&workers[i].thread, NULL,
                           i == (size_t)run->connections ? validator_main : worker_main,
                           &workers[i]) != 0)
            give_up("no thread can be made");
    for (size_t i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    report(run, workers, count, clock_monotonic_us() - run->began_us);
    return EXIT_SUCCESS;
}
