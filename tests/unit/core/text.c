/* tests/unit/core/text.c: small readers of text at their exact limits. */

#include "core/text.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

Test(text, comparisons_take_null_for_nothing)
{
    cr_expect(text_equal("a", "a"));
    cr_expect_not(text_equal("a", "A"));
    cr_expect_not(text_equal(NULL, NULL));
    cr_expect(text_equal_nocase("Content-Type", "content-tYPE"));
    cr_expect_not(text_equal_nocase("ab", "abc"));
    cr_expect_not(text_equal_nocase("abc", "ab"));
    cr_expect_not(text_equal_nocase("[", "{"), "only letters have a case");
    cr_expect_not(text_equal_nocase(NULL, NULL));
    cr_expect(text_starts("https://", "https"));
    cr_expect_not(text_starts("http", "https"));
    cr_expect_not(text_starts(NULL, ""));
    cr_expect(text_ends("a.pem", ".pem"));
    cr_expect_not(text_ends("pem", ".pem"));
    cr_expect_not(text_ends("a.pem", NULL));
}

Test(text, lower_and_trim)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(text_lower(scratch, "AZaz[\xc3\x84"), "azaz[\xc3\x84");
    cr_expect_null(text_lower(scratch, NULL));
    cr_expect_str_eq(text_trim(scratch, " \t\r\n\v\fa b\n"), "a b");
    cr_expect_str_eq(text_trim(scratch, " \n"), "");
    cr_expect_null(text_trim(scratch, NULL));
}

Test(text, quote_shows_what_is_safe)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(text_quote(scratch, "a b"), "\"a b\"");
    cr_expect_str_eq(text_quote(scratch, "\"\\\x1f\x7f\xff"), "\"\\\"\\\\\\x1f\\x7f\\xff\"");
    cr_expect_str_eq(text_quote_n(scratch, "a\0b", 3), "\"a\\x00b\"");
    cr_expect_str_eq(text_quote(scratch, NULL), "nothing");
    cr_expect_str_eq(text_quote(scratch, mem_printf(scratch, "%080d", 0)),
                     mem_printf(scratch, "\"%080d\"", 0), "80 bytes fit");
    cr_expect_str_eq(text_quote(scratch, mem_printf(scratch, "%081d", 0)),
                     mem_printf(scratch, "\"%080d…\"", 0), "81 do not");
    cr_expect_str_eq(text_quote(scratch, mem_printf(scratch, "%077d\x01", 0)),
                     mem_printf(scratch, "\"%077d…\"", 0), "no escape is cut in two");
}

static const struct {
    const char *text;
    int64_t least_value, most_value;
    bool read;
    int64_t value;
} integers[] = {
    {"0",                    INT64_MIN, INT64_MAX, true,  0        },
    {"-1",                   INT64_MIN, INT64_MAX, true,  -1       },
    {"-0",                   INT64_MIN, INT64_MAX, true,  0        },
    {"007",                  INT64_MIN, INT64_MAX, true,  7        },
    {"9223372036854775807",  INT64_MIN, INT64_MAX, true,  INT64_MAX},
    {"9223372036854775808",  INT64_MIN, INT64_MAX, false, 0        },
    {"-9223372036854775808", INT64_MIN, INT64_MAX, true,  INT64_MIN},
    {"-9223372036854775809", INT64_MIN, INT64_MAX, false, 0        },
    {"99999999999999999999", INT64_MIN, INT64_MAX, false, 0        },
    {"9",                    10,        20,        false, 0        },
    {"10",                   10,        20,        true,  10       },
    {"20",                   10,        20,        true,  20       },
    {"21",                   10,        20,        false, 0        },
    {"",                     INT64_MIN, INT64_MAX, false, 0        },
    {"-",                    INT64_MIN, INT64_MAX, false, 0        },
    {"+1",                   INT64_MIN, INT64_MAX, false, 0        },
    {"--1",                  INT64_MIN, INT64_MAX, false, 0        },
    {" 1",                   INT64_MIN, INT64_MAX, false, 0        },
    {"1 ",                   INT64_MIN, INT64_MAX, false, 0        },
    {"1.0",                  INT64_MIN, INT64_MAX, false, 0        },
    {"0x10",                 INT64_MIN, INT64_MAX, false, 0        },
    {NULL,                   INT64_MIN, INT64_MAX, false, 0        },
};

