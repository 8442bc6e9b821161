/* tests/unit/net/persist.c: what a record of dns-persist-01 must say, rule by rule
 * (draft-ietf-acme-dns-persist-01 section 4, 01 section 11.6). */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "net/persist01.h"

#include "core/banned.h"

#define URL     "https://ca.test/acme/account/a1"
#define ACCOUNT "accounturi=" URL
#define NOW_S   1767225600
#define WHERE   "_validation-persist.a.test"

static const char foreign[] = "names no issuer domain of ours";
static const char malformed[] = "is malformed";
static const char no_account[] = "has no accounturi";
static const char other[] = "names another account";
static const char not_wild[] = "lacks policy=wildcard";
static const char past[] = "is past its persistUntil";

static const struct {
    const char *about;
    const char *text;
    const char *plain; /* for a.test: NULL: it fits; else why not */
    const char *wild;  /* for *.a.test */
} cases[] = {
    {"the least",                  "ca.test; " ACCOUNT,                                                      NULL,       not_wild  },
    {"our second name",            "other-ca.test;" ACCOUNT,                                                 NULL,       not_wild  },
    {"a name in capitals",         "CA.Test; " ACCOUNT,                                                      NULL,       not_wild  },
    {"a dot behind the name",      "ca.test.; " ACCOUNT,                                                     NULL,       not_wild  },
    {"white space",                " ca.test\t;\taccounturi =\t" URL " ",                                    NULL,       not_wild  },
    {"a tag in capitals",          "ca.test; ACCOUNTURI=" URL,                                               NULL,       not_wild  },
    {"for wildcards too",          "ca.test; " ACCOUNT "; policy=wildcard",                                  NULL,       NULL      },
    {"in capitals",                "ca.test; " ACCOUNT "; Policy=WildCard",                                  NULL,       NULL      },
    {"the policy first",           "ca.test; policy=wildcard; " ACCOUNT,                                     NULL,       NULL      },
    {"another policy",             "ca.test; " ACCOUNT "; policy=wildcards",                                 NULL,       not_wild  },
    {"an empty policy",            "ca.test; " ACCOUNT "; policy=",                                          NULL,       not_wild  },
    {"a parameter of others",      "ca.test; " ACCOUNT "; color=red; color=blue; policy=wildcard",           NULL,
     NULL                                                                                                                          },
    {"until a second later",       "ca.test; " ACCOUNT "; persistUntil=1767225601",                          NULL,       not_wild  },
    {"until this second",          "ca.test; " ACCOUNT "; persistUntil=1767225600",                          NULL,       not_wild  },
    {"until a second ago",         "ca.test; " ACCOUNT "; persistUntil=1767225599",                          past,       not_wild  },
    {"both",                       "ca.test; " ACCOUNT "; policy=wildcard; persistuntil=1767225599",         past,       past      },
    {"until the last second",      "ca.test; " ACCOUNT "; persistUntil=9223372036854775807",                 NULL,
     not_wild                                                                                                                      },
    {"until zero",                 "ca.test; " ACCOUNT "; persistUntil=0",                                   past,       not_wild  },
    {"until what no clock shows",  "ca.test; " ACCOUNT "; persistUntil=9223372036854775808",
     malformed,                                                                                                          malformed },
    {"until before the epoch",     "ca.test; " ACCOUNT "; persistUntil=-1",                                  malformed,  malformed },
    {"with a plus",                "ca.test; " ACCOUNT "; persistUntil=+1767225601",                         malformed,  malformed },
    {"until a fraction",           "ca.test; " ACCOUNT "; persistUntil=1767225601.5",                        malformed,  malformed },
    {"until a hexadecimal number", "ca.test; " ACCOUNT "; persistUntil=0x7fffffff",                          malformed,
     malformed                                                                                                                     },
    {"until a date",               "ca.test; " ACCOUNT "; persistUntil=2030-01-01",                          malformed,  malformed },
    {"until nothing",              "ca.test; " ACCOUNT "; persistUntil=",                                    malformed,  malformed },
    {"the account twice",          "ca.test; " ACCOUNT "; " ACCOUNT,                                         malformed,  malformed },
    {"in another case",            "ca.test; " ACCOUNT "; AccountURI=" URL,                                  malformed,  malformed },
    {"the policy twice",           "ca.test; " ACCOUNT "; policy=wildcard; policy=wildcard",                 malformed,
     malformed                                                                                                                     },
    {"persistUntil twice",         "ca.test; " ACCOUNT "; persistUntil=1767225601; persistUntil=1767225601",
     malformed,                                                                                                          malformed },
    {"a semicolon at the end",     "ca.test; " ACCOUNT ";",                                                  malformed,  malformed },
    {"an empty parameter",         "ca.test;; " ACCOUNT,                                                     malformed,  malformed },
    {"white space in the account", "ca.test; accounturi=https://ca.test/acme /account/a1",
     malformed,                                                                                                          malformed },
    {"no semicolon",               "ca.test " ACCOUNT,                                                       malformed,  malformed },
    {"octets above ASCII",         "ca.test; " ACCOUNT "; x=\xc3\xa9",                                       malformed,  malformed },
    {"no account",                 "ca.test",                                                                no_account, no_account},
    {"nor behind the semicolon",   "ca.test;",                                                               no_account, no_account},
    {"a policy alone",             "ca.test; policy=wildcard",                                               no_account, no_account},
    {"an empty account",           "ca.test; accounturi=",                                                   other,      other     },
    {"another account",            "ca.test; " ACCOUNT "2",                                                  other,      other     },
    {"less of the account",        "ca.test; accounturi=https://ca.test/acme/account/a",                     other,      other     },
    {"the account in capitals",    "ca.test; accounturi=https://CA.test/acme/account/a1",                    other,
     other                                                                                                                         },
    {"the account escaped",
     "ca.test; accounturi=https://ca.test/acme/account/%61"
     "1",                                                                                                    other,      other     },
    {"another issuer",             "else.test; " ACCOUNT "; policy=wildcard",                                foreign,    foreign   },
    {"a name below ours",          "a.ca.test; " ACCOUNT "; policy=wildcard",                                foreign,    foreign   },
    {"a name above ours",          "test; " ACCOUNT "; policy=wildcard",                                     foreign,    foreign   },
    {"ours as a part",             "notca.test; " ACCOUNT "; policy=wildcard",                               foreign,    foreign   },
    {"two dots behind it",         "ca.test..; " ACCOUNT "; policy=wildcard",                                foreign,    foreign   },
    {"nobody",                     "; " ACCOUNT "; policy=wildcard",                                         foreign,    foreign   },
    {"nothing",                    "",                                                                       foreign,    foreign   },
    {"a value of dns-01",          "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ",                            foreign,    foreign   },
    {"with an underscore",         "_PJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ",                            malformed,  malformed },
};

