/* tests/unit/core/clock.c: the clock that tests can set, and RFC 3339 both ways. */

#include "core/clock.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/text.h"

#include "core/banned.h"

static const struct {
    const char *text;
    int64_t unix_s;
} instants[] = {
    {"1970-01-01T00:00:00Z", 0           },
    {"1969-12-31T23:59:59Z", -1          },
    {"2000-02-29T12:00:00Z", 951825600   },
    {"2038-01-19T03:14:08Z", 2147483648  },
    {"2026-11-20T17:05:00Z", 1795194300  },
    {"2100-03-01T00:00:00Z", 4107542400  },
    {"0001-01-01T00:00:00Z", -62135596800},
    {"9999-12-31T23:59:59Z", 253402300799},
};

Test(clock, instants_in_both_directions)
{
    for (size_t i = 0; i < ARRAY_SIZE(instants); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        int64_t read = 42;

        cr_expect_str_eq(time_to_rfc3339(scratch, instants[i].unix_s), instants[i].text);
        cr_expect(time_from_rfc3339(instants[i].text, &read), "%s", instants[i].text);
        cr_expect_eq(read, instants[i].unix_s, "%s", instants[i].text);
    }
}

Test(clock, every_year_begins_and_ends_as_it_is_read)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (int64_t at = -62135596800; at <= 253402300799; at += 86400LL * 173 + 3607) {
        int64_t read = 0;
        char *text = time_to_rfc3339(scratch, at);
        cr_assert(time_from_rfc3339(text, &read) && read == at, "%s", text);
        talloc_free(text);
    }
}

static const struct {
    const char *about, *text;
    int64_t unix_s;
} accepted[] = {
    {"offset east",                 "1970-01-01T01:30:00+01:30",      0        },
    {"offset west",                 "1969-12-31T18:00:00-06:00",      0        },
    {"unknown local offset",        "1970-01-01T00:00:00-00:00",      0        },
    {"fraction dropped",            "1970-01-01T00:00:00.999999999Z", 0        },
    {"small letters (section 5.6)", "1970-01-01t00:00:00z",           0        },
    {"leap second of section 5.8",  "1990-12-31T23:59:60Z",           662688000},
    {"the same with an offset",     "1990-12-31T15:59:60-08:00",      662688000},
};

Test(clock, rfc3339_accepts)
{
    for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
        int64_t read = 42;
        cr_expect(time_from_rfc3339(accepted[i].text, &read), "%s", accepted[i].about);
        cr_expect_eq(read, accepted[i].unix_s, "%s", accepted[i].about);
    }
}

static const struct {
    const char *about, *text;
} refused[] = {
    {"nothing",                        ""                          },
    {"a date alone",                   "1970-01-01"                },
    {"no zone",                        "1970-01-01T00:00:00"       },
    {"a space for the T",              "1970-01-01 00:00:00Z"      },
    {"something after it",             "1970-01-01T00:00:00Z "     },
    {"something after the offset",     "1970-01-01T00:00:00+01:000"},
    {"offset without colon",           "1970-01-01T00:00:00+0100"  },
    {"offset of 24 hours",             "1970-01-01T00:00:00+24:00" },
    {"offset of 60 minutes",           "1970-01-01T00:00:00+00:60" },
    {"dot without digits",             "1970-01-01T00:00:00.Z"     },
    {"year 0",                         "0000-01-01T00:00:00Z"      },
    {"month 0",                        "1970-00-01T00:00:00Z"      },
    {"month 13",                       "1970-13-01T00:00:00Z"      },
    {"day 0",                          "1970-01-00T00:00:00Z"      },
    {"April 31st",                     "1970-04-31T00:00:00Z"      },
    {"February 29th of a common year", "2023-02-29T00:00:00Z"      },
    {"February 29th of 1900",          "1900-02-29T00:00:00Z"      },
    {"hour 24",                        "1970-01-01T24:00:00Z"      },
    {"minute 60",                      "1970-01-01T00:60:00Z"      },
    {"second 61",                      "1970-01-01T23:59:61Z"      },
    {"second 60 in the afternoon",     "1970-01-01T15:59:60Z"      },
    {"before the first year",          "0001-01-01T00:00:00+00:01" },
    {"after the last year",            "9999-12-31T23:59:59-00:01" },
    {"sign in a field",                "1970-01-01T-1:00:00Z"      },
    {"five-digit year",                "19700-01-01T00:00:00Z"     },
};

Test(clock, rfc3339_refuses)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        int64_t read = 42;
        cr_expect_not(time_from_rfc3339(refused[i].text, &read), "%s", refused[i].about);
        cr_expect_eq(read, 42, "%s", refused[i].about);
    }
    cr_expect_not(time_from_rfc3339(NULL, &(int64_t){0}));
}

Test(clock, what_has_no_four_digit_year_is_shown_as_the_nearest)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(time_to_rfc3339(scratch, 253402300800), "9999-12-31T23:59:59Z");
    cr_expect_str_eq(time_to_rfc3339(scratch, INT64_MAX), "9999-12-31T23:59:59Z");
    cr_expect_str_eq(time_to_rfc3339(scratch, -62135596801), "0001-01-01T00:00:00Z");
    cr_expect_str_eq(time_to_rfc3339(scratch, INT64_MIN), "0001-01-01T00:00:00Z");
}

Test(clock, shift_moves_unix_time_and_nothing_else)
{
    const int64_t before_s = clock_now_s();
    const int64_t monotonic_us = clock_monotonic_us();

    clock_shift_s(86400);
    const int64_t moved = clock_now_s() - before_s;
    cr_expect(moved >= 86400 && moved < 86460, "%lld", (long long)moved);
    cr_expect(clock_now_us() / 1000000 - clock_now_s() <= 1);
    cr_expect_lt(clock_monotonic_us() - monotonic_us, 60000000);
    clock_shift_s(0);
    cr_expect_lt(clock_now_s() - before_s, 60);
}
