/* tests/unit/net/target.c: where a redirect may lead (01 section 11.4). */
#include "net/target.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define BASE  "http://name.example/.well-known/acme-challenge/token"
#define EXTRA 5002

static const struct {
    const char *about;
    const char *reference;
    const char *url; /* NULL: refused */
    const char *host;
    unsigned port;
} cases[] = {
    {"absolute",                           "http://other.example/x",            "http://other.example/x",                               "other.example", 80  },
    {"https",                              "https://other.example/x",           "https://other.example/x",                              "other.example", 443 },
    {"port 443 in the clear",              "http://other.example:443/x",        "http://other.example:443/x",
     "other.example",                                                                                                                                    443 },
    {"default port said aloud",            "http://other.example:80/x",         "http://other.example/x",
     "other.example",                                                                                                                                    80  },
    {"the extra port",                     "http://other.example:5002/x",       "http://other.example:5002/x",
     "other.example",                                                                                                                                    5002},
    {"one below it",                       "http://other.example:5001/x",       NULL,                                                   NULL,            0   },
    {"one above it",                       "http://other.example:5003/x",       NULL,                                                   NULL,            0   },
    {"port 8080",                          "http://other.example:8080/x",       NULL,                                                   NULL,            0   },
    {"port 0",                             "http://other.example:0/x",          NULL,                                                   NULL,            0   },
    {"port 65536",                         "http://other.example:65536/x",      NULL,                                                   NULL,            0   },
    {"path alone",                         "/elsewhere?a=b",                    "http://name.example/elsewhere?a=b",                    "name.example",  80  },
    {"relative path",                      "other",                             "http://name.example/.well-known/acme-challenge/other",
     "name.example",                                                                                                                                     80  },
    {"scheme of the base",                 "//third.example/x",                 "http://third.example/x",                               "third.example", 80  },
    {"fragment is dropped",                "http://other.example/x#part",       "http://other.example/x",
     "other.example",                                                                                                                                    80  },
    {"upper case",                         "HTTP://OTHER.Example/X",            "http://other.example/X",                               "other.example", 80  },
    {"the root's dot",                     "http://other.example./x",           "http://other.example/x",                               "other.example", 80  },
    {"IPv4",                               "http://192.0.2.1/x",                "http://192.0.2.1/x",                                   "192.0.2.1",     80  },
    {"IPv4 in short",                      "http://127.1/x",                    "http://127.0.0.1/x",                                   "127.0.0.1",     80  },
    {"IPv4 as one number",                 "http://2130706433/x",               "http://127.0.0.1/x",                                   "127.0.0.1",     80  },
    {"IPv4 in hex",                        "http://0x7f000001/x",               "http://127.0.0.1/x",                                   "127.0.0.1",     80  },
    {"IPv6",                               "http://[2001:db8::1]/x",            "http://[2001:db8::1]/x",                               "2001:db8::1",   80  },
    {"IPv6 with a zone",                   "http://[fe80::1%25eth0]/x",         NULL,                                                   NULL,            0   },
    {"user",                               "http://user@other.example/x",       NULL,                                                   NULL,            0   },
    {"user and password",                  "http://user:word@other.example/x",  NULL,                                                   NULL,            0   },
    {"password alone",                     "http://:word@other.example/x",      NULL,                                                   NULL,            0   },
    {"file",                               "file:///etc/passwd",                NULL,                                                   NULL,            0   },
    {"gopher",                             "gopher://other.example:80/x",       NULL,                                                   NULL,            0   },
    {"ftp",                                "ftp://other.example:80/x",          NULL,                                                   NULL,            0   },
    {"missing slash",                      "http://other.example.well-known/x", NULL,                                                   NULL,            0   },
    {"three slashes, as browsers read it", "http:///x",                         "http://x/",                                            "x",             80  },
    {"no host",                            "http://?x",                         NULL,                                                   NULL,            0   },
    {"escaped host",                       "http://other%2eexample/x",          "http://other.example/x",                               "other.example", 80  },
    {"escaped slash in the host",          "http://other%2f.example/x",         NULL,                                                   NULL,            0   },
    {"not ASCII",                          "http://\xc3\xa9.example/x",         NULL,                                                   NULL,            0   },
    {"white space",                        "http://other.example/a b",          NULL,                                                   NULL,            0   },
    {"not ASCII in the path",              "http://other.example/\xd3",         NULL,                                                   NULL,            0   },
    {"DEL in the path",                    "http://other.example/\x7f",         NULL,                                                   NULL,            0   },
    {"dots alone",                         "http://../x",                       NULL,                                                   NULL,            0   },
    {"an address once its dot is gone",    "http://411./x",                     NULL,                                                   NULL,            0   },
    {"in hex too",                         "http://0x7f.1./x",                  NULL,                                                   NULL,            0   },
    {"empty label",                        "http://a..example/x",               NULL,                                                   NULL,            0   },
    {"dot in front",                       "http://.example/x",                 NULL,                                                   NULL,            0   },
    {"two dots at the end",                "http://a.example../x",              NULL,                                                   NULL,            0   },
    {"line break",                         "http://other.example/a\r\nX: y",    NULL,                                                   NULL,            0   },
};

Test(target, redirects_are_judged)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
        struct http_target target = {.host = "untouched"};
        struct fault fault = {0};
        const bool good = http_target_read(kept, BASE, cases[i].reference, EXTRA, &target, &fault);

        cr_expect_eq(good, cases[i].url != NULL, "%s: %s%s", cases[i].about, fault.detail,
                     good ? target.url : "");
        if (!good) {
            cr_expect_eq(fault.reason, NET_RESPONSE, "%s", cases[i].about);
            cr_expect_str_eq(target.host, "untouched", "%s", cases[i].about);
            cr_expect_eq(talloc_total_blocks(kept), 1, "%s: memory left behind", cases[i].about);
            continue;
        }
        if (!cases[i].url)
            continue;
        cr_expect_str_eq(target.url, cases[i].url, "%s", cases[i].about);
        cr_expect_str_eq(target.host, cases[i].host, "%s", cases[i].about);
        cr_expect_eq(target.port, cases[i].port, "%s", cases[i].about);
    }
}

Test(target, paths_have_a_longest)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (int extra = -1; extra <= 1; extra++) {
        char *path = mem_array(scratch, char, TARGET_PATH_MAX + 2);
        struct http_target target;
        struct fault fault = {0};

        memset(path, 'a', (size_t)(TARGET_PATH_MAX + extra));
        path[0] = '/';
        cr_expect_eq(http_target_read(scratch, BASE, path, EXTRA, &target, &fault), extra <= 0,
                     "%d: %s", extra, fault.detail);
    }
}

Test(target, the_hint_for_a_missing_slash)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct http_target target;
    struct fault fault = {0};

    cr_expect_not(
        http_target_read(scratch, BASE, "http://a.example.well-known/x", EXTRA, &target, &fault));
    cr_expect_not_null(strstr(fault.detail, "slash is missing"), "%s", fault.detail);
}
