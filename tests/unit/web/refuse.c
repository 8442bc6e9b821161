/* tests/unit/web/refuse.c: the JSON error body of 05 section 2.2. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "rig.h"

#include "core/banned.h"

static const struct {
    enum fault_reason reason;
    const char *detail;
    unsigned retry_after_s;
    unsigned status;
    const char *error;
    const char *message; /* NULL: the detail */
    const char *code;
    const char *retry_after;
} cases[] = {
    {INPUT_MALFORMED,      "Malformed path",    0,  400, "Bad Request",              NULL,                              "malformed",       NULL},
    {INPUT_INVALID,        "name is empty",     0,  400, "Bad Request",              NULL,                              "invalid",         NULL},
    {INPUT_TOO_LARGE,      "too long",          0,  413, "Request Entity Too Large", NULL,                              "too_large",       NULL},
    {HTTPS_REQUIRED,       "HTTPS required",    0,  400, "Bad Request",              NULL,                              "malformed",       NULL},
    {EDGE_KEY_WRONG,       "misrouted request", 0,  403, "Forbidden",                NULL,                              "forbidden",       NULL},
    {SURFACE_WRONG,        "x",                 0,  500, "Internal Server Error",    "misrouted request",               "internal",        NULL},
    {METHOD_UNKNOWN,       "no",                0,  501, "Not Implemented",          NULL,                              "method_unknown",  NULL},
    {ROUTE_UNKNOWN,        "no such resource",  0,  404, "Not Found",                NULL,                              "not_found",       NULL},
    {UNAUTHENTICATED,      "Invalid API key",   0,  401, "Invalid API key",          NULL,                              "unauthenticated", NULL},
    {FORBIDDEN,            "missing x.read",    0,  403, "missing x.read",           NULL,                              "forbidden",       NULL},
    {RATE_LIMITED,         "slow down",         7,  429, "slow down",                NULL,                              "rate_limited",    "7" },
    {RATE_LIMITED,         "slow down",         0,  429, "slow down",                NULL,                              "rate_limited",    "1" },
    {DATABASE_DUPLICATE,   "name is taken",     0,  409, "Conflict",                 NULL,                              "duplicate",       NULL},
    {DATABASE_UNREACHABLE, "host db7",          0,  503, "Service Unavailable",
     "the service is not available at the moment",                                                                      "unavailable",     "5" },
    {DATABASE_BUSY,        "host db7",          30, 503, "Service Unavailable",
     "the service is not available at the moment",                                                                      "unavailable",     "30"},
    {DATABASE_FAILED,      "relation x",        0,  500, "Internal Server Error",
     "the request could not be served",                                                                                 "internal",        NULL},
    {INTERNAL,             "file /x",           0,  500, "Internal Server Error",    "the request could not be served",
     "internal",                                                                                                                           NULL},
};

Test(refuse, tells_the_caller_his_part_and_no_more)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        struct fault fault = {0};
        rig_serve(rig);
        fault_set(&fault, cases[i].reason, NULL, "%s", cases[i].detail);
        fault_cause(&fault, "for the log alone");
        fault.retry_after_s = cases[i].retry_after_s;
        web_refuse_json(rig->request, &rig->response, &fault);

        const char *slug = fault_reason_slug(cases[i].reason);
        const char *message = cases[i].message ? cases[i].message : cases[i].detail;
        const char *body = mem_printf(
            scratch,
            "{\"error\":\"%s\",\"message\":\"%s\",\"request_id\":\"%s\",\"code\":\"%s\"}\n",
            cases[i].error, message, rig->request->request_id, cases[i].code);
        cr_expect_eq(rig->response.status, cases[i].status, "%s", slug);
        cr_expect(bytes_equal(rig->response.body, bytes_of_text(body)), "%s: %s", slug, body);
        cr_expect(cases[i].retry_after
                      ? text_equal(rig_header(rig, "Retry-After"), cases[i].retry_after)
                      : !rig_header(rig, "Retry-After"),
                  "%s", slug);
    }
}

Test(refuse, names_the_field)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    struct fault fault = {0};

    rig_serve(rig);
    fault_set(&fault, INPUT_INVALID, "owner_id", "owner_id: no such owner");
    web_refuse_json(rig->request, &rig->response, &fault);
    AUTO(json_t) *body = json_loadb((const char *)rig->response.body.data, rig->response.body.size,
                                    0, NULL);
    const json_t *first = json_array_get(json_object_get(body, "details"), 0);
    cr_expect_str_eq(json_text_at(first, "field"), "owner_id");
    cr_expect_str_eq(json_text_at(first, "problem"), "owner_id: no such owner");
}
