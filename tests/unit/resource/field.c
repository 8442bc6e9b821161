/* tests/unit/resource/field.c: bodies held against fields, and merged in each of three manners. */
#include "resource/field.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/memory.h"

#include "core/banned.h"

static void check_even(const struct resource_field *field, const json_t *value,
                       struct fault_list *problems)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (json_integer_value(json_array_get(value, i)) % 2 != 0)
            fault_list_add(problems, INPUT_INVALID, field->name, "%s[%zu] is odd", field->name, i);
}

static const struct resource_field fields[] = {
    FIELD("name", NAME, .flags = FIELD_REQUIRED, .most = 5, .label = "thing name"),
    FIELD("note", NOTE, .most = 8, .fallback = "\"\""),
    FIELD("kind", CHOICE, .flags = FIELD_REQUIRED | FIELD_FIXED, .choices = "round|square",
          .fallback = "\"round\""),
    FIELD("owner", ID, .flags = FIELD_NULLABLE),
    FIELD("on", BOOLEAN, .fallback = "true"),
    FIELD("days", INTEGER, .flags = FIELD_ZERO_IS_ABSENT, .least = 1, .most = 365,
          .fallback = "30"),
    FIELD("ttl", INTEGER, .most = INT32_MAX, .fallback = "0"),
    FIELD("tags", TEXTS, .most = 2, .fallback = "[]"),
    FIELD("evens", ARRAY, .check = check_even, .fallback = "[]"),
    FIELD("config", OBJECT, .flags = FIELD_NULLABLE | FIELD_PRIVATE),
};

static const struct resource_write things = {
    .table = "things",
    .noun = "thing",
    .fields = fields,
    .field_count = ARRAY_SIZE(fields),
};

static json_t *read_json(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    cr_assert(json, "%s", text);
    return json;
}

static const struct {
    const char *about;
    const char *body;
    const char *problem; /* the only one; NULL: good */
} cases[] = {
    {"nothing required is missing",  "{\"name\":\"a\"}",                                        NULL                                    },
    {"a required member is missing", "{}",                                                      "thing name is required"                },
    {"it is null",                   "{\"name\":null}",                                         "thing name is required"                },
    {"it is empty",                  "{\"name\":\"\"}",                                         "thing name is required"                },
    {"another type",                 "{\"name\":1}",                                            "thing name must be a string"           },
    {"characters count, not octets", "{\"name\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}",
     NULL                                                                                                                               },
    {"a character too many",         "{\"name\":\"abcdef\"}",                                   "thing name exceeds 5 characters"       },
    {"white space before",           "{\"name\":\" a\"}",
     "thing name must not begin or end with white space"                                                                                },
    {"white space behind",           "{\"name\":\"a \"}",
     "thing name must not begin or end with white space"                                                                                },
    {"a control character",          "{\"name\":\"a\\u001fb\"}",                                "thing name contains control characters"},
    {"DEL",                          "{\"name\":\"a\x7f\"}",                                    "thing name contains control characters"},
    {"a note has lines",             "{\"name\":\"a\",\"note\":\"a\\n\\tb\"}",                  NULL                                    },
    {"but no carriage return",       "{\"name\":\"a\",\"note\":\"a\\r\"}",
     "note contains control characters"                                                                                                 },
    {"a choice",                     "{\"name\":\"a\",\"kind\":\"square\"}",                    NULL                                    },
    {"a choice in other letters",    "{\"name\":\"a\",\"kind\":\"Square\"}",
     "kind must be \"round\" or \"square\""                                                                                             },
    {"an id",                        "{\"name\":\"a\",\"owner\":\"o-1\"}",                      NULL                                    },
    {"no id",                        "{\"name\":\"a\",\"owner\":\"../x\"}",                     "owner: \"../x\" is not an id"          },
    {"one is not true",              "{\"name\":\"a\",\"on\":1}",                               "on must be true or false"              },
    {"the least",                    "{\"name\":\"a\",\"days\":1}",                             NULL                                    },
    {"the most",                     "{\"name\":\"a\",\"days\":365}",                           NULL                                    },
    {"more than the most",           "{\"name\":\"a\",\"days\":366}",
     "days must be between 1 and 365, got 366"                                                                                          },
    {"no real number",               "{\"name\":\"a\",\"days\":1.0}",                           "days must be an integer"               },
    {"negative",                     "{\"name\":\"a\",\"ttl\":-5}",                             "ttl cannot be negative"                },
    {"two items",                    "{\"name\":\"a\",\"tags\":[\"x\",\"y\"]}",                 NULL                                    },
    {"three items",                  "{\"name\":\"a\",\"tags\":[\"x\",\"y\",\"z\"]}",
     "tags has 3 items; at most 2 are allowed"                                                                                          },
    {"an item of another type",      "{\"name\":\"a\",\"tags\":[\"x\",null]}",
     "tags[1] must be a string"                                                                                                         },
    {"an item with a line feed",     "{\"name\":\"a\",\"tags\":[\"x\\n\"]}",
     "tags[0] contains control characters"                                                                                              },
    {"the field's own check",        "{\"name\":\"a\",\"evens\":[2,3]}",                        "evens[1] is odd"                       },
    {"an object",                    "{\"name\":\"a\",\"config\":{\"a\":[]}}",                  NULL                                    },
    {"an array is none",             "{\"name\":\"a\",\"config\":[]}",                          "config must be an object"              },
};