Test(text, integers)
{
    for (size_t i = 0; i < ARRAY_SIZE(integers); i++) {
        int64_t value = 4711;
        const bool read = text_to_integer(integers[i].text, integers[i].least_value,
                                          integers[i].most_value, &value);

        cr_expect_eq(read, integers[i].read, "%s", integers[i].text);
        cr_expect_eq(value, read ? integers[i].value : 4711, "%s", integers[i].text);
    }
}

/* The limit is Go's: 2^63 - 1 nanoseconds. `shown` is what the value is written as again. */
static const struct {
    const char *about, *text;
    int64_t ms; /* -1: refused */
    const char *shown;
} durations[] = {
    {"zero needs no unit",       "0",                     0,             "0"                 },
    {"zero with one",            "0s",                    0,             "0"                 },
    {"seconds",                  "90s",                   90000,         "1m30s"             },
    {"two units",                "1h30m",                 5400000,       "1h30m"             },
    {"minutes",                  "5m",                    300000,        "5m"                },
    {"milliseconds",             "250ms",                 250,           "250ms"             },
    {"one hour and one ms",      "1h1ms",                 3600001,       "1h1ms"             },
    {"fraction",                 "1.5h",                  5400000,       "1h30m"             },
    {"fraction of a second",     "1.25s",                 1250,          "1.25s"             },
    {"fraction alone",           ".5s",                   500,           "500ms"             },
    {"point without digits",     "1.s",                   1000,          "1s"                },
    {"microseconds, a whole ms", "3000us",                3,             "3ms"               },
    {"nanoseconds, a whole ms",  "1000000ns",             1,             "1ms"               },
    {"parts that sum to a ms",   "999us1000ns",           1,             "1ms"               },
    {"units in any order",       "1m1h",                  3660000,       "1h1m"              },
    {"ms and m are two units",   "1ms1m",                 60001,         "1m1ms"             },
    {"the last whole ms",        "2562047h47m16.854s",    9223372036854, "2562047h47m16.854s"},
    {"one ms later",             "2562047h47m16.855s",    -1,            NULL                },
    {"overflow in one part",     "2562048h",              -1,            NULL                },
    {"overflow of the digits",   "99999999999999999999h", -1,            NULL                },
    {"below a ms",               "1us",                   -1,            NULL                },
    {"below a ns",               "1.5ns",                 -1,            NULL                },
    {"a ms and a bit",           "1.0001ms",              -1,            NULL                },
    {"nothing",                  "",                      -1,            NULL                },
    {"no unit",                  "90",                    -1,            NULL                },
    {"no unit at the end",       "1h30",                  -1,            NULL                },
    {"unit alone",               "s",                     -1,            NULL                },
    {"point alone",              ".s",                    -1,            NULL                },
    {"days",                     "1d",                    -1,            NULL                },
    {"capital",                  "1H",                    -1,            NULL                },
    {"space",                    "1h 30m",                -1,            NULL                },
    {"space before",             " 1h",                   -1,            NULL                },
    {"negative",                 "-1h",                   -1,            NULL                },
    {"plus",                     "+1h",                   -1,            NULL                },
    {"two points",               "1.5.5s",                -1,            NULL                },
    {"no text",                  NULL,                    -1,            NULL                },
};

Test(text, durations_in_both_directions)
{
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        int64_t ms = 4711;
        const bool read = text_to_duration_ms(durations[i].text, &ms);

        cr_expect_eq(read, durations[i].ms >= 0, "%s", durations[i].about);
        cr_expect_eq(ms, read ? durations[i].ms : 4711, "%s: %lld", durations[i].about,
                     (long long)ms);
        if (read)
            cr_expect_str_eq(text_from_duration_ms(scratch, ms), durations[i].shown, "%s",
                             durations[i].about);
    }
}

