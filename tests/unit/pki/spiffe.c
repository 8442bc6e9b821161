/* tests/unit/pki/spiffe.c: SPIFFE IDs, and patterns for them. */
#include "pki/spiffe.h"

#include <criterion/criterion.h>

#include "core/macro.h"

#include "core/banned.h"

static const struct {
    const char *text;
    bool id;
    bool pattern;
} texts[] = {
    {"spiffe://example.org",           true,  true },
    {"spiffe://example.org/a/b-c_d.E", true,  true },
    {"spiffe://a_b-c.1",               true,  true },
    {"spiffe://",                      false, false},
    {"spiffe:///a",                    false, false},
    {"spiffe:/example.org",            false, false},
    {"SPIFFE://example.org/a",         false, false},
    {"spiffe://Example.org/a",         false, false},
    {"spiffe://example.org/",          false, false},
    {"spiffe://example.org//a",        false, false},
    {"spiffe://example.org/a/",        false, false},
    {"spiffe://example.org/./a",       false, false},
    {"spiffe://example.org/../a",      false, false},
    {"spiffe://example.org/...",       true,  true },
    {"spiffe://example.org/%61",       false, false},
    {"spiffe://example.org/a?b",       false, false},
    {"spiffe://example.org/a#b",       false, false},
    {"spiffe://example.org:80/a",      false, false},
    {"spiffe://u@example.org/a",       false, false},
    {"spiffe://ex\xc3\xa4mple.org/a",  false, false},
    {"spiffe://example.org/*",         false, true },
    {"spiffe://example.org/a*b/*",     false, true },
    {"spiffe://example.org/**",        false, true },
    {"spiffe://example.org/a/**",      false, true },
    {"spiffe://example.org/**/a",      false, false},
    {"spiffe://example.org/a**",       false, false},
    {"spiffe://*/a",                   false, false},
    {"spiffe://*.example.org/a",       false, false},
    {"spiffe://**",                    false, false},
};

Test(spiffe, has_one_form)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cr_expect_eq(spiffe_id_problem(texts[i].text) == NULL, texts[i].id, "%s", texts[i].text);
        cr_expect_eq(spiffe_pattern_problem(texts[i].text) == NULL, texts[i].pattern, "%s: %s",
                     texts[i].text, spiffe_pattern_problem(texts[i].text));
    }
}

static const struct {
    const char *pattern;
    const char *id;
    bool matches;
} matches[] = {
    {"spiffe://d",        "spiffe://d",          true },
    {"spiffe://d",        "spiffe://d/a",        false},
    {"spiffe://d/a",      "spiffe://d",          false},
    {"spiffe://d/a",      "spiffe://d/a",        true },
    {"spiffe://d/a",      "spiffe://d/ab",       false},
    {"spiffe://d/*",      "spiffe://d/ab",       true },
    {"spiffe://d/*",      "spiffe://d/a/b",      false},
    {"spiffe://d/*",      "spiffe://d",          false},
    {"spiffe://d/*",      "spiffe://e/a",        false},
    {"spiffe://d/*/sa/*", "spiffe://d/x/sa/y",   true },
    {"spiffe://d/*/sa/*", "spiffe://d/x/y/sa/z", false},
    {"spiffe://d/*/sa/*", "spiffe://d/sa/y",     false},
    {"spiffe://d/**",     "spiffe://d/a/b/c",    true },
    {"spiffe://d/**",     "spiffe://d",          false},
    {"spiffe://d/a/**",   "spiffe://d/a",        false},
    {"spiffe://d/a/**",   "spiffe://d/ab/c",     false},
    {"spiffe://d/a/**",   "spiffe://d/a/b",      true },
    {"spiffe://d/n-*",    "spiffe://d/n-1",      true },
    {"spiffe://d/n-*",    "spiffe://d/n-",       false},
    {"spiffe://d/*-n",    "spiffe://d/a-n-n",    true },
    {"spiffe://d/*a*b",   "spiffe://d/xaxab",    true },
    {"spiffe://d/*a*b",   "spiffe://d/xaxac",    false},
    {"spiffe://d/*a*b",   "spiffe://d/xab",      false},
};

Test(spiffe, patterns_match_segment_by_segment)
{
    for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
        cr_expect_eq(spiffe_pattern_matches(matches[i].pattern, matches[i].id), matches[i].matches,
                     "%s with %s", matches[i].pattern, matches[i].id);
}
