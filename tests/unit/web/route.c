/* tests/unit/web/route.c: which row serves which path, and what Allow says. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "web/route.h"

#include "core/banned.h"

static const struct route routes[] = {
    {HEAD,         "/nonce",                 1, NULL, 0},
    {GET,          "/nonce",                 2, NULL, 0},
    {GET,          "/item/{item}",           3, NULL, 0},
    {PUT | DELETE, "/item/{item}",           4, NULL, 0},
    {POST,         "/item/bulk",             5, NULL, 0},
    {GET,          "/{kind}/first",          6, NULL, 0},
    {GET,          "/item/{item}/part/{nr}", 7, NULL, 0},
    {GET,          "/directory",             8, NULL, 0},
};

static const struct {
    const char *about;
    enum method method;
    const char *path;
    int access;               /* of the row that serves; 0: refused */
    enum fault_reason reason; /* of the refusal */
    const char *allow;
} cases[] = {
    {"a literal path",                  GET,     "/directory",     8, REASON_NONE,        NULL                },
    {"HEAD where only GET is declared", HEAD,    "/directory",     8, REASON_NONE,        NULL                },
    {"HEAD with a row of its own",      HEAD,    "/nonce",         1, REASON_NONE,        NULL                },
    {"GET beside that row",             GET,     "/nonce",         2, REASON_NONE,        NULL                },
    {"a captured segment",              GET,     "/item/x",        3, REASON_NONE,        NULL                },
    {"a second row of one pattern",     DELETE,  "/item/x",        4, REASON_NONE,        NULL                },
    {"a literal beats a captured one",  POST,    "/item/bulk",     5, REASON_NONE,        NULL                },
    {"the earlier literal beats",       GET,     "/item/first",    3, REASON_NONE,        NULL                },
    {"the first segment is captured",   GET,     "/other/first",   6, REASON_NONE,        NULL                },
    {"two captured segments",           GET,     "/item/x/part/7", 7, REASON_NONE,        NULL                },
    {"the literal row owns its path",   GET,     "/item/bulk",     0, METHOD_NOT_ALLOWED, "OPTIONS, POST"     },
    {"Allow joins the pattern's rows",  POST,    "/item/x",        0, METHOD_NOT_ALLOWED,
     "DELETE, GET, HEAD, OPTIONS, PUT"                                                                        },
    {"OPTIONS has no row",              OPTIONS, "/directory",     0, METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS"},
    {"an unknown path",                 GET,     "/unknown",       0, ROUTE_UNKNOWN,      NULL                },
    {"a longer path",                   GET,     "/directory/x",   0, ROUTE_UNKNOWN,      NULL                },
    {"a shorter path",                  GET,     "/item",          0, ROUTE_UNKNOWN,      NULL                },
    {"a literal's beginning",           GET,     "/direct",        0, ROUTE_UNKNOWN,      NULL                },
    {"a literal and more",              GET,     "/directoryx",    0, ROUTE_UNKNOWN,      NULL                },
    {"letters have their case",         GET,     "/Directory",     0, ROUTE_UNKNOWN,      NULL                },
};

static struct request *request_for(TALLOC_CTX *ctx, enum method method, const char *path)
{
    struct request *request = mem_new(ctx, struct request);
    struct fault fault = {0};

    request->method = method;
    request->path = path;
    cr_assert(path_split(request, &fault), "%s", path);
    return request;
}

Test(route, serves_by_method_and_most_particular_pattern)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct request *request = request_for(scratch, cases[i].method, cases[i].path);
        const char *allow = NULL;
        struct fault fault = {0};
        const bool found = route_find(request, routes, ARRAY_SIZE(routes), &allow, &fault);

        cr_expect_eq(found, cases[i].access != 0, "%s", cases[i].about);
        cr_expect_eq(fault.reason, cases[i].reason, "%s", cases[i].about);
        cr_expect_eq(request->route ? request->route->access : 0, cases[i].access, "%s",
                     cases[i].about);
        cr_expect(cases[i].allow ? text_equal(allow, cases[i].allow) : !allow, "%s: %s",
                  cases[i].about, allow ? allow : "none");
    }
}

Test(route, hands_over_what_it_captured)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct request *request = request_for(scratch, GET, "/item/a%20b/part/7");
    const char *allow = NULL;
    struct fault fault = {0};

    cr_assert(route_find(request, routes, ARRAY_SIZE(routes), &allow, &fault));
    cr_expect_eq(request->captured_count, 2);
    cr_expect_str_eq(request_captured(request, "item"), "a b");
    cr_expect_str_eq(request_captured(request, "nr"), "7");
}

Test(route, has_a_status_for_each_kind)
{
    static const struct {
        enum fault_kind kind;
        unsigned status;
    } kinds[] = {
        {KIND_MALFORMED,    400},
        {KIND_UNAUTHORIZED, 401},
        {KIND_FORBIDDEN,    403},
        {KIND_CONFLICT,     409},
        {KIND_NOT_FOUND,    404},
        {KIND_RATE_LIMITED, 429},
        {KIND_POLICY,       400},
        {KIND_UPSTREAM,     502},
        {KIND_UNAVAILABLE,  503},
        {KIND_INTERNAL,     500},
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        cr_expect_eq(fault_kind_status(kinds[i].kind), kinds[i].status, "kind %d", kinds[i].kind);
}
