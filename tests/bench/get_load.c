/* tests/bench/get_load.c: one GET or HEAD over and over, over kept-alive connections. */
#include <stdio.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "tests/bench/http.h"
#include "tests/bench/options.h"
#include "tests/bench/samples.h"

#include "core/banned.h"

#define WAIT_MS 1000

struct run {
    const char *url;
    const char *root_file;
    const char *method;
    int64_t connections;
    int64_t count;
    int64_t warmup;
    int64_t begun;
    int64_t done;
    int64_t errors;
    int64_t began_us;
    struct samples samples;
    char first_error[200];
};

struct asker {
    struct http http; /* first */
    struct run *run;
};

static void ask(struct asker *asker)
{
    struct run *run = asker->run;

    if (run->begun == run->warmup + run->count)
        return;
    run->begun++;
    http_request(&asker->http, run->method, http_path(run->url), NULL, (struct bytes){0});
}

static void on_answer(struct http *http)
{
    struct asker *asker = (struct asker *)http; /* its first member */
    struct run *run = asker->run;

    if (http->answer.status != 200 && http->answer.status != 204) {
        run->errors++;
        (void)snprintf(run->first_error, sizeof(run->first_error), "status %u: %.*s",
                       http->answer.status, (int)least(http->answer.body.size, (size_t)100),
                       (const char *)http->answer.body.data);
    }
    if (++run->done == run->warmup) {
        run->began_us = clock_monotonic_us();
        run->samples.count = 0;
    } else {
        samples_add(run, &run->samples, http->answer.took_us);
    }
    ask(asker);
}

static void run_read(struct run *run, int argc, char **argv)
{
    const struct option_slot slots[] = {
        {"--url",         &run->url,       NULL             },
        {"--root",        &run->root_file, NULL             },
        {"--method",      &run->method,    NULL             },
        {"--connections", NULL,            &run->connections},
        {"--count",       NULL,            &run->count      },
        {"--warmup",      NULL,            &run->warmup     },
    };

    options_read(argc, argv, slots, ARRAY_SIZE(slots));
    if (!run->url || run->connections < 1 || run->count < 1)
        give_up("wanted: --url=URL [--root=FILE --method=GET --connections=N --count=N "
                "--warmup=N]");
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *root = talloc_named_const(NULL, 0, "get-load");
    struct run *run = mem_new(root, struct run);
    const struct loop loop = loop_new();
    AUTO(json_t) *result = json_object();

    *run = (struct run){.method = "GET", .connections = 16, .count = 10000};
    run_read(run, argc, argv);
    const struct http_host host = http_host_new(root, &loop, run->url, run->root_file);
    run->began_us = clock_monotonic_us();
    for (int64_t i = 0; i < run->connections; i++) {
        struct asker *asker = mem_new(root, struct asker);

        asker->run = run;
        asker->http.answered = on_answer;
        http_open(&asker->http, &host);
        ask(asker);
    }
    while (run->done < run->warmup + run->count)
        loop_turn(&loop, WAIT_MS);
    const double seconds = (double)(clock_monotonic_us() - run->began_us) / 1e6;
    json_set_new(result, "rate", json_real((double)run->count / seconds));
    json_set_integer(result, "errors", run->errors);
    json_set_text(result, "first_error", run->first_error);
    json_set_new(result, "request", samples_json(&run->samples));
    (void)printf("%s\n", json_to_text(root, result));
    return EXIT_SUCCESS;
}
