/* tests/unit/core/json.c: JSON of strangers, whole and broken, and JSON of ours. */

#include "core/json.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define ONE(text) "{\"a\":" text "}"

/* What is said and where; NULL: must be read. */
static const struct {
    const char *text, *rule;
    int line, column;
} texts[] = {
    {"{}",                       NULL,                              0, 0 },
    {" {} \n",                   NULL,                              0, 0 },
    {ONE("\"[{[{\\\"[{\""),      NULL,                              0, 0 },
    {ONE("9223372036854775807"), NULL,                              0, 0 },
    {"",                         "the JSON text is incomplete",     1, 0 },
    {"{\"a\":",                  "the JSON text is incomplete",     1, 5 },
    {"hello",                    "not JSON (RFC 8259)",             1, 5 },
    {"{'a':1}",                  "not JSON (RFC 8259)",             1, 2 },
    {ONE("1,"),                  "not JSON (RFC 8259)",             1, 8 },
    {"{}\n x",                   "something follows the JSON text", 2, 2 },
    {ONE("1,\"a\":2"),           "a member name appears twice",     1, 10},
    {ONE("[{\"b\":1,\"b\":2}]"), "a member name appears twice",     1, 16},
    {ONE("\"\\u0000\""),         "U+0000 is not accepted",          1, 13},
    {"{\"\\u0000\":1}",          "U+0000 is not accepted",          1, 9 },
    {ONE("9223372036854775808"), "a number is out of range",        1, 24},
    {ONE("\"\xff\""),            "not UTF-8",                       1, 6 },
};

Test(json, says_what_is_wrong_and_where)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        AUTO(json_t) *read = json_parse_object(bytes_of_text(texts[i].text), JWS_MALFORMED, "body",
                                               &fault);

        cr_expect_eq(read != NULL, texts[i].rule == NULL, "%s: %s", texts[i].text, fault.detail);
        cr_expect_eq(fault.reason, read ? REASON_NONE : JWS_MALFORMED, "%s", texts[i].text);
        if (!read)
            cr_expect_str_eq(fault.detail,
                             mem_printf(scratch, "body: %s at line %d, column %d", texts[i].rule,
                                        texts[i].line, texts[i].column));
    }
}

Test(json, takes_objects_alone)
{
    static const char *const others[] = {"[]", "[{}]", "\"a\"", "1", "null", "true"};

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        struct fault fault = {0};

        cr_expect_null(json_parse_object(bytes_of_text(others[i]), JWS_MALFORMED, "body", &fault));
        cr_expect_str_eq(fault.detail, "body must be a JSON object", "%s", others[i]);
    }
}

Test(json, a_raw_nul_is_refused)
{
    struct fault fault = {0};
    const uint8_t inside[] = {'{', '"', 'a', 0, '"', ':', '1', '}'};
    const uint8_t behind[] = {'{', '}', 0};

    cr_expect_null(json_parse_object(BYTES_OF(inside), INPUT_MALFORMED, "body", &fault));
    cr_expect_null(json_parse_object(BYTES_OF(behind), INPUT_MALFORMED, "body", &fault));
    cr_expect_null(json_parse_object((struct bytes){0}, INPUT_MALFORMED, "body", &fault));
}

/* An object with arrays inside: depth levels in all. */
static char *nested(TALLOC_CTX *ctx, size_t depth)
{
    char *text = mem_text(ctx, "{\"a\":");

    for (size_t i = 1; i < depth; i++)
        text = mem_append(text, "[");
    if (depth == 1)
        text = mem_append(text, "1");
    for (size_t i = 1; i < depth; i++)
        text = mem_append(text, "]");
    return mem_append(text, "}");
}

Test(json, depth_of_32_is_the_last)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};

    for (size_t depth = 31; depth <= 33; depth++) {
        AUTO(json_t) *read = json_parse_object(bytes_of_text(nested(scratch, depth)),
                                               INPUT_MALFORMED, "body", &fault);
        cr_expect_eq(read != NULL, depth <= 32, "%zu", depth);
    }
    cr_expect_str_eq(fault.detail, "body: nesting deeper than 32 levels");
    cr_expect_eq(fault.reason, INPUT_MALFORMED);
}