/* RDATA of one text. */
static struct bytes rdata(TALLOC_CTX *ctx, const char *text)
{
    const size_t length = strlen(text);
    uint8_t *octets = mem_array(ctx, uint8_t, length + length / 255 + 1);
    size_t used = 0;

    for (size_t at = 0; at == 0 || at < length; at += 255) {
        const size_t piece = length - at < 255 ? length - at : 255;

        octets[used++] = (uint8_t)piece; /* 255 at most */
        memcpy(octets + used, text + at, piece);
        used += piece;
    }
    return (struct bytes){octets, used};
}

static bool proves(const struct bytes *records, size_t count, bool wildcard, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list issuers = text_split(scratch, "ca.test,other-ca.test", ',');
    const struct persist_wish wish = {&issuers, URL, wildcard, NOW_S};

    return persist01_proves(&wish, records, count, WHERE, fault);
}

Test(persist, rules)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (int wild = 0; wild < 2; wild++) {
            AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
            const char *why = wild ? cases[i].wild : cases[i].plain;
            const struct bytes record = rdata(scratch, cases[i].text);
            struct fault fault = {0};

            cr_expect_eq(proves(&record, 1, wild, &fault), why == NULL, "%s, wildcard %d: %s",
                         cases[i].about, wild, fault.detail);
            cr_expect_eq(fault.reason, why ? NET_RESPONSE : REASON_NONE, "%s", cases[i].about);
            if (why)
                cr_expect(text_ends(fault.detail, why) &&
                              text_starts(fault.detail, WHERE ": of 1 "),
                          "%s, wildcard %d: %s", cases[i].about, wild, fault.detail);
        }
}

