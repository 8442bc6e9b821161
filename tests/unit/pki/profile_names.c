/* tests/unit/pki/profile_names.c: which names a profile lets through, and what it adds (04 section
 * 7.4). */
#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/profile.h"

#include "core/banned.h"

#define SID   "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-1104"
#define ID    "spiffe://example.org/ns/shop/sa/web"
#define TYPES (1u << NAME_DNS | 1u << NAME_UPN)

#define CASE(words, ...)                                                                           \
    {                                                                                              \
        .about = (words), __VA_ARGS__                                                              \
    }

/* A profile, a request's names, and what becomes of them. */
static const struct {
    const char *about;
    const char *spiffe;
    const char *uris; /* JSON */
    const char *sans; /* JSON */
    unsigned types;
    unsigned ekus;
    struct name names[3];
    const char *common_name;
    const char *refusal; /* a part of it; NULL: all pass */
    const char *minted;
} cases[] = {
    CASE("all of the usual types",
         .names = {{NAME_DNS, "a.test"},          {NAME_IP, "192.0.2.1"}, {NAME_EMAIL, "a@b.test"}}
           ),
    CASE("a UPN is not usual", .names = {{NAME_UPN, "a@b.test"}    },
         .refusal = "\"a@b.test\" is of type upn, which profile \"P\" does not allow"),
    CASE("a UPN that is listed", .types = TYPES, .names = {{NAME_UPN, "a@b.test"}       }
           ),
    CASE("a type that is not listed", .types = TYPES,
         .names = {{NAME_DNS, "a.test"},        {NAME_IP, "192.0.2.1"}},
         .refusal = "\"192.0.2.1\" is of type ip"),
    CASE("types of no name are never", .names = {{NAME_OTHER, "directoryName"}         },
         .refusal = "is of type other"),
    CASE("a URI needs a rule", .names = {{NAME_URI, "https://a.test/"}                            },
         .refusal = "matches neither spiffe_uri_pattern nor allowed_uri_patterns of profile \"P\""),
    CASE("a URI pattern", .uris = "[\"https://[a-z.]+/\"]",
         .names = {{NAME_URI, "https://a.test/"}                   }
           ),
    CASE("it is anchored", .uris = "[\"https://[a-z.]+/\"]",
         .names = {{NAME_URI, "https://a.test/x"}},
           .refusal = "matches neither"),
    CASE("a SPIFFE pattern is no URI pattern", .spiffe = "spiffe://example.org/**",
         .names = {{NAME_URI, "https://a.test/"}         },
           .refusal = "matches neither"),
    CASE("a SPIFFE ID", .spiffe = "spiffe://example.org/ns/*/sa/*", .names = {{NAME_URI, ID}                            }
           ),
    CASE("of another trust domain", .spiffe = "spiffe://example.com/ns/*/sa/*",
         .names = {{NAME_URI, ID}                   },
           .refusal = "matches neither"),
    CASE("with a query", .spiffe = "spiffe://example.org/**", .names = {{NAME_URI, ID "?a"}},
         .refusal = "is no SPIFFE ID"),
    CASE("with a user", .spiffe = "spiffe://example.org/**",
         .names = {{NAME_URI, "spiffe://u@example.org/a"}         },
           .refusal = "trust domain"),
    CASE("with a port", .spiffe = "spiffe://example.org/**",
         .names = {{NAME_URI, "spiffe://example.org:1/a"}                            },
           .refusal = "trust domain"),
    CASE("no pattern makes a bad ID good", .uris = "[\".*\"]",
         .names = {{NAME_URI, "SPIFFE://example.org/a"}                   },
           .refusal = "is no SPIFFE ID"),
    CASE("an ID by a URI pattern", .uris = "[\"spiffe://.*\"]", .names = {{NAME_URI, ID}}
           ),
    CASE("two IDs", .spiffe = "spiffe://example.org/**",
         .names = {{NAME_URI, ID},          {NAME_URI, ID "2"}},
           .refusal = "exactly one is allowed"),
    CASE("an ID and another URI", .spiffe = "spiffe://example.org/**", .uris = "[\"https://.*\"]",
         .names = {{NAME_URI, "https://a.test"},                             {NAME_URI, ID}},
         .refusal = "exactly one is allowed"),
    CASE("two URIs that are none", .uris = "[\"https://.*\"]",
         .names = {{NAME_URI, "https://a.test"},  {NAME_URI, "https://b.test"}}
           ),
    CASE("a SID for clients", .ekus = EKU_CLIENT_AUTH,
         .names = {{NAME_DNS, "a.test"},  {NAME_URI, SID}}
           ),
    CASE("a SID for servers", .ekus = EKU_SERVER_AUTH, .names = {{NAME_URI, SID}                            },
         .refusal = "matches neither"),
    CASE("a SID that is none", .ekus = EKU_CLIENT_AUTH, .names = {{NAME_URI, SID "-"}},
         .refusal = "matches neither"),
    CASE("a SID with letters", .ekus = EKU_CLIENT_AUTH, .names = {{NAME_URI, SID "-x"}         },
         .refusal = "matches neither"),
    CASE("a literal pattern is minted", .spiffe = ID, .names = {{NAME_DNS, "a.test"}                            },
         .minted = ID),
    CASE("but not where it was asked for", .spiffe = ID, .names = {{NAME_URI, ID}}
           ),
    CASE("nor where another URI was", .spiffe = ID, .ekus = EKU_CLIENT_AUTH,
         .names = {{NAME_URI, SID}                             }
           ),
    CASE("a pattern with a star mints nothing", .spiffe = "spiffe://example.org/*",
         .names = {{NAME_DNS, "a.test"}                   }
           ),
    CASE("patterns bind DNS names and e-mail", .sans = "[\"[a-z]+\\\\.test\"]",
         .names = {{NAME_DNS, "a.test"}, {NAME_EMAIL, "a@b.test"}},
         .refusal = "\"a@b.test\" matches no name pattern of profile \"P\""),
    CASE("and a common name that is no name", .sans = "[\"[a-z]+\\\\.test\"]",
         .names = {{NAME_DNS, "a.test"}                            },
           .common_name = "a.evil",
         .refusal = "\"a.evil\" matches no name pattern"),
    CASE("one that matches", .sans = "[\"[a-z]+\\\\.test\"]", .names = {{NAME_DNS, "a.test"}},
         .common_name = "B.test"),
    CASE("one that is a name, in capitals", .sans = "[\"a\\\\.test\"]",
         .names = {{NAME_DNS, "a.test"}         },
           .common_name = "A.test"),
    CASE("an address is a common name too", .sans = "[\"a\\\\.test\"]",
         .names = {{NAME_IP, "192.0.2.1"}    },
           .common_name = "192.0.2.1"),
    CASE("a mailbox is compared as it is", .sans = "[\"joe@b\\\\.test\"]",
         .names = {{NAME_EMAIL, "joe@b.test"}         },
           .common_name = "Joe@b.test",
         .refusal = "\"Joe@b.test\" matches no name pattern"),
};

