/* tests/unit/web/request.c: facts from params, and what is no fact. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/text.h"
#include "rig.h"

#include "core/banned.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define UUID  "01234567-89ab-cdef-0123-456789abcdef"

Test(request, takes_the_id_of_the_web_server_or_makes_one)
{
    static const struct {
        const char *about;
        const char *sent;
        bool taken;
    } cases[] = {
        {"32 lower-case hex digits", HEX32,                              true },
        {"31 digits",                "0123456789abcdef0123456789abcde",  false},
        {"33 digits",                HEX32 "0",                          false},
        {"upper case",               "0123456789ABCDEF0123456789abcdef", false},
        {"no hex",                   "0123456789abcdeg0123456789abcdef", false},
        {"not sent",                 NULL,                               false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_set(rig, "REQUEST_ID", cases[i].sent);
        rig_serve(rig);

        const char *id = rig->request->request_id;
        cr_expect_eq(text_equal(id, UUID), cases[i].taken, "%s: %s", cases[i].about, id);
        cr_expect_eq(strlen(id), 36, "%s: %s", cases[i].about, id);
        cr_expect_str_eq(rig_header(rig, "X-Request-ID"), id, "%s", cases[i].about);
        if (!cases[i].taken)
            cr_expect(id[14] == '4' && strchr("89ab", id[19]), "%s: no UUIDv4: %s", cases[i].about,
                      id);
    }
}

Test(request, reads_headers_by_their_http_name)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_set(rig, "HTTP_ACCEPT_LANGUAGE", "de");
    rig_set(rig, "HTTP_EMPTY", "");
    rig_serve(rig);
    cr_expect_str_eq(request_header(rig->request, "Accept-Language"), "de");
    cr_expect_str_eq(request_header(rig->request, "accept-language"), "de");
    cr_expect_str_eq(request_header(rig->request, "Empty"), "");
    cr_expect_null(request_header(rig->request, "Accept"), "the beginning of a name is no name");
    cr_expect_null(request_header(rig->request, "Remote-Addr"), "a fact is no header");
}

Test(request, believes_no_header_about_the_client)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_set(rig, "HTTP_REMOTE_ADDR", "203.0.113.1");
    rig_set(rig, "HTTP_X_FORWARDED_FOR", "203.0.113.2");
    rig_set(rig, "HTTP_HOST", "evil.example");
    rig_set(rig, "HTTP_SSL_CLIENT_VERIFY", "SUCCESS");
    rig_set(rig, "HTTP_REQUEST_ID", HEX32);
    rig_serve(rig);
    cr_expect_str_eq(rig->request->remote_addr, "192.0.2.7");
    cr_expect_str_eq(rig->request->server_name, "ca.example");
    cr_expect_null(rig->request->tls_client_verify);
    cr_expect_str_neq(rig->request->request_id, UUID);
}

Test(request, first_of_a_repeated_param_counts)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_add(rig, "REMOTE_ADDR", "203.0.113.1");
    rig_serve(rig);
    cr_expect_str_eq(rig->request->remote_addr, "192.0.2.7");
}

Test(request, facts_outlive_the_params_of_the_library)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_ask(rig, "GET", "/thing?a=b?c");
    rig_set(rig, "SERVER_PORT", "8443");
    rig_serve(rig);
    for (size_t i = 0; i < rig->count; i++)
        memset(rig->params[i], 'x', strlen(rig->params[i]));
    cr_expect_str_eq(rig->request->path, "/thing");
    cr_expect_str_eq(rig->request->query, "a=b?c", "cut at the first question mark");
    cr_expect_str_eq(rig->request->server_port, "8443");
    cr_expect_str_eq(request_param(rig->request, "SERVER_PORT"), "8443");
}

Test(request, forgets_the_edge_key)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);

    rig_serve(rig);
    cr_expect_eq(rig->response.status, 200);
    cr_expect_null(request_param(rig->request, "CERTCTL_EDGE_KEY"));
}

Test(request, normalises_the_mapped_address)
{
    static const struct {
        const char *sent;
        const char *address;
    } cases[] = {
        {"192.0.2.7",        "192.0.2.7"  },
        {"::ffff:192.0.2.7", "192.0.2.7"  },
        {"2001:db8::1",      "2001:db8::1"},
        {"::ffff:0:1",       "::ffff:0:1" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_set(rig, "REMOTE_ADDR", cases[i].sent);
        rig_serve(rig);
        cr_expect_str_eq(rig->request->remote_addr, cases[i].address);
    }
}

Test(request, unescapes_the_client_certificate)
{
    static const struct {
        const char *about;
        const char *sent;
        const char *pem;
    } cases[] = {
        {"nginx escapes it", "-----BEGIN%20X-----%0AYQ%2b%3D%0A", "-----BEGIN X-----\nYQ+=\n"},
        {"Apache does not",  "-----BEGIN X-----\nYQ+=\n",         "-----BEGIN X-----\nYQ+=\n"},
        {"none",             "",                                  NULL                       },
        {"a broken escape",  "-----BEGIN%2",                      NULL                       },
        {"an escaped NUL",   "-----BEGIN%00",                     NULL                       },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_set(rig, "SSL_CLIENT_CERT", cases[i].sent);
        rig_serve(rig);
        const char *pem = rig->request->tls_client_cert;
        cr_expect(cases[i].pem ? text_equal(pem, cases[i].pem) : !pem, "%s", cases[i].about);
    }
}

Test(request, knows_https_by_the_scheme_first)
{
    static const struct {
        const char *about;
        const char *scheme;
        const char *https;
        bool secure;
    } cases[] = {
        {"both say so",             "https", "on",  true },
        {"the scheme alone",        "https", NULL,  true },
        {"HTTPS alone",             NULL,    "on",  true },
        {"HTTPS alone, upper case", NULL,    "ON",  true },
        {"HTTPS is off",            NULL,    "off", false},
        {"the scheme overrules",    "http",  "on",  false},
        {"an empty scheme is none", "",      "on",  true },
        {"nobody says",             NULL,    NULL,  false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct rig *rig = rig_new(scratch);
        rig_set(rig, "REQUEST_SCHEME", cases[i].scheme);
        rig_set(rig, "HTTPS", cases[i].https);
        rig_serve(rig);
        cr_expect_eq(rig->request->https, cases[i].secure, "%s", cases[i].about);
        cr_expect_eq(rig->fault.reason, cases[i].secure ? REASON_NONE : HTTPS_REQUIRED, "%s",
                     cases[i].about);
    }
}
