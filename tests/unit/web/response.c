/* tests/unit/web/response.c: headers, bodies and the CGI form. */
#include <criterion/criterion.h>
#include <signal.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "web/web_private.h"

#include "core/banned.h"

static struct response response_for(TALLOC_CTX *ctx, enum method method)
{
    struct request *request = mem_new(ctx, struct request);

    request->method = method;
    return (struct response){.request = request};
}

Test(response, replaces_adds_and_removes_headers)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct response response = response_for(scratch, GET);

    response_header(&response, "Location", "/%d", 1);
    response_header_add(&response, "Link", "<a>");
    response_header_add(&response, "Link", "<b>");
    response_header(&response, "location", "/%d", 2);
    response_header(&response, "ETag", "x");
    response_header(&response, "ETag", NULL);
    response_empty(&response, 200);
    cr_expect_str_eq(web_response_head(scratch, &response),
                     "Status: 200 OK\r\nLink: <a>\r\nLink: <b>\r\nlocation: /2\r\n"
                     "Content-Length: 0\r\n\r\n");
}

Test(response, ends_json_with_one_newline)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct response response = response_for(scratch, GET);
    json_t *value = json_object();

    json_set_text(value, "url", "https://x/y");
    cr_expect(response_json(&response, 201, value));
    cr_expect(bytes_equal(response.body, bytes_of_text("{\"url\":\"https://x/y\"}\n")));
    cr_expect(response_json_text(&response, 200, "[1]"));
    cr_expect(bytes_equal(response.body, bytes_of_text("[1]\n")));
    cr_expect_str_eq(web_response_head(scratch, &response),
                     "Status: 200 OK\r\nContent-Type: application/json\r\n"
                     "Content-Length: 4\r\n\r\n");
}

Test(response, says_the_length_of_a_body_that_stays_behind)
{
    static const struct {
        enum method method;
        unsigned status;
        bool body;
        bool length;
    } cases[] = {
        {GET,  200, true,  true },
        {HEAD, 200, false, true },
        {GET,  204, false, false},
        {GET,  304, false, false},
        {GET,  404, true,  true },
        {HEAD, 404, false, true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct response response = response_for(scratch, cases[i].method);
        response_bytes(&response, cases[i].status, "text/plain", bytes_of_text("four"));
        const char *head = web_response_head(scratch, &response);
        cr_expect_eq(web_response_has_body(&response), cases[i].body, "case %zu", i);
        cr_expect_eq(strstr(head, "Content-Length: 4\r\n") != NULL, cases[i].length, "%s", head);
    }
}

Test(response, aborts_on_a_second_line_in_a_header, .signal = SIGABRT)
{
    struct response response = response_for(NULL, GET);
    response_header(&response, "Location", "/x\r\nSet-Cookie: %s", "a=b");
}

Test(response, takes_as_many_headers_as_it_says)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct response response = response_for(scratch, GET);

    for (int i = 0; i < RESPONSE_HEADERS_MAX; i++)
        response_header_add(&response, "Link", "<%d>", i);
    cr_expect_eq(response.header_count, RESPONSE_HEADERS_MAX);
}

Test(response, aborts_on_one_header_more, .signal = SIGABRT)
{
    struct response response = response_for(NULL, GET);

    for (int i = 0; i <= RESPONSE_HEADERS_MAX; i++)
        response_header_add(&response, "Link", "<%d>", i);
}
