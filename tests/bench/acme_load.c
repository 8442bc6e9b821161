/* tests/bench/acme_load.c: whole ACME orders against a running site, and how long each step took.
 * One process, one thread, so that it takes as little as it can of the cores that it measures. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "tests/bench/options.h"
#include "tests/bench/order.h"
#include "tests/bench/targets.h"

#include "core/banned.h"

#define WAIT_MS    1000
#define POLLING_MS 2

struct run {
    struct loop loop;
    struct crowd crowd;
    const char *root_file;
    const char *accounts;
    int64_t connections;
    int64_t count;
    int64_t warmup;
    int64_t names;
    int64_t poll_ms;
    int64_t progress;
    int64_t dns_port;
    int64_t http_port;
    int64_t cpu_us; /* own, at the begin of the window */
    int64_t began_us;
    int64_t ended_us;
    size_t told;
};

static void wish_make(TALLOC_CTX *ctx, struct wish *wish, size_t number, const char *tag,
                      size_t name_count)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list names = {0};

    wish->payload = mem_text(ctx, "{\"identifiers\":[");
    for (size_t i = 0; i < name_count; i++) {
        const char *name = mem_printf(scratch, "o%zu.n%zu.%s.bench.test", number, i, tag);

        text_list_add(scratch, &names, name);
        wish->payload = mem_append(wish->payload, "%s{\"type\":\"dns\",\"value\":\"%s\"}",
                                   i > 0 ? "," : "", name);
    }
    wish->payload = mem_append(wish->payload, "]}");
    wish->csr = csr_new(ctx, names.items, names.count);
}

/* Names that no other run orders. */
static void wishes_make(struct crowd *crowd, TALLOC_CTX *ctx)
{
    uint8_t octets[4];

    random_bytes(octets, sizeof(octets));
    const char *tag = mem_printf(ctx, "r%s", hex_from_bytes(ctx, BYTES_OF(octets)));
    crowd->wishes = mem_array(ctx, struct wish, crowd->wish_count);
    for (size_t i = 0; i < crowd->wish_count; i++)
        wish_make(ctx, &crowd->wishes[i], i, tag, crowd->names);
}

static struct client *client_of_host(struct run *run, const char *host)
{
    int64_t number;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (host[0] != 'o' || !text_to_integer(mem_text_n(scratch, host + 1, strcspn(host + 1, ".")), 0,
                                           (int64_t)run->crowd.wish_count - 1, &number))
        return NULL;
    return run->crowd.wishes[number].client;
}

static const char *thumbprint_for(void *arg, const char *host)
{
    const struct client *client = client_of_host(arg, host);

    return client ? client_thumbprint(client) : NULL;
}

static void fetched_for(void *arg, const char *host)
{
    client_fetched(client_of_host(arg, host), clock_monotonic_us());
}

static int64_t cpu_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Who reads along may look at the server at these moments. */
static void say(const char *word, size_t number)
{
    (void)printf("%s %zu\n", word, number);
    (void)fflush(stdout);
}

static void turn(struct run *run)
{
    struct crowd *crowd = &run->crowd;

    loop_turn(&run->loop, crowd->waiting > 0 ? POLLING_MS : WAIT_MS);
    const int64_t now_us = clock_monotonic_us();
    for (size_t i = 0; crowd->waiting > 0 && i < crowd->client_count; i++)
        client_tick(crowd->clients[i], now_us);
}

static void enter(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    const bool shared = text_equal(run->accounts, "shared");

    for (size_t i = 0; i < crowd->client_count; i++) {
        crowd->clients[i] = client_new(crowd->clients, crowd,
                                       shared && i > 0 ? crowd->clients[0] : NULL);
        client_enter(crowd->clients[i]);
        while (crowd->registered <= i)
            turn(run);
    }
}

static void progress(struct run *run)
{
    const size_t done = run->crowd.done - least(run->crowd.done, (size_t)run->warmup);

    if (run->progress == 0 || done / (size_t)run->progress == run->told)
        return;
    run->told = done / (size_t)run->progress;
    say("progress", done);
}

/* What came before is warm-up. */
static void window_open(void *arg)
{
    struct run *run = arg;

    if (run->crowd.errors > 0)
        give_up("in the warm-up: %s", run->crowd.first_error);
    crowd_forget(&run->crowd);
    say("window", 0);
    run->cpu_us = cpu_us();
    run->began_us = clock_monotonic_us();
}

