/* tests/unit/web/query.c: query strings, whole and broken, and conditions of a request. */
#include "web/query.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "rig.h"
#include "web/condition.h"

#include "core/banned.h"

static const struct {
    const char *about;
    const char *text;
    const char *read; /* name=value lines; NULL: refused */
} queries[] = {
    {"nothing",                      "",                 ""            },
    {"one",                          "a=1",              "a=1\n"       },
    {"two",                          "a=1&b=2",          "a=1\nb=2\n"  },
    {"empty pairs are skipped",      "&&a=1&&",          "a=1\n"       },
    {"no equals sign",               "a",                "a=\n"        },
    {"an equals sign in the value",  "a=b=c",            "a=b=c\n"     },
    {"escapes and plus",             "tag.x=%41%26+%2b", "tag.x=A& +\n"},
    {"an escape in the name",        "%61=1",            "a=1\n"       },
    {"UTF-8",                        "q=%C3%A9",         "q=\xc3\xa9\n"},
    {"a name without a character",   "=1",               NULL          },
    {"twice the same",               "a=1&a=1",          NULL          },
    {"twice the same, once escaped", "a=1&%61=2",        NULL          },
    {"a cut escape",                 "a=%4",             NULL          },
    {"no hex",                       "a=%zz",            NULL          },
    {"NUL",                          "a=%00",            NULL          },
    {"a newline",                    "a=%0a",            NULL          },
    {"DEL",                          "a=%7f",            NULL          },
    {"invalid UTF-8",                "a=%ff",            NULL          },
    {"an overlong slash",            "a=%c0%af",         NULL          },
};

Test(query, has_one_reading)
{
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct query query = {.count = 77};
        struct fault fault = {0};
        const bool read = query_parse(ctx, queries[i].text, &query, &fault);

        cr_expect_eq(read, queries[i].read != NULL, "%s: %s", queries[i].about, fault.detail);
        cr_expect_eq(fault.reason, read ? REASON_NONE : INPUT_MALFORMED, "%s", queries[i].about);
        if (!read) {
            cr_expect_eq(query.count, 77, "%s: touched", queries[i].about);
            continue;
        }
        char *lines = mem_text(ctx, "");
        for (size_t j = 0; j < query.count; j++)
            lines = mem_append(lines, "%s=%s\n", query.items[j].name, query.items[j].value);
        cr_expect_str_eq(lines, queries[i].read, "%s", queries[i].about);
    }
}

Test(query, has_64_parameters_at_most)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    char *text = mem_text(ctx, "p0");
    struct query query;
    struct fault fault = {0};

    for (unsigned i = 1; i < QUERY_PARAMETERS_MAX; i++)
        text = mem_append(text, "&p%u", i);
    cr_expect(query_parse(ctx, text, &query, &fault), "%s", fault.detail);
    cr_expect_eq(query.count, QUERY_PARAMETERS_MAX);
    cr_expect_not(query_parse(ctx, mem_append(text, "&more"), &query, &fault));
}

Test(query, escapes_all_that_a_header_cannot_bear)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    char *text = query_append(mem_text(ctx, "/x"), "a", "1 2>\r\n");

    cr_expect_str_eq(query_append(text, "b\"", "\xc3\xa9-._~"),
                     "/x?a=1%202%3E%0D%0A&b%22=%C3%A9-._~");
}

static const struct {
    const char *about;
    const char *header;
    bool matches; /* the tag `x,y` */
} conditions[] = {
    {"no header",        NULL,                false},
    {"the tag",          "\"x,y\"",           true },
    {"weak",             "W/\"x,y\"",         true },
    {"second of two",    "\"a\" , W/\"x,y\"", true },
    {"anything",         "*",                 true },
    {"another",          "\"x\"",             false},
    {"no quotes",        "x,y",               false},
    {"no end",           "\"x,y",             false},
    {"a star in a list", "\"a\", *",          false},
    {"a quoted star",    "\"*\", \"a\"",      false},
    {"it alone",         "\"*\"",             false},
};

/* PostgreSQL takes no text that is not UTF-8, so such a tag would end in a 500. */
Test(condition, leaves_out_tags_that_are_none_of_ours)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct rig *rig = rig_new(ctx);

    rig_set(rig, "HTTP_IF_NONE_MATCH", "\"a\", \"\xff\", \"\xc3\xa9\", \"b\"");
    rig_serve(rig);
    const struct text_list tags = condition_none_match(rig->request, ctx);
    cr_assert_eq(tags.count, 2);
    cr_expect_str_eq(tags.items[0], "a");
    cr_expect_str_eq(tags.items[1], "b");
}

Test(condition, compares_weakly)
{
    for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct rig *rig = rig_new(ctx);

        rig_set(rig, "HTTP_IF_NONE_MATCH", conditions[i].header);
        rig_serve(rig);
        const struct text_list tags = condition_none_match(rig->request, ctx);
        cr_expect_eq(condition_matches(&tags, "x,y"), conditions[i].matches, "%s",
                     conditions[i].about);
    }
}

static const struct {
    const char *header;
    bool strict;
} preferences[] = {
    {NULL,                              false},
    {"handling=strict",                 true },
    {"return=minimal, Handling=STRICT", true },
    {"handling=\"strict\"",             true },
    {"handling=lenient",                false},
    {"handling=stricter",               false},
};

Test(condition, reads_the_preference)
{
    for (size_t i = 0; i < ARRAY_SIZE(preferences); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct rig *rig = rig_new(ctx);

        rig_set(rig, "HTTP_PREFER", preferences[i].header);
        rig_serve(rig);
        cr_expect_eq(preference_strict(rig->request), preferences[i].strict, "%s",
                     preferences[i].header);
    }
}
