/* tests/unit/web/body.c: which bodies are JSON for us. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/text.h"
#include "rig.h"
#include "web/body.h"

#include "core/banned.h"

static json_t *read_body(struct rig *rig, const char *type, const char *body, struct fault *fault)
{
    rig_ask(rig, "GET", "/thing");
    rig_set(rig, "CONTENT_TYPE", type);
    rig_serve(rig);
    rig->request->body = (struct bytes){(const uint8_t *)body, strlen(body)};
    return request_json(rig->request, fault);
}

Test(body, is_json_whatever_most_types_say)
{
    static const struct {
        const char *type;
        enum fault_reason refused;
    } cases[] = {
        {NULL,                                  REASON_NONE     },
        {"application/json",                    REASON_NONE     },
        {"application/x-www-form-urlencoded",   REASON_NONE     },
        {"application/json; charset=UTF-8",     REASON_NONE     },
        {"application/json; charset=\"utf-8\"", REASON_NONE     },
        {"application/json; charset=latin1",    MEDIA_TYPE_WRONG},
        {"Multipart/form-data; boundary=x",     MEDIA_TYPE_WRONG},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        AUTO(json_t) *parsed = read_body(rig_new(scratch), cases[i].type, "{\"a\":1}", &fault);
        cr_expect_eq(fault.reason, cases[i].refused, "%s", cases[i].type);
        cr_expect_eq(parsed != NULL, cases[i].refused == REASON_NONE, "%s", cases[i].type);
    }
}

Test(body, an_encoded_body_is_not_read)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    struct fault fault = {0};

    rig_set(rig, "HTTP_CONTENT_ENCODING", "gzip");
    AUTO(json_t) *parsed = read_body(rig, NULL, "{}", &fault);
    cr_expect_null(parsed);
    cr_expect_eq(fault.reason, MEDIA_TYPE_WRONG);
}

Test(body, names_what_is_wrong_and_where)
{
    static const char *const bodies[] = {"", "[]", "{\"a\":1,\"a\":2}", "{\"a\":1}x", "\"text\""};

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        AUTO(json_t) *parsed = read_body(rig_new(scratch), NULL, bodies[i], &fault);
        cr_expect_null(parsed, "%s", bodies[i]);
        cr_expect_eq(fault.reason, INPUT_MALFORMED, "%s", bodies[i]);
        cr_expect(strncmp(fault.detail, "Invalid request body", 20) == 0, "%s", fault.detail);
    }
}

Test(body, may_be_absent_where_the_route_says_so)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    struct fault fault = {0};

    rig_serve(rig);
    AUTO(json_t) *parsed = request_json_optional(rig->request, &fault);
    cr_expect(parsed && json_object_size(parsed) == 0);
}
