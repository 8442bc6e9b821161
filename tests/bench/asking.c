/* tests/bench/asking.c: see asking.h. */
#include <signal.h>
#include <stdio.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "tests/bench/asking.h"
#include "tests/bench/samples.h"

#include "core/banned.h"

#define WAIT_MS 1000

struct tally {
    const struct asking *asking;
    int64_t begun;
    int64_t done;
    int64_t errors;
    int64_t began_us;
    struct samples samples;
    char first_error[200];
};

struct asker {
    struct http http; /* first */
    struct tally *tally;
    int64_t number; /* of the request that is under way */
};

static volatile sig_atomic_t told_to_end;

static void on_term(int signal_number)
{
    told_to_end = signal_number;
}

static int64_t wanted(const struct tally *tally)
{
    return told_to_end ? tally->begun : tally->asking->warmup + tally->asking->count;
}

static void ask(struct asker *asker)
{
    struct tally *tally = asker->tally;
    const struct asking *asking = tally->asking;

    if (tally->begun == wanted(tally))
        return;
    asker->number = tally->begun++;
    asking->ask(&asker->http, asker->number, asking->arg);
}

static void window_open(struct tally *tally)
{
    tally->samples.count = 0;
    (void)printf("window 0\n"); /* who reads along looks at the server now */
    (void)fflush(stdout);
    tally->began_us = clock_monotonic_us();
}

static void error_note(struct tally *tally, const struct http_answer *answer)
{
    if (tally->errors++ == 0)
        (void)snprintf(tally->first_error, sizeof(tally->first_error),
                       "status %u, %zu octets: %.*s", answer->status, answer->body.size,
                       (int)least(answer->body.size, (size_t)100), (const char *)answer->body.data);
}

static void on_answer(struct http *http)
{
    struct asker *asker = (struct asker *)http; /* its first member */
    struct tally *tally = asker->tally;
    const struct asking *asking = tally->asking;

    if (!asking->is_right(&http->answer, asker->number, asking->arg))
        error_note(tally, &http->answer);
    samples_add(tally, &tally->samples, http->answer.took_us);
    if (++tally->done == asking->warmup)
        window_open(tally);
    ask(asker);
}

bool asking_is_whole(const struct asking *asking)
{
    return asking->url && asking->connections > 0 && asking->count > 0 && asking->warmup >= 0;
}

static void report(struct tally *tally)
{
    AUTO(json_t) *result = json_object();
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const double seconds = (double)(clock_monotonic_us() - tally->began_us) / 1e6;

    json_set_new(result, "rate", json_real((double)tally->samples.count / seconds));
    json_set_integer(result, "errors", tally->errors);
    json_set_text(result, "first_error", text_utf8_repair(scratch, tally->first_error));
    json_set_new(result, "request", samples_json(&tally->samples));
    (void)printf("%s\n", json_to_text(scratch, result));
}

void asking_run(const struct asking *asking)
{
    AUTO(TALLOC_CTX) *ctx = talloc_named_const(NULL, 0, "asking");
    const struct sigaction end = {.sa_handler = on_term, .sa_flags = (int)SA_RESETHAND};
    struct tally *tally = mem_new(ctx, struct tally);
    const struct loop loop = loop_new();
    const struct http_host host = http_host_new(ctx, &loop, asking->url, asking->root_file);

    tally->asking = asking;
    (void)sigaction(SIGTERM, &end, NULL);
    if (asking->warmup == 0)
        window_open(tally);
    for (int64_t i = 0; i < asking->connections; i++) {
        struct asker *asker = mem_new(ctx, struct asker);

        asker->tally = tally;
        asker->http.answered = on_answer;
        http_open(&asker->http, &host);
        ask(asker);
    }
    while (tally->done < wanted(tally))
        loop_turn(&loop, WAIT_MS);
    report(tally);
}