static char *wide(TALLOC_CTX *ctx, size_t count)
{
    char *text = mem_array(ctx, char, count * 2 + 16);

    memcpy(text, "{\"a\":[", 6);
    for (size_t i = 0; i < count; i++)
        memcpy(text + 6 + 2 * i, "1,", 2);
    memcpy(text + 6 + 2 * count - 1, "]}", 2);
    return text;
}

Test(json, container_of_20000_is_the_last)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};

    for (size_t count = 19999; count <= 20001; count++) {
        AUTO(json_t) *read = json_parse_object(bytes_of_text(wide(scratch, count)), INPUT_MALFORMED,
                                               "body", &fault);
        cr_expect_eq(read != NULL, count <= 20000, "%zu", count);
        if (read)
            cr_expect_eq(json_array_size(json_object_get(read, "a")), count);
    }
    cr_expect_str_eq(fault.detail, "body: more than 20000 members in one container");
}

/* The limit is of each container, not of the text. */
Test(json, two_containers_of_20000_are_fine)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const char *one = wide(scratch, 15000);
    const char *text = mem_printf(scratch, "{\"x\":%s,\"y\":%s}", one, one);

    AUTO(json_t) *read = json_parse_object(bytes_of_text(text), INPUT_MALFORMED, "body", &fault);
    cr_expect_not_null(read, "%s", fault.detail);
}

struct sample {
    const char *name;
    bool flag;
    int64_t count;
    struct bytes csr;
    int64_t since_s;
    struct text_list contact;
    json_t *extra;
    json_t *rows;
};

static const struct member sample_members[] = {
    {"name",    MEMBER_TEXT,      REQUIRED, AT(sample, name)   },
    {"flag",    MEMBER_BOOLEAN,   OPTIONAL, AT(sample, flag)   },
    {"count",   MEMBER_INTEGER,   OPTIONAL, AT(sample, count)  },
    {"csr",     MEMBER_BASE64URL, OPTIONAL, AT(sample, csr)    },
    {"since",   MEMBER_RFC3339,   OPTIONAL, AT(sample, since_s)},
    {"contact", MEMBER_TEXTS,     OPTIONAL, AT(sample, contact)},
    {"extra",   MEMBER_OBJECT,    OPTIONAL, AT(sample, extra)  },
    {"rows",    MEMBER_ARRAY,     OPTIONAL, AT(sample, rows)   },
};

static json_t *object_of(const char *text)
{
    struct fault fault = {0};
    json_t *object = json_parse_object(bytes_of_text(text), INPUT_MALFORMED, "sample", &fault);

    cr_assert_not_null(object, "%s", fault.detail);
    return object;
}

Test(json, decodes_each_kind)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct sample sample = {0};
    struct fault fault = {0};
    AUTO(json_t) *object = object_of(
        "{\"name\":\"n\",\"flag\":true,\"count\":-5,\"csr\":\"Zm8\",\"other\":1,"
        "\"since\":\"1970-01-01T00:01:00Z\",\"contact\":[\"a\",\"b\"],\"extra\":{\"k\":1},"
        "\"rows\":[1,2,3]}");

    cr_assert(json_decode(scratch, object, sample_members, &sample, &fault), "%s", fault.detail);
    cr_expect_str_eq(sample.name, "n");
    cr_expect(sample.flag);
    cr_expect_eq(sample.count, -5);
    cr_expect(bytes_equal(sample.csr, bytes_of_text("fo")));
    cr_expect_eq(sample.since_s, 60);
    cr_expect_eq(sample.contact.count, 2);
    cr_expect_str_eq(sample.contact.items[1], "b");
    cr_expect_eq(json_object_size(sample.extra), 1);
    cr_expect_eq(json_array_size(sample.rows), 3);
}

