/* tests/unit/web/handle.c: the order of checks of 05 section 1.4, and its limits. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "rig.h"

#include "core/banned.h"

/* Each case breaks what it names and everything that is checked later, so that the order shows. */
static const struct {
    const char *about;
    const char *name; /* the param that this case breaks, on top of those below */
    const char *value;
    enum fault_reason reason;
    unsigned status;
} order[] = {
    {"all is well but the method", "REQUEST_METHOD",   "DELETE",   METHOD_NOT_ALLOWED, 405},
    {"no such path",               "REQUEST_URI",      "/none",    ROUTE_UNKNOWN,      404},
    {"the location was another",   "DOCUMENT_URI",     "/else",    INPUT_MALFORMED,    400},
    {"a path with a dot segment",  "REQUEST_URI",      "/./none",  INPUT_MALFORMED,    400},
    {"a method of WebDAV",         "REQUEST_METHOD",   "PROPFIND", METHOD_UNKNOWN,     501},
    {"a method in lower case",     "REQUEST_METHOD",   "get",      METHOD_UNKNOWN,     501},
    {"no method",                  "REQUEST_METHOD",   NULL,       METHOD_UNKNOWN,     501},
    {"plain http",                 "REQUEST_SCHEME",   "http",     HTTPS_REQUIRED,     400},
    {"another surface",            "CERTCTL_SURFACE",  "scep",     SURFACE_WRONG,      500},
    {"no surface",                 "CERTCTL_SURFACE",  NULL,       SURFACE_WRONG,      500},
    {"another edge key",           "CERTCTL_EDGE_KEY", "x",        EDGE_KEY_WRONG,     403},
    {"an empty edge key",          "CERTCTL_EDGE_KEY", "",         EDGE_KEY_WRONG,     403},
    {"no edge key",                "CERTCTL_EDGE_KEY", NULL,       EDGE_KEY_WRONG,     403},
};

Test(handle, checks_in_the_order_of_the_contract)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    for (size_t i = 0; i < ARRAY_SIZE(order); i++) { /* the faults add up from case to case */
        rig_set(rig, order[i].name, order[i].value);
        rig_serve(rig);
        cr_expect_eq(rig->fault.reason, order[i].reason, "%s: %s", order[i].about,
                     rig->fault.detail);
        cr_expect_eq(rig->response.status, order[i].status, "%s", order[i].about);
        cr_expect(rig_header(rig, "X-Request-ID"), "%s", order[i].about);
        cr_expect(rig_header(rig, "Prepared"), "%s", order[i].about);
    }
}

Test(handle, looks_at_nothing_before_the_edge_key)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_set(rig, "CERTCTL_EDGE_KEY", RIG_EDGE_KEY "0");
    rig_set(rig, "REQUEST_ID", "0123456789abcdef0123456789abcdef");
    rig_set(rig, "SSL_CLIENT_VERIFY", "SUCCESS");
    rig_body(rig, "0123456789");
    rig_serve(rig);
    cr_expect_eq(rig->response.status, 403);
    cr_expect(strstr(rig->text, "\"misrouted request\""), "%s", rig->text);
    cr_expect_str_eq(rig->request->path, "");
    cr_expect_null(rig->request->remote_addr);
    cr_expect_null(rig->request->tls_client_verify);
    cr_expect_null(request_param(rig->request, "SSL_CLIENT_VERIFY"));
    cr_expect_str_neq(rig->request->request_id, "01234567-89ab-cdef-0123-456789abcdef");
    cr_expect_str_eq(rig_header(rig, "Prepared"), "0 0", "the responder was told something");
    cr_expect_eq(rig->body_read, 0);
    cr_expect(!strstr(rig->fault.detail, RIG_EDGE_KEY) && !strstr(rig->fault.cause, RIG_EDGE_KEY));
}

Test(handle, serves_http_where_the_surface_or_the_setting_allows)
{
    for (int i = 0; i < 4; i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig->responder.plain_http = i & 1;
        rig->settings.allow_plaintext_fcgi = i & 2;
        rig_set(rig, "REQUEST_SCHEME", "http");
        rig_serve(rig);
        cr_expect_eq(rig->response.status, i ? 200 : 400, "surface %d, setting %d", i & 1, i & 2);
    }
}

static char *letters(TALLOC_CTX *ctx, size_t count)
{
    char *text = mem_array(ctx, char, count + 1);
    memset(text, 'a', count);
    return text;
}

Test(handle, bounds_the_request_target)
{
    static const struct {
        const char *about;
        const char *prefix;
        size_t length;
        unsigned status;
    } cases[] = {
        {"8192 bytes of query",   "/thing?", 8192, 200},
        {"8193 bytes with query", "/thing?", 8193, 414},
        {"8192 bytes of path",    "/",       8192, 404},
        {"8193 bytes of path",    "/",       8193, 414},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        char *uri = letters(scratch, cases[i].length);
        memcpy(uri, cases[i].prefix, strlen(cases[i].prefix));
        rig_set(rig, "REQUEST_URI", uri);
        rig_serve(rig);
        cr_expect_eq(rig->response.status, cases[i].status, "%s", cases[i].about);
    }
}