static void order_all(struct run *run)
{
    struct crowd *crowd = &run->crowd;

    if (crowd->warmup == 0)
        window_open(run);
    for (size_t i = 0; i < crowd->client_count; i++)
        client_order(crowd->clients[i]);
    while (crowd->done < crowd->wish_count) {
        turn(run);
        progress(run);
    }
    run->ended_us = clock_monotonic_us();
    run->cpu_us = cpu_us() - run->cpu_us;
}

static void report(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    AUTO(json_t) *result = json_object();
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const double seconds = (double)(run->ended_us - run->began_us) / 1e6;
    json_t *steps = json_object();

    json_set_integer(result, "orders", (int64_t)crowd->orders.count);
    json_set_new(result, "seconds", json_real(seconds));
    json_set_new(result, "rate", json_real((double)crowd->orders.count / seconds));
    json_set_integer(result, "errors", (int64_t)crowd->errors);
    json_set_integer(result, "server_errors", (int64_t)crowd->server_errors);
    json_set_integer(result, "requests", (int64_t)crowd->requests);
    json_set_new(result, "client_cpu_s", json_real((double)run->cpu_us / 1e6));
    if (crowd->first_error[0])
        json_set_text(result, "first_error", text_utf8_repair(scratch, crowd->first_error));
    json_set_new(result, "order", samples_json(&crowd->orders));
    json_set_new(result, "request", samples_json(&crowd->all_steps));
    for (size_t i = 0; i < STEPS; i++)
        if (crowd->by_step[i].count > 0)
            json_set_new(steps, step_names[i], samples_json(&crowd->by_step[i]));
    json_set_new(result, "steps", steps);
    (void)printf("%s\n", json_to_text(scratch, result));
}

static void run_read(struct run *run, int argc, char **argv)
{
    const struct option_slot slots[] = {
        {"--directory",   &run->crowd.directory, NULL             },
        {"--root",        &run->root_file,       NULL             },
        {"--accounts",    &run->accounts,        NULL             },
        {"--connections", NULL,                  &run->connections},
        {"--count",       NULL,                  &run->count      },
        {"--warmup",      NULL,                  &run->warmup     },
        {"--names",       NULL,                  &run->names      },
        {"--poll-ms",     NULL,                  &run->poll_ms    },
        {"--progress",    NULL,                  &run->progress   },
        {"--dns-port",    NULL,                  &run->dns_port   },
        {"--http-port",   NULL,                  &run->http_port  },
    };

    options_read(argc, argv, slots, ARRAY_SIZE(slots));
    if (!run->crowd.directory || run->connections < 1 || run->names < 1 || run->count < 1 ||
        (!text_equal(run->accounts, "own") && !text_equal(run->accounts, "shared")))
        give_up("wanted: --directory=URL --root=FILE --accounts=own|shared --connections=N "
                "--count=N [--warmup=N --names=N --poll-ms=N --progress=N --dns-port=N "
                "--http-port=N]");
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *root = talloc_named_const(NULL, 0, "acme-load");
    struct run *run = mem_new(root, struct run);
    struct crowd *crowd = &run->crowd;

    *run = (struct run){
        .accounts = "own", .connections = 8, .count = 200, .names = 1, .poll_ms = 15};
    run_read(run, argc, argv);
    run->loop = loop_new();
    crowd->host = http_host_new(root, &run->loop, crowd->directory, run->root_file);
    crowd->client_count = (size_t)run->connections;
    crowd->clients = mem_array(root, struct client *, crowd->client_count);
    crowd->wish_count = (size_t)(run->warmup + run->count);
    crowd->names = (size_t)run->names;
    crowd->warmup = (size_t)run->warmup;
    crowd->opened = window_open;
    crowd->arg = run;
    crowd->poll_us = run->poll_ms * 1000;
    wishes_make(crowd, root);
    if (run->http_port > 0) {
        const struct targets_ops ops = {thumbprint_for, fetched_for, run};

        targets_new(root, &run->loop, (unsigned)run->dns_port, (unsigned)run->http_port, &ops);
    }
    enter(run);
    order_all(run);
    report(run);
    return EXIT_SUCCESS;
}
