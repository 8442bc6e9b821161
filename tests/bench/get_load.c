/* tests/bench/get_load.c: one GET or HEAD over and over, over kept-alive connections. */
#include <stdlib.h>

#include "tests/bench/asking.h"
#include "tests/bench/options.h"

#include "core/banned.h"

struct run {
    struct asking asking;
    const char *method;
};

static void ask(struct http *http, int64_t number, void *arg)
{
    const struct run *run = arg;

    (void)number; /* all are alike */
    http_request(http, run->method, http_path(run->asking.url), NULL, (struct bytes){0});
}

static bool is_right(const struct http_answer *answer, int64_t number, void *arg)
{
    (void)number;
    (void)arg;
    return answer->status == 200 || answer->status == 204;
}

static void run_read(struct run *run, int argc, char **argv)
{
    struct asking *asking = &run->asking;
    const struct option_slot slots[] = {
        {"--url",         &asking->url,       NULL                },
        {"--root",        &asking->root_file, NULL                },
        {"--method",      &run->method,       NULL                },
        {"--connections", NULL,               &asking->connections},
        {"--count",       NULL,               &asking->count      },
        {"--warmup",      NULL,               &asking->warmup     },
    };

    options_read(argc, argv, slots, ARRAY_SIZE(slots));
    if (!asking_is_whole(asking))
        give_up("wanted: --url=URL [--root=FILE --method=GET --connections=N --count=N "
                "--warmup=N]");
}

int main(int argc, char **argv)
{
    struct run run = {
        .method = "GET",
        .asking = {ASKING_DEFAULTS, .ask = ask, .is_right = is_right, .arg = &run}
    };

    run_read(&run, argc, argv);
    asking_run(&run.asking);
    return EXIT_SUCCESS;
}
