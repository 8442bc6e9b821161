/* tests/unit/web/path.c: paths of strangers, 05 section 1.4 steps 4 and 5. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "web/route.h"
#include "web/web_private.h"

#include "core/banned.h"

static const struct {
    const char *about;
    const char *path;
    enum fault_reason reason; /* REASON_NONE: it is split */
    const char *joined;       /* the segments with '|' between */
} cases[] = {
    {"one segment",                  "/acme",                              REASON_NONE,     "acme"             },
    {"three segments",               "/acme/order/or-1",                   REASON_NONE,     "acme|order|or-1"  },
    {"escapes in either case",       "/%41%c3%a9%C3%A9",                   REASON_NONE,     "A\xc3\xa9\xc3\xa9"},
    {"decoded once, not twice",      "/%2541",                             REASON_NONE,     "%41"              },
    {"a plus is a plus",             "/a+b",                               REASON_NONE,     "a+b"              },
    {"three dots are a name",        "/...",                               REASON_NONE,     "..."              },
    {"sixteen segments",             "/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6",   REASON_NONE,
     "1|2|3|4|5|6|7|8|9|0|1|2|3|4|5|6"                                                                         },
    {"seventeen segments",           "/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7", ROUTE_UNKNOWN,   ""                 },
    {"the root alone",               "/",                                  ROUTE_UNKNOWN,   ""                 },
    {"a slash at the end",           "/acme/",                             ROUTE_UNKNOWN,   ""                 },
    {"nothing",                      "",                                   INPUT_MALFORMED, ""                 },
    {"no slash in front",            "acme",                               INPUT_MALFORMED, ""                 },
    {"absolute form",                "http://x/acme",                      INPUT_MALFORMED, ""                 },
    {"asterisk form",                "*",                                  INPUT_MALFORMED, ""                 },
    {"an empty segment",             "/acme//x",                           INPUT_MALFORMED, ""                 },
    {"an empty segment in front",    "//acme",                             INPUT_MALFORMED, ""                 },
    {"a dot segment",                "/acme/./x",                          INPUT_MALFORMED, ""                 },
    {"a dot segment, escaped",       "/acme/%2e/x",                        INPUT_MALFORMED, ""                 },
    {"up",                           "/acme/..",                           INPUT_MALFORMED, ""                 },
    {"up, half escaped",             "/acme/.%2E/x",                       INPUT_MALFORMED, ""                 },
    {"an escaped slash",             "/acme%2Fx",                          INPUT_MALFORMED, ""                 },
    {"a backslash",                  "/acme\\x",                           INPUT_MALFORMED, ""                 },
    {"an escaped backslash",         "/acme%5Cx",                          INPUT_MALFORMED, ""                 },
    {"NUL",                          "/acme%00x",                          INPUT_MALFORMED, ""                 },
    {"a control byte",               "/acme%1F",                           INPUT_MALFORMED, ""                 },
    {"the first that is no control", "/acme%20",                           REASON_NONE,     "acme "            },
    {"DEL",                          "/acme%7f",                           INPUT_MALFORMED, ""                 },
    {"tilde, one below DEL",         "/acme%7e",                           REASON_NONE,     "acme~"            },
    {"invalid UTF-8",                "/%ff",                               INPUT_MALFORMED, ""                 },
    {"overlong slash",               "/%c0%af",                            INPUT_MALFORMED, ""                 },
    {"a surrogate",                  "/%ed%a0%80",                         INPUT_MALFORMED, ""                 },
    {"an escape cut to one digit",   "/acme%4",                            INPUT_MALFORMED, ""                 },
    {"an escape cut to none",        "/acme%",                             INPUT_MALFORMED, ""                 },
    {"an escape that spans a slash", "/acme%4/1",                          INPUT_MALFORMED, ""                 },
    {"an escape with a letter",      "/acme%4g",                           INPUT_MALFORMED, ""                 },
};

static const char *joined(struct request *request)
{
    struct text_list list = {request->segments, request->segment_count};
    return text_list_join(request, &list, "|");
}

