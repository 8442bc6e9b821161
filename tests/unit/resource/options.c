/* tests/unit/resource/options.c: what a query string asks of a list; cursors. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/memory.h"
#include "resource/resource_private.h"
#include "sample.h"

#include "core/banned.h"

static bool read_text(TALLOC_CTX *ctx, const char *text, bool strict, struct list_options *options,
                      struct fault *fault)
{
    struct query query;

    *fault = (struct fault){0};
    cr_assert(query_parse(ctx, text, &query, fault), "%s: %s", text, fault->detail);
    return list_options_read(ctx, &sample, &query, strict, options, fault);
}

/* In an order that a test can compare. */
static const char *told(TALLOC_CTX *ctx, const struct list_options *options)
{
    char *text = mem_printf(ctx, "%s %s %d/%d%s", sample.sorts[options->sort].name,
                            options->descending ? "down" : "up", (int)options->page,
                            (int)options->per_page, options->by_cursor ? " cursor" : "");

    for (size_t i = 0; i < sample.filter_count; i++)
        if (options->values[i])
            text = mem_append(text, " %s=%s", sample.filters[i].name, options->values[i]);
    if (options->sparse)
        text = mem_append(text, " fields=%s", text_list_join(ctx, &options->fields, ","));
    if (options->ignored.count > 0)
        text = mem_append(text, " ignored=%s", text_list_join(ctx, &options->ignored, ","));
    return text;
}

static const struct {
    const char *query;
    const char *lenient; /* NULL: refused */
    const char *strict;
    const char *field; /* of the strict refusal */
} cases[] = {
    {"",                                   "created_at up 1/50",                                  "created_at up 1/50",              NULL       },
    {"page=2&per_page=500",                "created_at up 2/500",                                 "created_at up 2/500",             NULL       },
    {"per_page=501",                       "created_at up 1/500",                                 NULL,                              "per_page" },
    {"per_page=0",                         "created_at up 1/50",                                  NULL,                              "per_page" },
    {"per_page=x&page=-1",                 "created_at up 1/50",                                  NULL,                              "page"     },
    {"page=99999999999999999999",          "created_at up 1/50",                                  NULL,                              "page"     },
    {"limit=7",                            "created_at up 1/7",                                   "created_at up 1/7",               NULL       },
    {"page=20000&per_page=50",             "created_at up 20000/50",                              "created_at up 20000/50",          NULL       },
    {"page=20001&per_page=50",             NULL,                                                  NULL,                              "page"     },
    {"sort=name",                          "name up 1/50",                                        "name up 1/50",                    NULL       },
    {"sort=-createdAt",                    "created_at down 1/50",                                "created_at down 1/50",            NULL       },
    {"sort=madeOn&sort_desc=TRUE",         "created_at down 1/50",                                "created_at down 1/50",            NULL       },
    {"sort=id",                            NULL,                                                  NULL,                              "sort"     },
    {"sort=name;DROP TABLE x",             NULL,                                                  NULL,                              "sort"     },
    {"sort=--name",                        NULL,                                                  NULL,                              "sort"     },
    {"sort_desc=maybe",                    NULL,                                                  NULL,                              "sort_desc"},
    {"state=ACTIVE",                       "created_at up 1/50 state=Active",                     "created_at up 1/50 state=Active", NULL       },
    {"state=",                             "created_at up 1/50",                                  "created_at up 1/50",              NULL       },
    {"state=Active|Gone",                  NULL,                                                  NULL,                              "state"    },
    {"owner=o-1",                          "created_at up 1/50 owner=o-1",                        "created_at up 1/50 owner=o-1",    NULL       },
    {"owner=o'1",                          NULL,                                                  NULL,                              "owner"    },
    {"before=2026-04-01",                  "created_at up 1/50 before=2026-04-01T00:00:00Z",
     "created_at up 1/50 before=2026-04-01T00:00:00Z",                                                                               NULL       },
    {"before=2026-04-01T02:00:00%2B02:00", "created_at up 1/50 before=2026-04-01T00:00:00Z",
     "created_at up 1/50 before=2026-04-01T00:00:00Z",                                                                               NULL       },
    {"before=2026-02-30",                  NULL,                                                  NULL,                              "before"   },
    {"before=tomorrow",                    NULL,                                                  NULL,                              "before"   },
    {"on=1",                               "created_at up 1/50 on=true",                          "created_at up 1/50 on=true",      NULL       },
    {"on=yes",                             NULL,                                                  NULL,                              "on"       },
    {"tag.a=1&tag.b=%22",                  "created_at up 1/50 tag={\"a\":\"1\",\"b\":\"\\\"\"}",
     "created_at up 1/50 tag={\"a\":\"1\",\"b\":\"\\\"\"}",                                                                          NULL       },
    {"tag.=1",                             NULL,                                                  NULL,                              "tag"      },
    {"tag=1",                              "created_at up 1/50 ignored=tag",                      NULL,                              "query"    },
    {"stauts=Active",                      "created_at up 1/50 ignored=stauts",                   NULL,                              "query"    },
    {"fields=name,madeOn,id,nonsense",     "created_at up 1/50 fields=id,name,created_at",        NULL,
     "fields"                                                                                                                                   },
    {"fields=createdAt",                   "created_at up 1/50 fields=id,created_at",
     "created_at up 1/50 fields=id,created_at",                                                                                      NULL       },
    {"cursor=",                            "created_at up 1/50 cursor",                           "created_at up 1/50 cursor",       NULL       },
    {"cursor=&page=20001",                 "created_at up 20001/50 cursor",                       "created_at up 20001/50 cursor",   NULL       },
};