Test(field, is_judged)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fault_list problems = {0};
        AUTO(json_t) *body = read_json(cases[i].body);
        AUTO(json_t) *row = fields_merge(&things, BODY_NEW, NULL, body, &problems);

        cr_expect_eq(problems.count, cases[i].problem ? 1 : 0, "%s: %zu problems, %s",
                     cases[i].about, problems.count, problems.items[0].detail);
        if (cases[i].problem)
            cr_expect_str_eq(problems.items[0].detail, cases[i].problem, "%s", cases[i].about);
        cr_expect_eq(json_object_size(row), ARRAY_SIZE(fields), "%s", cases[i].about);
    }
}

Test(field, tells_all_that_fail)
{
    struct fault_list problems = {0};
    AUTO(json_t) *body = read_json("{\"name\":7,\"days\":-1,\"evens\":[1,2,3],\"tags\":{}}");
    AUTO(json_t) *row = fields_merge(&things, BODY_NEW, NULL, body, &problems);

    cr_assert_eq(problems.count, 5);
    cr_expect_str_eq(problems.items[0].field, "name");
    cr_expect_str_eq(problems.items[1].field, "days");
    cr_expect_str_eq(problems.items[2].field, "tags");
    cr_expect_str_eq(problems.items[4].detail, "evens[2] is odd");
    cr_expect(json_is_null(json_object_get(row, "days")), "what was refused is not in the row");
}

#define STORED                                                                                     \
    "{\"name\":\"old\",\"note\":\"n\",\"kind\":\"square\",\"owner\":\"o-1\",\"on\":false,"         \
    "\"days\":9,\"ttl\":5,\"tags\":[\"t\"],\"evens\":[2],\"config\":{\"a\":1,\"b\":{\"c\":2}}}"

static const struct {
    const char *about;
    enum body_manner manner;
    const char *body;
    const char *member;
    const char *value;
} merges[] = {
    {"POST: silence is the fallback",                      BODY_NEW,   "{\"name\":\"a\"}",                          "days",   "30"        },
    {"POST: null is silence",                              BODY_NEW,   "{\"name\":\"a\",\"on\":null}",              "on",     "true"      },
    {"POST: 0 is silence where the field says so",         BODY_NEW,   "{\"name\":\"a\",\"days\":0}",               "days",
     "30"                                                                                                                                 },
    {"POST: without a fallback it is null",                BODY_NEW,   "{\"name\":\"a\"}",                          "config", "null"      },
    {"POST: an empty id is none",                          BODY_NEW,   "{\"name\":\"a\",\"owner\":\"\"}",           "owner",  "null"      },
    {"PUT: silence keeps",                                 BODY_PUT,   "{}",                                        "days",   "9"         },
    {"PUT: null keeps",                                    BODY_PUT,   "{\"owner\":null}",                          "owner",  "\"o-1\""   },
    {"PUT: an empty required text keeps",                  BODY_PUT,   "{\"name\":\"\"}",                           "name",   "\"old\""   },
    {"PUT: an empty optional text clears",                 BODY_PUT,   "{\"owner\":\"\"}",                          "owner",  "null"      },
    {"PUT: an empty note is empty",                        BODY_PUT,   "{\"note\":\"\"}",                           "note",   "\"\""      },
    {"PUT: an empty array replaces",                       BODY_PUT,   "{\"tags\":[]}",                             "tags",   "[]"        },
    {"PUT: an object replaces",                            BODY_PUT,   "{\"config\":{\"z\":1}}",                    "config", "{\"z\":1}" },
    {"PUT: what is fixed stays",                           BODY_PUT,   "{\"kind\":\"round\"}",                      "kind",   "\"square\""},
    {"PATCH: silence keeps",                               BODY_PATCH, "{}",                                        "ttl",    "5"         },
    {"PATCH: null clears",                                 BODY_PATCH, "{\"owner\":null}",                          "owner",  "null"      },
    {"PATCH: null where there is no NULL is the fallback", BODY_PATCH, "{\"on\":null}",                             "on",
     "true"                                                                                                                               },
    {"PATCH: an object merges",                            BODY_PATCH, "{\"config\":{\"a\":null,\"b\":{\"d\":3}}}", "config",
     "{\"b\":{\"c\":2,\"d\":3}}"                                                                                                          },
    {"PATCH: an array replaces",                           BODY_PATCH, "{\"evens\":[4]}",                           "evens",  "[4]"       },
};