Test(handle, bounds_the_header_bytes)
{
    for (size_t above = 0; above < 2; above++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        const size_t names = strlen("HTTP_A=") + strlen("HTTP_B=");
        rig_set(rig, "HTTP_A", letters(scratch, 1000));
        rig_set(rig, "HTTP_B", letters(scratch, 65536 - 1000 - names + above));
        rig_set(rig, "NO_HEADER", letters(scratch, 5000));
        rig_serve(rig);
        cr_expect_eq(rig->response.status, above ? 431 : 200, "%zu above", above);
    }
}

Test(handle, bounds_the_number_of_params)
{
    for (size_t above = 0; above < 2; above++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        while (rig->count < 201 + above) /* the edge key is not counted */
            rig_add(rig, "HTTP_X", "y");
        rig_serve(rig);
        cr_expect_eq(rig->response.status, above ? 431 : 200, "%zu above", above);
    }
}

static const struct {
    const char *about;
    const char *uri;
    const char *announced; /* CONTENT_LENGTH, or NULL */
    const char *body;
    unsigned status;
    size_t read; /* how many bytes were asked for */
} bodies[] = {
    {"none announced",           "/thing", NULL,                   "ignored",            201, 0   },
    {"announced empty",          "/thing", "",                     "ignored",            201, 0   },
    {"no bytes",                 "/thing", "0",                    "ignored",            201, 0   },
    {"one byte",                 "/thing", "1",                    "x",                  201, 1   },
    {"the route's limit",        "/thing", "16",                   "0123456789abcdef",   201, 16  },
    {"one above: not read",      "/thing", "17",                   "0123456789abcdefg",  413, 0   },
    {"less announced than sent", "/thing", "4",                    "0123456789abcdefgh", 201, 4   },
    {"more announced than sent", "/thing", "16",                   "0123456789abcde",    400, 16  },
    {"a body that never came",   "/thing", "1",                    "",                   400, 1   },
    {"no number",                "/thing", "ten",                  "",                   400, 0   },
    {"a negative number",        "/thing", "-1",                   "",                   400, 0   },
    {"a sign",                   "/thing", "+1",                   "x",                  400, 0   },
    {"a list",                   "/thing", "1, 1",                 "x",                  400, 0   },
    {"beyond 64 bits",           "/thing", "99999999999999999999", "",                   413, 0   },
    {"leading zeros",            "/thing", "0001",                 "x",                  201, 1   },
    {"the setting's limit",      "/large", "1024",                 "short",              400, 1024},
    {"one above the setting's",  "/large", "1025",                 "short",              413, 0   },
};

Test(handle, reads_the_announced_body_within_its_limit)
{
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_ask(rig, "POST", bodies[i].uri);
        rig->body = bytes_of_text(bodies[i].body);
        rig_set(rig, "CONTENT_LENGTH", bodies[i].announced);
        rig_serve(rig);
        cr_expect_eq(rig->response.status, bodies[i].status, "%s: %s", bodies[i].about,
                     rig->fault.detail);
        cr_expect_eq(rig->body_read, bodies[i].read, "%s", bodies[i].about);
        if (bodies[i].status == 201)
            cr_expect(bytes_equal(rig->response.body,
                                  (struct bytes){(const uint8_t *)bodies[i].body, bodies[i].read}),
                      "%s", bodies[i].about);
    }
}

Test(handle, takes_the_responders_limit_before_the_settings)
{
    for (int above = 0; above < 2; above++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig->responder.body_max_bytes = 4;
        rig_ask(rig, "POST", "/large");
        rig_body(rig, above ? "12345" : "1234");
        rig_serve(rig);
        cr_expect_eq(rig->response.status, above ? 413 : 201);
        if (above)
            cr_expect_str_eq(rig->fault.detail, "Request body exceeds 4 bytes");
    }
}

Test(handle, answers_options_before_admission)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_ask(rig, "OPTIONS", "/locked");
    rig_body(rig, "ignored");
    rig_serve(rig);
    cr_expect_eq(rig->response.status, 204);
    cr_expect_str_eq(rig_header(rig, "Allow"), "GET, HEAD, OPTIONS");
    cr_expect_eq(rig->fault.reason, REASON_NONE);
    cr_expect_eq(rig->body_read, 0);
    rig_ask(rig, "OPTIONS", "/none");
    rig_serve(rig);
    cr_expect_eq(rig->response.status, 404);
}

Test(handle, asks_for_admission_before_the_handler)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_ask(rig, "GET", "/locked");
    rig_serve(rig);
    cr_expect_eq(rig->response.status, 401);
    cr_expect_str_eq(rig_header(rig, "WWW-Authenticate"), "Bearer");
    cr_expect(strstr(rig->text, "\"error\":\"Authentication required\""), "%s", rig->text);
    rig_set(rig, "CONTENT_LENGTH", "1025");
    rig_serve(rig);
    cr_expect_eq(rig->response.status, 413, "the body's size is judged first");
}

