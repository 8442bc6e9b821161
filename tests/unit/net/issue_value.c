/* tests/unit/net/issue_value.c: a domain and parameters, rule by rule (RFC 8659 section 4.2). */
#include "net/issue_value.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define OCTETS(text)                                                                               \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct {
    const char *about;
    struct bytes text;
    const char *read; /* "DOMAIN|TAG=VALUE|…", "|;" where it ends open; NULL: must be refused */
} cases[] = {
    {"nothing",                       OCTETS(""),                        ""            },
    {"white space alone",             OCTETS(" \t "),                    ""            },
    {"a domain",                      OCTETS("ca.test"),                 "ca.test"     },
    {"white space around it",         OCTETS("\t ca.test \t"),           "ca.test"     },
    {"a domain of digits",            OCTETS("1-2.3"),                   "1-2.3"       },
    {"a semicolon alone",             OCTETS(";"),                       "|;"          },
    {"a semicolon behind the domain", OCTETS("ca.test; "),               "ca.test|;"   },
    {"a parameter",                   OCTETS("ca.test;a=b"),             "ca.test|a=b" },
    {"of nobody",                     OCTETS("; a=b"),                   "|a=b"        },
    {"white space everywhere",        OCTETS(" ca ; a \t=  b ; c = d "), "ca|a=b|c=d"  },
    {"an empty value",                OCTETS("ca; a="),                  "ca|a="       },
    {"an equals sign in the value",   OCTETS("ca; a=b=c"),               "ca|a=b=c"    },
    {"any printable in the value",    OCTETS("ca; a=!\"~\\{"),           "ca|a=!\"~\\{"},
    {"a hyphen in the tag",           OCTETS("ca; a-b=c"),               "ca|a-b=c"    },
    {"two hyphens",                   OCTETS("ca; a--b=c"),              "ca|a--b=c"   },
    {"a tag twice",                   OCTETS("ca; a=b; A=c"),            "ca|a=b|A=c"  },
    {"a semicolon at the end",        OCTETS("ca; a=b;"),                "ca|a=b|;"    },
    {"two semicolons",                OCTETS("ca;; a=b"),                NULL          },
    {"two at the end",                OCTETS("ca; a=b;;"),               NULL          },
    {"a hyphen before the tag",       OCTETS("ca; -a=b"),                NULL          },
    {"a hyphen behind the tag",       OCTETS("ca; a-=b"),                NULL          },
    {"a tag that is no word",         OCTETS("ca; a_b=c"),               NULL          },
    {"a dot in the tag",              OCTETS("ca; a.b=c"),               NULL          },
    {"no tag",                        OCTETS("ca; =b"),                  NULL          },
    {"no value",                      OCTETS("ca; a"),                   NULL          },
    {"no semicolon",                  OCTETS("ca a=b"),                  NULL          },
    {"white space in the value",      OCTETS("ca; a=b c"),               NULL          },
    {"two domains",                   OCTETS("ca.test ca.test"),         NULL          },
    {"what is no domain",             OCTETS("ca_test"),                 NULL          },
    {"a NUL behind the domain",       OCTETS("ca\0; a=b"),               NULL          },
    {"a NUL in the value",            OCTETS("ca; a=b\0"),               NULL          },
    {"a line feed",                   OCTETS("ca;\na=b"),                NULL          },
    {"DEL in the value",              OCTETS("ca; a=\177"),              NULL          },
    {"an octet above ASCII",          OCTETS("ca; a=\xc3\xa9"),          NULL          },
};

static char *written(TALLOC_CTX *ctx, const struct issue_value *value)
{
    char *text = mem_text(ctx, value->domain);

    for (size_t i = 0; i < value->count; i++)
        text = mem_append(text, "|%s=%s", value->parameters[i].tag, value->parameters[i].value);
    return value->ends_open ? mem_append(text, "|;") : text;
}

Test(issue_value, is_read)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct issue_value value = {.domain = "untouched"};
        const bool read = issue_value_read(scratch, cases[i].text, &value);

        cr_expect_eq(read, cases[i].read != NULL, "%s", cases[i].about);
        if (read && cases[i].read)
            cr_expect_str_eq(written(scratch, &value), cases[i].read, "%s", cases[i].about);
        if (read)
            continue;
        cr_expect_str_eq(value.domain, "untouched", "%s", cases[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left behind", cases[i].about);
    }
}

Test(issue_value, parameters_are_found)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct issue_value value;
    const char *found = "untouched";

    cr_assert(issue_value_read(scratch, bytes_of_text("ca; One=1; two=2; TWO=3"), &value));
    cr_expect(issue_value_find(&value, "one", &found));
    cr_expect_str_eq(found, "1");
    cr_expect_not(issue_value_find(&value, "Two", &found), "it stands twice");
    cr_expect(issue_value_find(&value, "three", &found));
    cr_expect_null(found);
}