Test(field, is_merged_in_three_manners)
{
    AUTO(json_t) *stored = read_json(STORED);

    for (size_t i = 0; i < ARRAY_SIZE(merges); i++) {
        struct fault_list problems = {0};
        AUTO(json_t) *body = read_json(merges[i].body);
        AUTO(json_t) *wanted = read_json(merges[i].value);
        AUTO(json_t) *row = fields_merge(&things, merges[i].manner,
                                         merges[i].manner == BODY_NEW ? NULL : stored, body,
                                         &problems);

        cr_expect_eq(problems.count, 0, "%s: %s", merges[i].about, problems.items[0].detail);
        cr_expect(json_equal(json_object_get(row, merges[i].member), wanted), "%s",
                  merges[i].about);
    }
}

Test(field, refuses_what_a_patch_must_not_clear)
{
    struct fault_list problems = {0};
    AUTO(json_t) *stored = read_json(STORED);
    AUTO(json_t) *body = read_json("{\"name\":null,\"days\":0}");
    AUTO(json_t) *row = fields_merge(&things, BODY_PATCH, stored, body, &problems);

    cr_assert(row);
    cr_assert_eq(problems.count, 2);
    cr_expect_str_eq(problems.items[0].detail, "thing name is required");
    cr_expect_str_eq(problems.items[1].detail, "days must be between 1 and 365, got 0");
}

/* RFC 7396 appendix A. */
static const struct {
    const char *target;
    const char *patch;
    const char *result;
} patches[] = {
    {"{\"a\":\"b\"}",             "{\"a\":\"c\"}",                    "{\"a\":\"c\"}"            },
    {"{\"a\":\"b\"}",             "{\"b\":\"c\"}",                    "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}",             "{\"a\":null}",                     "{}"                       },
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}",                     "{\"b\":\"c\"}"            },
    {"{\"a\":[\"b\"]}",           "{\"a\":\"c\"}",                    "{\"a\":\"c\"}"            },
    {"{\"a\":\"c\"}",             "{\"a\":[\"b\"]}",                  "{\"a\":[\"b\"]}"          },
    {"{\"a\":{\"b\":\"c\"}}",     "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"    },
    {"{\"a\":[{\"b\":\"c\"}]}",   "{\"a\":[1]}",                      "{\"a\":[1]}"              },
    {"[\"a\",\"b\"]",             "[\"c\",\"d\"]",                    "[\"c\",\"d\"]"            },
    {"{\"a\":\"b\"}",             "[\"c\"]",                          "[\"c\"]"                  },
    {"{\"a\":\"foo\"}",           "null",                             "null"                     },
    {"{\"a\":\"foo\"}",           "\"bar\"",                          "\"bar\""                  },
    {"{\"e\":null}",              "{\"a\":1}",                        "{\"e\":null,\"a\":1}"     },
    {"[1,2]",                     "{\"a\":\"b\",\"c\":null}",         "{\"a\":\"b\"}"            },
    {"{}",                        "{\"a\":{\"bb\":{\"ccc\":null}}}",  "{\"a\":{\"bb\":{}}}"      },
};

Test(field, patches_as_the_rfc_does)
{
    for (size_t i = 0; i < ARRAY_SIZE(patches); i++) {
        AUTO(json_t) *target = read_json(patches[i].target);
        AUTO(json_t) *patch = read_json(patches[i].patch);
        AUTO(json_t) *wanted = read_json(patches[i].result);
        AUTO(json_t) *merged = merge_patch(target, patch);

        cr_expect(json_equal(merged, wanted), "%s with %s", patches[i].target, patches[i].patch);
    }
}

Test(field, diff_names_what_changed_and_hides_what_is_private)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault_list problems = {0};
    AUTO(json_t) *stored = read_json(STORED);
    AUTO(json_t) *body = read_json("{\"days\":10,\"config\":{\"password\":\"x\"},\"note\":\"n\"}");
    AUTO(json_t) *row = fields_merge(&things, BODY_PUT, stored, body, &problems);
    AUTO(json_t) *diff = fields_diff(&things, stored, row);
    AUTO(json_t) *gone = fields_diff(&things, stored, NULL);

    cr_expect_str_eq(json_to_text(scratch, diff), "[{\"field\":\"days\",\"before\":9,\"after\":10},"
                                                  "{\"field\":\"config\"}]");
    cr_expect_eq(json_array_size(gone), ARRAY_SIZE(fields));
}
