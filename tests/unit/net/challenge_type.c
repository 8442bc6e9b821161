/* tests/unit/net/challenge_type.c: what proves what (RFC 8555 section 8, RFC 8737, RFC 8738), and
 * how records that persist call us (draft-ietf-acme-dns-persist-01 section 3.1). */
#include "net/challenge_type.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/macro.h"
#include "core/memory.h"

#include "core/banned.h"

static const struct {
    const char *name;
    bool dns;
    bool wildcard;
    bool ip;
    bool by_default;
    bool persists;
} cases[] = {
    {"http-01",        true, false, true,  true,  false},
    {"dns-01",         true, true,  false, true,  false},
    {"tls-alpn-01",    true, false, true,  true,  false},
    {"dns-account-01", true, true,  false, false, false},
    {"dns-persist-01", true, true,  false, false, true },
};

Test(challenge_type, proves)
{
    cr_expect_eq(challenge_type_count, ARRAY_SIZE(cases));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct challenge_type *type = challenge_type_find(cases[i].name);

        cr_assert_not_null(type, "%s", cases[i].name);
        cr_expect_eq(challenge_type_proves(type, "dns", false), cases[i].dns, "%s", type->name);
        cr_expect_eq(challenge_type_proves(type, "dns", true), cases[i].wildcard, "%s", type->name);
        cr_expect_eq(challenge_type_proves(type, "ip", false), cases[i].ip, "%s", type->name);
        cr_expect_eq(type->by_default, cases[i].by_default, "%s", type->name);
        cr_expect_eq(type->persists, cases[i].persists, "%s", type->name);
    }
}

Test(challenge_type, others_do_not_exist)
{
    cr_expect_null(challenge_type_find("dns-persist-02"));
    cr_expect_null(challenge_type_find("HTTP-01"));
    cr_expect_null(challenge_type_find(""));
    cr_expect_null(challenge_type_find(NULL));
}

#define TEN  "a.test,b.test,c.test,d.test,e.test,f.test,g.test,h.test,i.test,j.test"
#define L50  "01234567890123456789012345678901234567890123456789"
#define L245 L50 L50 L50 L50 "012345678901234567890123456789012345678901234"

static const struct {
    const char *about;
    const char *ours;
    const char *names;
} issuers[] = {
    {"none",                 "",                                 ""                     },
    {"as they are",          "ca.test,other-ca.test",            "ca.test,other-ca.test"},
    {"in lower case",        "CA.Test",                          "ca.test"              },
    {"without the last dot", "ca.test.",                         "ca.test"              },
    {"once",                 "ca.test,CA.TEST,ca.test.",         "ca.test"              },
    {"a single label",       "ca",                               "ca"                   },
    {"the root",             ".",                                ""                     },
    {"an A-label",           "XN--BCHER-KVA.test",               "xn--bcher-kva.test"   },
    {"a U-label",
     "b\xc3\xbc"
     "cher.test,ca.test",                                        "ca.test"              },
    {"what is no name",      "https://ca.test/,a b.test,a_b.cd", ""                     },
    {"253 octets",           L245 ".abcdefg",                    L245 ".abcdefg"        },
    {"254 octets",           L245 ".abcdefgh",                   ""                     },
    {"ten",                  TEN,                                TEN                    },
    {"the eleventh",         TEN ",k.test",                      TEN                    },
    {"ten, and one no name", "_," TEN,                           TEN                    },
};

Test(challenge_type, issuers)
{
    for (size_t i = 0; i < ARRAY_SIZE(issuers); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct text_list ours = text_split(scratch, issuers[i].ours, ',');
        const struct text_list names = challenge_issuers(scratch, &ours);

        cr_expect_str_eq(text_list_join(scratch, &names, ","), issuers[i].names, "%s",
                         issuers[i].about);
    }
}