Test(path, splits_and_decodes_once)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct request *request = mem_new(scratch, struct request);
        struct fault fault = {0};
        request->path = cases[i].path;
        const bool split = path_split(request, &fault);

        cr_expect_eq(fault.reason, cases[i].reason, "%s: %s", cases[i].about, fault.cause);
        cr_expect_eq(split, cases[i].reason == REASON_NONE, "%s", cases[i].about);
        if (split)
            cr_expect_str_eq(joined(request), cases[i].joined, "%s", cases[i].about);
        if (fault.reason == INPUT_MALFORMED)
            cr_expect_str_eq(fault.detail, "Malformed path", "%s", cases[i].about);
    }
}

static const struct {
    const char *about;
    const char *path;
    const char *document; /* whole param, or NULL */
    bool same;
} documents[] = {
    {"not sent",              "/acme/x",   NULL,                     true },
    {"the same",              "/acme/x",   "DOCUMENT_URI=/acme/x",   true },
    {"the same when decoded", "/acme/%78", "DOCUMENT_URI=/acme/x",   true },
    {"sent empty",            "/acme/x",   "DOCUMENT_URI=",          false},
    {"a segment more",        "/acme/x",   "DOCUMENT_URI=/acme/x/y", false},
    {"a slash more",          "/acme/x",   "DOCUMENT_URI=/acme/x/",  false},
    {"a segment less",        "/acme/x",   "DOCUMENT_URI=/acme",     false},
    {"a letter less",         "/acme/xy",  "DOCUMENT_URI=/acme/x",   false},
    {"a letter more",         "/acme/x",   "DOCUMENT_URI=/acme/xy",  false},
    {"another location",      "/acme/x",   "DOCUMENT_URI=/scep/x",   false},
    {"slashes were merged",   "/acme/x",   "DOCUMENT_URI=//acme/x",  false},
};

Test(path, agrees_with_the_location_that_was_chosen)
{
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct request *request = mem_new(scratch, struct request);
        char *params[] = {mem_text(scratch, documents[i].document), NULL};
        struct fault fault = {0};
        request->path = documents[i].path;
        request->params = params;

        cr_assert(path_split(request, &fault), "%s", documents[i].about);
        cr_expect_eq(web_path_check_document(request, &fault), documents[i].same, "%s",
                     documents[i].about);
        cr_expect_eq(fault.reason, documents[i].same ? REASON_NONE : INPUT_MALFORMED, "%s",
                     documents[i].about);
    }
}

Test(path, a_raw_tail_is_left_alone)
{
    static const struct {
        const char *path;
        const char *document; /* or NULL */
        size_t segments;      /* 0: refused */
        const char *tail;
    } tails[] = {
        {"/ocsp/iss",            NULL,                           2, NULL        },
        {"/ocsp/iss/",           NULL,                           3, ""          },
        {"/ocsp/iss/MF%2Fo=",    "DOCUMENT_URI=/ocsp/iss/MF/o=", 3, "MF%2Fo="   },
        {"/ocsp/iss/M//../%zz+", NULL,                           3, "M//../%zz+"},
        {"/ocsp/iss/MF",         "DOCUMENT_URI=/ocsp/other/MF",  0, NULL        },
        {"/ocsp/iss/MF",         "DOCUMENT_URI=/ocsp/iss",       0, NULL        },
        {"/ocsp/../MF",          NULL,                           0, NULL        },
        {"/ocsp//MF",            NULL,                           0, NULL        },
        {"/ocsp/i%2fs/MF",       NULL,                           0, NULL        },
    };

    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct request *request = mem_new(scratch, struct request);
        char *params[] = {mem_text(scratch, tails[i].document), NULL};
        struct fault fault = {0};

        request->path = tails[i].path;
        request->params = params;
        const bool split = web_path_split_raw_tail(request, "/ocsp/", &fault) &&
                           web_path_check_document(request, &fault);
        cr_expect_eq(split, tails[i].segments > 0, "%s", tails[i].path);
        if (!split)
            continue;
        cr_expect_eq(request->segment_count, tails[i].segments, "%s", tails[i].path);
        cr_expect_eq(request->raw_tail, tails[i].tail != NULL);
        if (tails[i].tail)
            cr_expect_str_eq(request->segments[2], tails[i].tail);
    }
}