static struct profile *profile_of(TALLOC_CTX *ctx, size_t i)
{
    struct profile *profile = mem_new(ctx, struct profile);
    struct fault fault = {0};

    profile->name = "P";
    profile->allow_wildcards = true;
    profile->ekus = cases[i].ekus;
    profile->san_types = cases[i].types;
    cr_assert(profile_set_san_patterns(profile, cases[i].sans, &fault), "%s", fault.detail);
    cr_assert(profile_set_uri_patterns(profile, cases[i].uris, &fault), "%s", fault.detail);
    cr_assert(profile_set_spiffe_pattern(profile, cases[i].spiffe, &fault), "%s", fault.detail);
    return profile;
}

Test(profile_names, are_held_against_the_profile)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct profile *profile = profile_of(scratch, i);
        struct name_list asked = {0};
        struct name_list got = {0};
        struct fault fault = {0};

        for (size_t k = 0; k < ARRAY_SIZE(cases[i].names) && cases[i].names[k].value; k++)
            name_list_add(scratch, &asked, cases[i].names[k].kind, cases[i].names[k].value);
        const bool good = profile_names(scratch, profile, &asked, cases[i].common_name, &got,
                                        &fault);

        cr_expect_eq(good, !cases[i].refusal, "%s: %s", cases[i].about, fault.detail);
        if (cases[i].refusal) {
            cr_expect(strstr(fault.detail, cases[i].refusal), "%s: %s", cases[i].about,
                      fault.detail);
            cr_expect_eq(fault.reason, CSR_NAME_REJECTED, "%s", cases[i].about);
            cr_expect_eq(got.count, 0, "%s", cases[i].about);
            continue;
        }
        cr_assert_eq(got.count, asked.count + (cases[i].minted ? 1 : 0), "%s", cases[i].about);
        for (size_t k = 0; k < asked.count; k++)
            cr_expect_str_eq(got.items[k].value, asked.items[k].value, "%s", cases[i].about);
        if (cases[i].minted)
            cr_expect_str_eq(got.items[asked.count].value, cases[i].minted, "%s", cases[i].about);
    }
}

Test(profile_names, wildcards_in_common_names_are_wildcards)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct profile profile = {.name = "P"};
    struct name_list asked = {0};
    struct name_list got = {0};
    struct fault fault = {0};

    name_list_add(scratch, &asked, NAME_DNS, "a.test");
    cr_expect_not(profile_names(scratch, &profile, &asked, "*.test", &got, &fault));
    cr_expect(strstr(fault.detail, "\"*.test\" is a wildcard"), "%s", fault.detail);
}

Test(profile_names, types_are_read)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct profile *profile = mem_new(scratch, struct profile);
    struct fault fault = {0};
    struct text_list types = text_split(scratch, "dns,upn", ',');

    cr_expect(profile_set_san_types(profile, &types, &fault));
    cr_expect_eq(profile->san_types, TYPES);
    types = text_split(scratch, "dns,other", ',');
    cr_expect_not(profile_set_san_types(profile, &types, &fault));
    cr_expect_eq(fault.reason, PROFILE_UNAVAILABLE);
    cr_expect_eq(profile->san_types, TYPES);
}
