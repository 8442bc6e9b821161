/* tests/unit/net/caa.c: what CAA records say of us (RFC 8659 section 4, RFC 8657). */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "net/caa_record.h"

#include "core/banned.h"

#define ACCOUNT "https://acme.test/acme/account/a"

/* Flags, length of the tag, tag, value: octets of one record. */
#define RECORD(octets)                                                                             \
    {                                                                                              \
        (const uint8_t *)(octets), sizeof(octets) - 1                                              \
    }

static const struct {
    const char *about;
    struct bytes records[2];
    bool plain; /* may we issue for a.test */
    bool wild;  /* and for *.a.test */
} cases[] = {
    {"ours",                         {RECORD("\0\005issueca.test")},                              true,  true },
    {"ours with white space",        {RECORD("\0\005issue \tca.test\t ;  ")},                     true,  true },
    {"one of two",                   {RECORD("\0\005issuex.test"), RECORD("\0\005issueCA.TEST")}, true,  true },
    {"another's",                    {RECORD("\0\005issuex.test")},                               false, false},
    {"ours as a part",               {RECORD("\0\005issueca.test.x")},                            false, false},
    {"nobody",                       {RECORD("\0\005issue;")},                                    false, false},
    {"nothing",                      {RECORD("\0\005issue")},                                     false, false},
    {"wildcards to nobody",          {RECORD("\0\011issuewild;")},                                true,  false},
    {"plain names to nobody",
     {RECORD("\0\005issue;"), RECORD("\0\011issuewildca.test")},
     false,                                                                                              true },
    {"another tag alone",            {RECORD("\0\005iodefmailto:a@a.test")},                      true,  true },
    {"a tag in capitals",            {RECORD("\0\005ISSUE;")},                                    false, false},
    {"an unknown tag",               {RECORD("\0\003tbsx"), RECORD("\0\005issueca.test")},        true,  true },
    {"unknown and critical",         {RECORD("\200\003tbsx"), RECORD("\0\005issueca.test")},      false, false},
    {"a known critical tag",         {RECORD("\200\005iodefx"), RECORD("\0\005issueca.test")},    true,  true },
    {"a reserved flag",              {RECORD("\001\003tbsx"), RECORD("\0\005issueca.test")},      true,  true },
    {"the account",                  {RECORD("\0\005issueca.test; accounturi=" ACCOUNT)},         true,  true },
    {"with white space",             {RECORD("\0\005issueca.test ;AccountURI = " ACCOUNT " ;")},  true,  true },
    {"another account",              {RECORD("\0\005issueca.test; accounturi=" ACCOUNT "b")},     false, false},
    {"no account",                   {RECORD("\0\005issueca.test; accounturi=")},                 false, false},
    {"the account twice",
     {RECORD("\0\005issueca.test; accounturi=" ACCOUNT "; accounturi=" ACCOUNT)},
     false,                                                                                              false},
    {"the method",                   {RECORD("\0\005issueca.test; validationmethods=x,dns-01")},  true,  true },
    {"another method",               {RECORD("\0\005issueca.test; validationmethods=dns-011")},   false, false},
    {"no method",                    {RECORD("\0\005issueca.test; validationmethods=")},          false, false},
    {"an unknown parameter",         {RECORD("\0\005issueca.test; policy=ev")},                   true,  true },
    {"a tag with a hyphen",          {RECORD("\0\005issueca.test; account-uri=x")},               true,  true },
    {"a hyphen at its end",          {RECORD("\0\005issueca.test; account-=x")},                  false, false},
    {"a parameter alone",            {RECORD("\0\005issueca.test; policy")},                      false, false},
    {"parameters without semicolon", {RECORD("\0\005issueca.test policy=ev")},                    false, false},
    {"a NUL in the value",           {RECORD("\0\005issueca.test\0")},                            false, false},
    {"an octet above ASCII",         {RECORD("\0\005issueca.test\xff")},                          false, false},
    {"one octet",                    {RECORD("\0")},                                              false, false},
    {"a tag of no length",           {RECORD("\0\0issue")},                                       false, false},
    {"a tag past the end",           {RECORD("\0\006issue"), RECORD("\0\005issueca.test")},       false, false},
    {"a tag that is no word",        {RECORD("\0\005iss-ex")},                                    false, false},
};

Test(caa, records_are_judged)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list ours = text_split(scratch, "other.test,ca.test", ',');

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (int wild = 0; wild < 2; wild++) {
            const struct caa_wish wish = {wild, &ours, ACCOUNT, "dns-01"};
            const bool expected = wild ? cases[i].wild : cases[i].plain;
            struct fault fault = {0};

            cr_expect_eq(caa_allows(&wish, cases[i].records, cases[i].records[1].data ? 2 : 1,
                                    "a.test", &fault),
                         expected, "%s, wildcard %d: %s", cases[i].about, wild, fault.detail);
            cr_expect_eq(fault.reason, expected ? REASON_NONE : NET_CAA, "%s", cases[i].about);
            if (!expected)
                cr_expect(strstr(fault.detail, "a.test") != NULL, "%s: %s", cases[i].about,
                          fault.detail);
        }
}

static const struct {
    const char *mode;
    const char *of_profile;
    bool without_names;
    bool with_names;
} modes[] = {
    {"off",  NULL,      false, false},
    {"on",   NULL,      true,  true },
    {"auto", NULL,      false, true },
    {"auto", "inherit", false, true },
    {"auto", "off",     false, false},
    {"auto", "on",      true,  true },
    {"off",  "on",      true,  true },
    {"on",   "off",     false, false},
    {"off",  "inherit", false, false},
};

Test(caa, is_wanted_as_the_settings_say)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list names = text_split(scratch, "ca.test", ',');
    const struct text_list none = {0};

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        cr_expect_eq(caa_wanted(modes[i].mode, modes[i].of_profile, &none), modes[i].without_names,
                     "case %zu", i);
        cr_expect_eq(caa_wanted(modes[i].mode, modes[i].of_profile, &names), modes[i].with_names,
                     "case %zu", i);
    }
}