Test(options, lenient_puts_right_and_strict_refuses)
{
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        const bool strict = i % 2 == 1;
        const char *query = cases[i / 2].query;
        const char *wanted = strict ? cases[i / 2].strict : cases[i / 2].lenient;
        struct list_options options = {.page = 77};
        struct fault fault;
        const bool read = read_text(ctx, query, strict, &options, &fault);

        cr_expect_eq(read, wanted != NULL, "%s, strict %d: %s", query, strict, fault.detail);
        if (!read) {
            cr_expect_eq(options.page, 77, "%s: touched", query);
            cr_expect_str_eq(fault.field, cases[i / 2].field, "%s", query);
        } else if (wanted) {
            cr_expect_str_eq(told(ctx, &options), wanted, "%s, strict %d", query, strict);
        }
    }
}

/* A cursor behind the row (key, o-9) of the list that `query` asks for. */
static const char *cursor_of(TALLOC_CTX *ctx, const char *query, const char *key)
{
    struct list_options options;
    struct fault fault;
    const struct cursor cursor = {.key = key, .id = "o-9", .total = 41};

    cr_assert(read_text(ctx, query, false, &options, &fault), "%s", fault.detail);
    return cursor_text(ctx, &sample, &options, &cursor);
}

static const char *const time_key = "2026-04-01T00:00:00.25Z";

Test(cursor, goes_there_and_back)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *cursor = cursor_of(ctx, "state=Active&sort=-name", "a \"quoted\" \xc3\xa9");
    struct list_options options;
    struct fault fault;

    cr_assert(read_text(ctx, mem_printf(ctx, "sort=-name&state=active&cursor=%s", cursor), true,
                        &options, &fault),
              "%s", fault.detail);
    cr_expect_str_eq(options.cursor.key, "a \"quoted\" \xc3\xa9");
    cr_expect_str_eq(options.cursor.id, "o-9");
    cr_expect_eq(options.cursor.total, 41);
}

static const struct {
    const char *about;
    const char *made;  /* the query that the cursor was made for */
    const char *asked; /* and the one that it is used with */
    bool good;
} questions[] = {
    {"the same",          "state=Active", "state=Active",           true },
    {"another page size", "state=Active", "state=Active&limit=3",   true },
    {"another filter",    "state=Active", "state=Gone",             false},
    {"no filter",         "state=Active", "",                       false},
    {"one more filter",   "state=Active", "state=Active&owner=o-1", false},
    {"another direction", "",             "sort_desc=1",            false},
};

