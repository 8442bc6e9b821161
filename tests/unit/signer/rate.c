/* tests/unit/signer/rate.c: signatures per hour and peer, exactly. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "signer/rate.h"

#include "core/banned.h"

static bool take(const char *key, const char *peer, int64_t limit, struct fault *fault)
{
    *fault = (struct fault){0};
    return rate_take(key, peer, limit, fault);
}

Test(signer_rate, counts_each_peer_by_itself_until_the_hour_ends)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char directory[] = "/tmp/certctl-rate-XXXXXX";
    struct fault fault;

    cr_assert_not_null(mkdtemp(directory));
    const char *key = mem_printf(scratch, "%s/a.key", directory);
    const char *file = mem_printf(scratch, "%s.rate", key);
    const int64_t shift_s = 3600 - clock_now_s() % 3600 + 10; /* 10 s into an hour */
    clock_shift_s(shift_s);
    for (int i = 0; i < 3; i++)
        cr_expect(take(key, "certctl-acme", 3, &fault), "%s", fault.cause);
    cr_expect_not(take(key, "certctl-acme", 3, &fault));
    cr_expect_eq(fault.reason, RATE_LIMITED);
    cr_expect_leq(fault.retry_after_s, 3590);
    cr_expect_gt(fault.retry_after_s, 3500);
    cr_expect(take(key, "certctl-est", 3, &fault), "another peer has its own");
    cr_expect(take(key, "certctl-acme", 4, &fault), "the refusal was not counted");
    clock_shift_s(shift_s + 3600);
    cr_expect(take(key, "certctl-acme", 1, &fault), "a new hour");
    cr_expect_not(take(key, "certctl-acme", 1, &fault));

    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(rmdir(directory), 0);
    cr_expect_not(take(key, "certctl-acme", 1, &fault), "without its file no limit is kept");
    cr_expect_eq(fault.reason, SIGNER_KEY);
}

/* In a process of its own; ends with how many it was given. */
static pid_t take_many(const char *key, int times, int64_t limit)
{
    const pid_t pid = fork();
    int given = 0;

    if (pid != 0)
        return pid;
    for (int i = 0; i < times; i++) {
        struct fault fault;
        given += take(key, "certctl-acme", limit, &fault);
    }
    _exit(given);
}

Test(signer_rate, holds_while_four_processes_race)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char directory[] = "/tmp/certctl-rate-XXXXXX";
    pid_t pids[4];
    int given = 0;

    cr_assert_not_null(mkdtemp(directory));
    const char *key = mem_printf(scratch, "%s/a.key", directory);
    clock_shift_s(3600 - clock_now_s() % 3600 + 10);
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
        pids[i] = take_many(key, 200, 600);
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
        int status = -1;
        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        given += WEXITSTATUS(status);
    }
    cr_expect_eq(given, 600);
    cr_assert_eq(unlink(mem_printf(scratch, "%s.rate", key)), 0);
    cr_assert_eq(rmdir(directory), 0);
}
