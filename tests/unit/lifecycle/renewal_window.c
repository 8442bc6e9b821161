/* tests/unit/lifecycle/renewal_window.c: each rule of 01 section 12, and where one ends and the
 * next begins. */
#include <criterion/criterion.h>

#include "core/macro.h"
#include "lifecycle/renewal_window.h"

#include "core/banned.h"

#define DAY INT64_C(86400)
#define NOW INT64_C(1800000000)

/* not_before, not_after, start and end are relative to NOW. */
static const struct {
    const char *about;
    struct renewal_facts facts;
    struct renewal_window window;
} cases[] = {
    {"a policy of 30 days and 90 to live",  {0, 90 * DAY, 30, false},           {60 * DAY, 75 * DAY}          },
    {"the same when it has begun",          {-61 * DAY, 29 * DAY, 30, false},   {-1 * DAY, 14 * DAY}          },
    {"the same when it is over",            {-80 * DAY, 10 * DAY, 30, false},   {-20 * DAY, -5 * DAY}         },
    {"a policy of one day",                 {0, 90 * DAY, 1, false},            {89 * DAY, 90 * DAY - DAY / 2}},
    {"a policy just below two thirds",      {0, 90 * DAY + 1, 60, false},       {30 * DAY + 1, 60 * DAY + 1}  },
    {"a policy of two thirds",              {0, 90 * DAY, 60, false},           {60 * DAY, 80 * DAY}          },
    {"a policy longer than the life",       {0, 9 * DAY, 30, false},            {6 * DAY, 8 * DAY}            },
    {"a policy of all that can be written", {0, 90 * DAY, 365, false},          {60 * DAY, 80 * DAY}          },
    {"no policy",                           {0, 90 * DAY, 0, false},            {60 * DAY, 80 * DAY}          },
    {"no policy and an hour",               {0, 3600, 0, false},                {2400, 3200}                  },
    {"three seconds",                       {0, 3, 0, false},                   {2, 3}                        },
    {"two seconds",                         {0, 2, 0, false},                   {2 - DAY, 2}                  },
    {"no life",                             {5, 5, 30, false},                  {5 - DAY, 5}                  },
    {"an end before its begin",             {9, 5, 0, false},                   {5 - DAY, 5}                  },
    {"its last second",                     {-90 * DAY, 0, 30, false},          {-30 * DAY, -15 * DAY}        },
    {"a second past it",                    {-90 * DAY, -1, 30, false},         {0, DAY}                      },
    {"long past, without a policy",         {-900 * DAY, -800 * DAY, 0, false}, {0, DAY}                      },
    {"at once",                             {0, 90 * DAY, 30, true},            {-3600, -1800}                },
    {"at once, though it has expired",      {-90 * DAY, -1, 30, true},          {-3600, -1800}                },
    {"at once, though it has no life",      {5, 5, 0, true},                    {-3600, -1800}                },
};

Test(renewal_window, follows_the_table)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct renewal_facts facts = cases[i].facts;

        facts.not_before += NOW;
        facts.not_after += NOW;
        const struct renewal_window window = renewal_window(&facts, NOW);

        cr_expect_eq(window.start - NOW, cases[i].window.start, "%s: starts at %lld",
                     cases[i].about, (long long)(window.start - NOW));
        cr_expect_eq(window.end - NOW, cases[i].window.end, "%s: ends at %lld", cases[i].about,
                     (long long)(window.end - NOW));
        cr_expect_lt(window.start, window.end, "%s", cases[i].about);
    }
}

/* The example of 01 section 12: to 2026-06-30, 30 days. */
Test(renewal_window, of_the_specification)
{
    const struct renewal_facts facts = {1774915200, 1782777600, 30, false};
    const struct renewal_window window = renewal_window(&facts, 1774915200);

    cr_expect_eq(window.start, 1780185600, "2026-05-31");
    cr_expect_eq(window.end, 1781481600, "2026-06-15");
}

/* Whatever the life and the policy, the window is none that goes backwards. */
Test(renewal_window, start_is_before_end)
{
    for (int64_t life = -3; life < 400 * DAY; life = life < 300 ? life + 1 : life * 5 / 4)
        for (int64_t days = 0; days <= 365; days++) {
            const struct renewal_facts facts = {NOW, NOW + life, days, false};
            const struct renewal_window window = renewal_window(&facts, NOW);

            cr_assert_lt(window.start, window.end, "%lld s, %lld days", (long long)life,
                         (long long)days);
        }
}