Test(cursor, serves_its_own_question)
{
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        const char *cursor = cursor_of(ctx, questions[i].made, time_key);
        struct list_options options;
        struct fault fault;
        const bool read = read_text(ctx,
                                    mem_printf(ctx, "%s&cursor=%s", questions[i].asked, cursor),
                                    false, &options, &fault);

        cr_expect_eq(read, questions[i].good, "%s", questions[i].about);
        if (!read)
            cr_expect_str_eq(fault.detail, "cursor does not match this query");
    }
}

static const struct {
    const char *about;
    const char *json; /* @ stands for the right hash */
} damages[] = {
    {"no JSON",          "x"                                                          },
    {"an object",        "{}"                                                         },
    {"too few",          "[1,\"created_at\",\"asc\",\"infinity\",\"o-9\",4]"          },
    {"too many",         "[1,\"created_at\",\"asc\",\"infinity\",\"o-9\",4,\"@\",1]"  },
    {"another version",  "[2,\"created_at\",\"asc\",\"infinity\",\"o-9\",4,\"@\"]"    },
    {"a key of no time", "[1,\"created_at\",\"asc\",\"soon\",\"o-9\",4,\"@\"]"        },
    {"a time without Z",
     "[1,\"created_at\",\"asc\",\"2026-04-01T00:00:00+00:00\",\"o-9\",4,\"@\"]"       },
    {"a key of no text", "[1,\"created_at\",\"asc\",1,\"o-9\",4,\"@\"]"               },
    {"an id of no id",   "[1,\"created_at\",\"asc\",\"infinity\",\"o 9\",4,\"@\"]"    },
    {"a negative total", "[1,\"created_at\",\"asc\",\"infinity\",\"o-9\",-1,\"@\"]"   },
    {"a total of text",  "[1,\"created_at\",\"asc\",\"infinity\",\"o-9\",\"4\",\"@\"]"},
    {"NUL in the key",   "[1,\"created_at\",\"asc\",\"\\u0000\",\"o-9\",4,\"@\"]"     },
    {"trailing bytes",   "[1,\"created_at\",\"asc\",\"infinity\",\"o-9\",4,\"@\"]x"   },
};

/* The hash of a good cursor, so that only what is damaged is wrong. */
static const char *right_hash(TALLOC_CTX *ctx)
{
    struct bytes octets = {0};
    const char *cursor = cursor_of(ctx, "", time_key);

    cr_assert(base64url_to_bytes(ctx, cursor, strlen(cursor), &octets));
    return mem_text_n(ctx, (const char *)octets.data + octets.size - 18, 16);
}

static bool read_json(TALLOC_CTX *ctx, const char *json, struct fault *fault)
{
    struct list_options options;
    char *text = mem_text(ctx, "");

    for (; *json; json++)
        text = *json == '@' ? mem_append(text, "%s", right_hash(ctx))
                            : mem_append(text, "%c", *json);
    return read_text(ctx,
                     mem_printf(ctx, "cursor=%s", base64url_from_bytes(ctx, bytes_of_text(text))),
                     false, &options, fault);
}

Test(cursor, is_not_believed_when_damaged)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault;

    cr_assert(read_json(ctx, "[1,\"created_at\",\"asc\",\"infinity\",\"o-9\",4,\"@\"]", &fault),
              "the undamaged one: %s", fault.detail);
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        cr_expect_not(read_json(ctx, damages[i].json, &fault), "%s", damages[i].about);
        cr_expect_str_eq(fault.detail, "invalid cursor", "%s", damages[i].about);
        cr_expect_eq(fault.reason, INPUT_MALFORMED);
    }
    struct list_options options;
    cr_expect_not(read_text(ctx, "cursor=AA==", false, &options, &fault), "padding");
    cr_expect_not(read_text(ctx, "cursor=*", false, &options, &fault), "no base64url");
}