Test(text, booleans)
{
    static const struct {
        const char *text;
        bool read, value;
    } words[] = {
        {"true",  true,  true },
        {"1",     true,  true },
        {"YES",   true,  true },
        {"On",    true,  true },
        {"false", true,  false},
        {"0",     true,  false},
        {"no",    true,  false},
        {"OFF",   true,  false},
        {"2",     false, false},
        {"t",     false, false},
        {"",      false, false},
        {" true", false, false},
        {NULL,    false, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        bool value = !words[i].value;
        cr_expect_eq(text_to_bool(words[i].text, &value), words[i].read, "%s", words[i].text);
        cr_expect_eq(value, words[i].read ? words[i].value : !words[i].value, "%s", words[i].text);
    }
}

Test(text, split_trims_and_drops_empty_items)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    static const struct {
        const char *text, *joined;
        size_t count;
    } lists[] = {
        {"",           "",      0},
        {" , ,",       "",      0},
        {"a",          "a",     1},
        {" a ,, b c,", "a|b c", 2},
        {NULL,         "",      0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct text_list list = text_split(scratch, lists[i].text, ',');
        cr_expect_eq(list.count, lists[i].count, "%s", lists[i].text);
        cr_expect_str_eq(text_list_join(scratch, &list, "|"), lists[i].joined);
    }
}

Test(text, lists)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list list = {0};

    cr_expect_not(text_list_has(&list, "a"));
    text_list_add(scratch, &list, "a");
    text_list_add(scratch, &list, "b");
    cr_expect(text_list_has(&list, "b"));
    cr_expect_not(text_list_has(&list, "B"));
    cr_expect_not(text_list_has(&list, NULL));
}

static const struct {
    const char *about, *text;
    bool valid;
} encodings[] = {
    {"ASCII",                      "abc",                  true },
    {"two bytes, least",           "\xc2\x80",             true },
    {"two bytes, overlong",        "\xc1\xbf",             false},
    {"three bytes, least",         "\xe0\xa0\x80",         true },
    {"three bytes, overlong",      "\xe0\x9f\xbf",         false},
    {"last before the surrogates", "\xed\x9f\xbf",         true },
    {"first surrogate",            "\xed\xa0\x80",         false},
    {"last surrogate",             "\xed\xbf\xbf",         false},
    {"first after the surrogates", "\xee\x80\x80",         true },
    {"four bytes, least",          "\xf0\x90\x80\x80",     true },
    {"four bytes, overlong",       "\xf0\x8f\xbf\xbf",     false},
    {"U+10FFFF",                   "\xf4\x8f\xbf\xbf",     true },
    {"U+110000",                   "\xf4\x90\x80\x80",     false},
    {"five bytes",                 "\xf8\x88\x80\x80\x80", false},
    {"continuation alone",         "\x80",                 false},
    {"cut off",                    "a\xe2\x80",            false},
    {"continuation missing",
     "\xe2\x80"
     "a",                                                  false},
};

Test(text, utf8)
{
    for (size_t i = 0; i < ARRAY_SIZE(encodings); i++)
        cr_expect_eq(text_utf8_valid(encodings[i].text, strlen(encodings[i].text)),
                     encodings[i].valid, "%s", encodings[i].about);
    cr_expect(text_utf8_valid("", 0));
    cr_expect(text_utf8_valid("a\0b", 3));
}

Test(text, repair_replaces_only_what_is_broken)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(text_utf8_repair(scratch, "a\xc3\xa4"), "a\xc3\xa4");
    cr_expect_str_eq(text_utf8_repair(scratch, "\xff\xc3"), "\xef\xbf\xbd\xef\xbf\xbd");
    cr_expect_str_eq(text_utf8_repair(scratch, "\xe2\x80z"), "\xef\xbf\xbd\xef\xbf\xbdz");
}
