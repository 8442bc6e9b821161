/* tests/unit/web/worker.c: when a worker leaves, 00 decision 45. */
#include <criterion/criterion.h>

#include "core/text.h"
#include "web/web_private.h"

#include "core/banned.h"

static int64_t resident;
static int looks;

static int64_t rss(void)
{
    looks++;
    return resident;
}

Test(worker, has_a_random_tenth_more_than_its_settings)
{
    const struct settings settings = {.worker_max_requests = 1000, .worker_max_rss_bytes = 7};
    int64_t least_seen = INT64_MAX;
    int64_t most_seen = 0;

    for (int i = 0; i < 200; i++) {
        const struct web_life life = web_life_new(&settings, 5000000);
        cr_assert(life.requests_max >= 1000 && life.requests_max <= 1100);
        cr_assert(life.until_us >= 65000000 && life.until_us <= 71000000);
        cr_assert_eq(life.rss_max_bytes, 7);
        least_seen = least(least_seen, life.requests_max);
        most_seen = most(most_seen, life.requests_max);
    }
    cr_expect_neq(least_seen, most_seen, "workers that began together leave together");
}

Test(worker, leaves_after_its_requests_and_a_minute)
{
    static const struct {
        const char *about;
        int64_t requests; /* before the one that is counted */
        int64_t requests_max;
        int64_t now_us;
        bool spent;
    } cases[] = {
        {"neither",                     8,  10, 99,  false},
        {"the requests alone",          9,  10, 99,  false},
        {"the time alone",              8,  10, 100, false},
        {"both, exactly",               9,  10, 100, true },
        {"both, later",                 50, 10, 900, true },
        {"no limit of requests is set", 50, 0,  900, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct web_life life = {
            .until_us = 100, .requests = cases[i].requests, .requests_max = cases[i].requests_max};
        cr_expect_eq(web_life_spent(&life, cases[i].now_us, rss), cases[i].spent, "%s",
                     cases[i].about);
    }
}

Test(worker, leaves_when_it_has_grown)
{
    struct web_life life = {.until_us = INT64_MAX, .rss_max_bytes = 1000};

    resident = 1000;
    for (int i = 0; i < 199; i++)
        cr_assert(!web_life_spent(&life, 0, rss), "at the limit, request %d", i);
    cr_expect_eq(looks, 1, "memory is looked at every 100 requests");
    resident = 1001;
    cr_expect(web_life_spent(&life, 0, rss), "one above, at the 200th");
}

Test(worker, knows_its_resident_memory)
{
    const int64_t bytes = web_rss_bytes();
    cr_expect(bytes > 100000 && bytes % 4096 == 0, "%lld", (long long)bytes);
}
