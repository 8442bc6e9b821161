/* tests/unit/pki/profile_subject.c: what of a request's subject a certificate bears. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "pki/profile.h"

#include "core/banned.h"

#define LONG "a23456789.a23456789.a23456789.a23456789.a23456789.a23456789.a2345"

static const struct rdn subject[] = {
    {"2.5.4.6",  RDN_PRINTABLE, "DE"      },
    {"2.5.4.10", RDN_UTF8,      "Shop"    },
    {"2.5.4.3",  RDN_UTF8,      "old.test"},
    {"2.5.4.3",  RDN_IA5,       "a.test"  },
    {"1.2.3",    RDN_UTF8,      ""        },
};

static const struct {
    const char *about;
    const char *policy; /* JSON, or NULL */
    bool alone;
    const char *result; /* "oid=value ..."; NULL: refused */
} cases[] = {
    {"all of it, the last common name, nothing empty", NULL,                                                    false,
     "2.5.4.6=DE 2.5.4.10=Shop 2.5.4.3=a.test"                                                                                                    },
    {"the common name alone",                          NULL,                                                    true,  "2.5.4.3=a.test"           },
    {"a list",                                         "{\"allowed\":[\"commonName\",\"2.5.4.6\"]}",            false, "2.5.4.6=DE 2.5.4.3=a.test"},
    {"a list for who proved names only",               "{\"allowed\":[\"commonName\",\"2.5.4.6\"]}",            true,
     "2.5.4.3=a.test"                                                                                                                             },
    {"an empty list",                                  "{\"allowed\":[]}",                                      false, ""                         },
    {"what is required is there",                      "{\"required\":[\"countryName\",\"organizationName\"]}", true,
     "2.5.4.3=a.test"                                                                                                                             },
    {"what is required is not",                        "{\"required\":[\"countryName\",\"serialNumber\"]}",     false, NULL                       },
    {"what is required is empty",                      "{\"required\":[\"1.2.3\"]}",                            false, NULL                       },
    {"fixed values come first, and win",
     "{\"fixed\":{\"organizationName\":\"Ours\",\"2.5.4.11\":\"IT\"}}",                                         false,
     "2.5.4.10=Ours 2.5.4.11=IT 2.5.4.6=DE 2.5.4.3=a.test"                                                                                        },
    {"fixed values for who proved names only",         "{\"fixed\":{\"organizationName\":\"Ours\"}}",           true,
     "2.5.4.10=Ours 2.5.4.3=a.test"                                                                                                               },
};

static char *text_of(TALLOC_CTX *ctx, const struct profile_subject *got)
{
    char *text = mem_text(ctx, "");

    for (size_t i = 0; i < got->count; i++)
        text = mem_append(text, "%s%s=%s", i > 0 ? " " : "", got->rdns[i].oid, got->rdns[i].value);
    return text;
}

static struct csr *csr_of(TALLOC_CTX *ctx, const struct rdn *rdns, size_t count)
{
    struct csr *csr = mem_new(ctx, struct csr);

    csr->subject = mem_copy(csr, rdns, count * sizeof *rdns);
    csr->subject_count = count;
    for (size_t i = 0; i < count; i++)
        if (text_equal(rdns[i].oid, "2.5.4.3"))
            csr->common_name = rdns[i].value;
    return csr;
}

Test(profile_subject, takes_over_what_the_policy_allows)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct profile *profile = mem_new(scratch, struct profile);
        const struct csr *csr = csr_of(scratch, subject, ARRAY_SIZE(subject));
        const struct name_list names = {0};
        struct profile_subject got = {0};
        struct fault fault = {0};

        profile->name = "P";
        cr_assert(profile_set_subject_policy(profile, cases[i].policy, &fault), "%s: %s",
                  cases[i].about, fault.detail);
        const bool good = profile_subject(scratch, profile, csr, &names, cases[i].alone, &got,
                                          &fault);
        cr_assert_eq(good, cases[i].result != NULL, "%s: %s", cases[i].about, fault.detail);
        if (good)
            cr_expect_str_eq(text_of(scratch, &got), cases[i].result, "%s", cases[i].about);
        else
            cr_expect(strstr(fault.detail, "which subject_policy of profile \"P\" requires"),
                      "%s: %s", cases[i].about, fault.detail);
    }
}

Test(profile_subject, keeps_string_types)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct profile profile = {.name = "P"};
    const struct csr *csr = csr_of(scratch, subject, ARRAY_SIZE(subject));
    const struct name_list names = {0};
    struct profile_subject got = {0};
    struct fault fault = {0};

    cr_assert(profile_subject(scratch, &profile, csr, &names, false, &got, &fault));
    cr_expect_eq(got.rdns[0].string, RDN_PRINTABLE);
    cr_expect_eq(got.rdns[1].string, RDN_UTF8);
    cr_expect_eq(got.rdns[2].string, RDN_IA5);
}

Test(profile_subject, leaves_out_a_long_common_name_that_is_a_name)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct profile profile = {.name = "P"};
    const struct rdn rdn = {"2.5.4.3", RDN_UTF8, LONG};
    const struct csr *csr = csr_of(scratch, &rdn, 1);
    struct name_list names = {0};
    struct profile_subject got = {0};
    struct fault fault = {0};

    cr_assert_eq(strlen(LONG), 65);
    cr_expect_not(profile_subject(scratch, &profile, csr, &names, false, &got, &fault));
    cr_expect_eq(fault.reason, CSR_NAME_REJECTED);
    name_list_add(scratch, &names, NAME_DNS, LONG);
    cr_assert(profile_subject(scratch, &profile, csr, &names, false, &got, &fault));
    cr_expect_eq(got.count, 0);
}

static const char *const bad[] = {
    "[]",
    "7",
    "{\"alowed\":[]}",
    "{\"allowed\":{}}",
    "{\"allowed\":[\"nonsense\"]}",
    "{\"allowed\":[7]}",
    "{\"required\":[\"1.x\"]}",
    "{\"fixed\":[]}",
    "{\"fixed\":{\"commonName\":\"x\"}}",
    "{\"fixed\":{\"2.5.4.3\":\"x\"}}",
    "{\"fixed\":{\"organizationName\":\"\"}}",
    "{\"fixed\":{\"organizationName\":7}}",
    "{\"fixed\":{\"countryName\":\"DEU\"}}",
    "{\"fixed\":{\"organizationName\":\"a\\u202eb\"}}",
};

Test(profile_subject, policies_have_one_form)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct profile *profile = mem_new(scratch, struct profile);
        const size_t blocks = talloc_total_blocks(scratch);
        struct fault fault = {0};

        cr_expect_not(profile_set_subject_policy(profile, bad[i], &fault), "%s", bad[i]);
        cr_expect_eq(fault.reason, PROFILE_UNAVAILABLE, "%s", bad[i]);
        cr_expect_eq(talloc_total_blocks(scratch), blocks, "%s: memory left", bad[i]);
    }
}