/* The names of the issuers and the account of another server, and of none. */
Test(persist, whose_account)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list none = {0};
    const struct text_list issuers = text_split(scratch, "ca.test", ',');
    const struct bytes record = rdata(scratch, "ca.test; " ACCOUNT);
    struct fault fault = {0};

    cr_expect(persist01_proves(&(struct persist_wish){&issuers, URL, false, NOW_S}, &record, 1,
                               WHERE, &fault));
    cr_expect_not(persist01_proves(&(struct persist_wish){&none, URL, false, NOW_S}, &record, 1,
                                   WHERE, &fault));
    cr_expect_not(persist01_proves(&(struct persist_wish){&issuers, URL "2", false, NOW_S}, &record,
                                   1, WHERE, &fault));
    cr_expect_not(persist01_proves(&(struct persist_wish){&issuers, NULL, false, NOW_S}, &record, 1,
                                   WHERE, &fault));
}

/* Each record stands for itself: nothing is put together of two. */
Test(persist, several_records)
{
    static const struct {
        const char *about;
        const char *texts[3];
        const char *why; /* for the wildcard */
    } several[] = {
        {"the last fits",
         {"else.test; " ACCOUNT, "rubbish _", "ca.test; " ACCOUNT "; policy=wildcard"},
         NULL                                                                                                       },
        {"the first fits",
         {"ca.test; " ACCOUNT "; policy=wildcard", "ca.test; " ACCOUNT ";;", "ca.test"},
         NULL                                                                                                       },
        {"halves",                           {"ca.test; " ACCOUNT, "ca.test; policy=wildcard", "ca.test"}, not_wild },
        {"another's policy",
         {"else.test; " ACCOUNT "; policy=wildcard", "ca.test; " ACCOUNT, ""},
         not_wild                                                                                                   },
        {"the nearest is told",
         {"else.test", "ca.test; " ACCOUNT "; policy=wildcard; persistUntil=1", "_"},
         past                                                                                                       },
        {"rubbish is nearer than another's", {"else.test; " ACCOUNT, "_", "else.test"},                    malformed},
        {"another's alone",                  {"else.test; " ACCOUNT, "more.test; " ACCOUNT, "else.test"},  foreign  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(several); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes records[3];
        struct fault fault = {0};

        for (size_t j = 0; j < ARRAY_SIZE(records); j++)
            records[j] = rdata(scratch, several[i].texts[j]);
        cr_expect_eq(proves(records, 3, true, &fault), several[i].why == NULL, "%s: %s",
                     several[i].about, fault.detail);
        if (several[i].why)
            cr_expect(text_ends(fault.detail, several[i].why) &&
                          text_starts(fault.detail, WHERE ": of 3 records"),
                      "%s: %s", several[i].about, fault.detail);
    }
}

Test(persist, pieces)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    static const char split[] =
        "\010ca.test;\001 \0\020accounturi=https\017://ca.test/acme\013/account/a1";
    static const char cut[] = "\010ca.test;\177 accounturi=https://ca.test/acme/account/a1";
    const struct bytes whole = {(const uint8_t *)split, sizeof(split) - 1};
    const struct bytes broken = {(const uint8_t *)cut, sizeof(cut) - 1};
    const char *longer = mem_printf(scratch, "ca.test; x=%0600d; " ACCOUNT, 0);
    const struct bytes parts = rdata(scratch, longer);
    struct fault fault = {0};

    cr_expect(proves(&whole, 1, false, &fault), "%s", fault.detail);
    cr_expect(proves(&parts, 1, false, &fault), "%s", fault.detail);
    cr_expect_not(proves(&broken, 1, false, &fault));
    cr_expect(text_ends(fault.detail, malformed), "%s", fault.detail);
}