Test(handle, says_what_is_allowed)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_ask(rig, "DELETE", "/thing/x");
    rig_serve(rig);
    cr_expect_eq(rig->response.status, 405);
    cr_expect_str_eq(rig_header(rig, "Allow"), "GET, HEAD, OPTIONS, PUT");
}

/* RFC 8555 responders: 01 section 1.1. */
Test(handle, hides_malformed_paths_where_the_responder_says_so)
{
    static const struct {
        const char *uri;
        const char *document;
        unsigned elsewhere;
    } cases[] = {
        {"/%74hing",  "/thing",  200},
        {"/thing%2F", "/thing/", 400},
        {"/thing%",   "/thing",  400},
        {"//thing",   "/thing",  400},
        {"/thing",    "/other",  400},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_set(rig, "REQUEST_URI", cases[i].uri);
        rig_set(rig, "DOCUMENT_URI", cases[i].document);
        rig_serve(rig);
        cr_expect_eq(rig->response.status, cases[i].elsewhere, "%s", cases[i].uri);
        rig->responder.malformed_path_is_unknown = true;
        rig_serve(rig);
        cr_expect_eq(rig->fault.reason, ROUTE_UNKNOWN, "%s", cases[i].uri);
    }
}

static void refuse_plainly(struct request *request, struct response *response,
                           const struct fault *fault)
{
    (void)request;
    (void)response_bytes(response, 418, "text/x-reason",
                         bytes_of_text(fault_reason_slug(fault->reason)));
}

Test(handle, lets_the_responder_word_each_refusal)
{
    static const struct {
        const char *about;
        const char *name;
        const char *value;
        const char *said;
    } cases[] = {
        {"edge key", "CERTCTL_EDGE_KEY", "x",      "edge_key"          },
        {"scheme",   "REQUEST_SCHEME",   "http",   "https_required"    },
        {"method",   "REQUEST_METHOD",   "LINK",   "method_unknown"    },
        {"route",    "REQUEST_URI",      "/none",  "not_found"         },
        {"Allow",    "REQUEST_METHOD",   "DELETE", "method_not_allowed"},
        {"body",     "CONTENT_LENGTH",   "9999",   "too_large"         },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig->responder.refuse = refuse_plainly;
        rig_set(rig, cases[i].name, cases[i].value);
        rig_serve(rig);
        cr_expect_eq(rig->response.status, 418, "%s", cases[i].about);
        cr_expect_str_eq(rig->text, cases[i].said, "%s", cases[i].about);
        cr_expect(rig_header(rig, "Prepared"), "%s", cases[i].about);
    }
}

Test(handle, turns_a_careless_handler_into_500)
{
    static const struct {
        const char *uri;
        const char *cause;
    } cases[] = {
        {"/wordless", "refused without a reason"            },
        {"/silent",   "the handler of /silent set no answer"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_set(rig, "REQUEST_URI", cases[i].uri);
        rig_serve(rig);
        cr_expect_eq(rig->response.status, 500, "%s", cases[i].uri);
        cr_expect_eq(rig->fault.reason, INTERNAL, "%s", cases[i].uri);
        cr_expect_str_eq(rig->fault.cause, cases[i].cause);
        cr_expect_str_eq(rig_header(rig, "Content-Type"), "application/json");
    }
}

Test(handle, keeps_the_database_to_itself)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_set(rig, "REQUEST_URI", "/no-database");
    rig_serve(rig);
    cr_expect_eq(rig->response.status, 503);
    cr_expect_str_eq(rig_header(rig, "Retry-After"), "5");
    cr_expect(!strstr(rig->text, "password") && !strstr(rig->text, "words"), "%s", rig->text);
}

Test(handle, sends_the_six_headers_where_the_surface_wants_them)
{
    static const char *const names[] = {
        "Strict-Transport-Security", "X-Frame-Options",         "X-Content-Type-Options",
        "Referrer-Policy",           "Content-Security-Policy", "Permissions-Policy",
    };

    for (int wanted = 0; wanted < 2; wanted++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig->responder.security_headers = wanted;
        rig_set(rig, "CERTCTL_EDGE_KEY", "wrong"); /* refusals bear them too */
        rig_serve(rig);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
            cr_expect_eq(rig_header(rig, names[i]) != NULL, wanted, "%s", names[i]);
    }
}

Test(handle, leaves_nothing_behind)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_ask(rig, "POST", "/thing?x=y");
    rig_body(rig, "0123456789");
    rig_serve(rig);
    talloc_free(rig->text);
    const size_t before = talloc_total_blocks(rig) - talloc_total_blocks(rig->request);
    talloc_free(rig->request);
    cr_expect_eq(talloc_total_blocks(rig), before);
}