Test(json, absent_and_null_members_leave_their_place_alone)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct sample sample = {.count = 7, .flag = true, .contact = {.count = 9}};
    struct fault fault = {0};
    AUTO(json_t) *object = object_of("{\"name\":\"n\",\"count\":null,\"contact\":null}");

    cr_assert(json_decode(scratch, object, sample_members, &sample, &fault), "%s", fault.detail);
    cr_expect_eq(sample.count, 7);
    cr_expect(sample.flag);
    cr_expect_eq(sample.contact.count, 9);
}

#define NAMED(member) "{\"name\":\"n\"," member "}"
#define NO_BASE64URL  "must be base64url without padding (RFC 7515 section 2)"

static const struct {
    const char *text, *field, *rule;
} wrong_members[] = {
    {"{}",                           "name",    "is required"                  },
    {"{\"name\":null}",              "name",    "is required"                  },
    {"{\"name\":1}",                 "name",    "must be a string"             },
    {NAMED("\"flag\":1"),            "flag",    "must be true or false"        },
    {NAMED("\"count\":1.0"),         "count",   "must be an integer"           },
    {NAMED("\"count\":\"1\""),       "count",   "must be an integer"           },
    {NAMED("\"csr\":\"Zg==\""),      "csr",     NO_BASE64URL                   },
    {NAMED("\"csr\":1"),             "csr",     NO_BASE64URL                   },
    {NAMED("\"since\":\"today\""),   "since",   "must be a time as in RFC 3339"},
    {NAMED("\"contact\":\"a\""),     "contact", "must be an array of strings"  },
    {NAMED("\"contact\":[\"a\",1]"), "contact", "must be an array of strings"  },
    {NAMED("\"extra\":[]"),          "extra",   "must be an object"            },
    {NAMED("\"rows\":{}"),           "rows",    "must be an array"             },
};

Test(json, a_refusal_names_the_member_and_leaves_nothing_behind)
{
    for (size_t i = 0; i < ARRAY_SIZE(wrong_members); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct sample sample = {.name = "untouched"};
        struct fault fault = {0};
        AUTO(json_t) *object = object_of(wrong_members[i].text);

        cr_expect_not(json_decode(scratch, object, sample_members, &sample, &fault), "%s",
                      wrong_members[i].text);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory", wrong_members[i].text);
        cr_expect_eq(fault.reason, INPUT_INVALID);
        cr_expect_str_eq(fault.field, wrong_members[i].field);
        cr_expect_str_eq(fault.detail, mem_printf(scratch, "%s %s", wrong_members[i].field,
                                                  wrong_members[i].rule));
        cr_expect_str_eq(sample.name, "untouched", "%s", wrong_members[i].text);
    }
}

Test(json, texts_come_out_in_order_and_as_they_are)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *object = json_object();
    json_t *list = json_array();

    json_set_text(object, "url", "https://a/b");
    json_set_text(object, "none", NULL);
    json_set_integer(object, "big", INT64_MIN);
    json_set_bool(object, "yes", true);
    json_add_text(list, "x\"");
    json_add_text(list, NULL);
    json_add_new(list, json_null());
    json_set_new(object, "list", list);
    json_set_text(object, "broken", "a\xff");
    cr_expect_str_eq(json_to_text(scratch, object),
                     "{\"url\":\"https://a/b\",\"big\":-9223372036854775808,\"yes\":true,"
                     "\"list\":[\"x\\\"\",null],\"broken\":\"a\xef\xbf\xbd\"}");
    cr_expect_str_eq(json_text_at(object, "url"), "https://a/b");
    cr_expect_null(json_text_at(object, "big"));
    cr_expect_null(json_text_at(object, "absent"));
}

Test(json, long_texts_come_out_whole)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *array = json_array();

    for (int i = 0; i < 5000; i++)
        json_add_text(array, "0123456789");
    const char *text = json_to_text(scratch, array);
    cr_expect_eq(strlen(text), 5000 * 13 + 1);
    AUTO(json_t) *again = json_loads(text, 0, NULL);
    cr_expect(json_equal(array, again));
}
