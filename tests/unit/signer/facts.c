/* tests/unit/signer/facts.c: what a facts file may say, and whose certificate it must hold. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "rig.h"

#include "core/banned.h"

static const struct {
    const char *about;
    const char *more; /* members behind ca_certificate */
    bool accepted;
} cases[] = {
    {"nothing else",                 "",                                                   true },
    {"all members",
     ",\"max_leaf_days\":90,\"ocsp_urls\":[\"http://o/\"],\"ca_issuers_urls\":[\"http://c/\"],"
     "\"crl_urls\":[\"http://l/\"],\"allowed_ekus\":[\"serverAuth\",\"timeStamping\"],"
     "\"allowed_policies\":[\"1.2.3\"],\"permitted_dns\":[\"example.com\",\".example.org\"],"
     "\"excluded_dns\":[\"x.example.com\"],\"signatures_per_hour_per_peer\":10,"
     "\"crl_validity_seconds\":86400",                                                     true },
    {"an unknown member",            ",\"max_leaf_day\":90",                               false},
    {"a member twice",               ",\"max_leaf_days\":90,\"max_leaf_days\":91",         false},
    {"a member that is null",        ",\"max_leaf_days\":null",                            false},
    {"no day",                       ",\"max_leaf_days\":0",                               false},
    {"one day",                      ",\"max_leaf_days\":1",                               true },
    {"36600 days",                   ",\"max_leaf_days\":36600",                           true },
    {"36601 days",                   ",\"max_leaf_days\":36601",                           false},
    {"days as text",                 ",\"max_leaf_days\":\"90\"",                          false},
    {"a limit below nothing",        ",\"signatures_per_hour_per_peer\":-1",               false},
    {"an EKU that no leaf may have", ",\"allowed_ekus\":[\"serverAuth\",\"OCSPSigning\"]", false},
    {"a text for a list",            ",\"ocsp_urls\":\"http://o/\"",                       false},
    {"a URL without a scheme",       ",\"ocsp_urls\":[\"http://o/\",\"o.example.com\"]",   false},
    {"a URL with a blank",           ",\"crl_urls\":[\"http://o/a b\"]",                   false},
    {"a policy that is no OID",      ",\"allowed_policies\":[\"1.2.x\"]",                  false},
    {"a name in capitals",           ",\"permitted_dns\":[\"Example.com\"]",               false},
    {"an empty name, which is all",  ",\"excluded_dns\":[\"\"]",                           false},
};

Test(signer_facts, are_judged_before_they_are_written)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_X509(root.certificate, &der);
    const char *base64 = base64_from_bytes(scratch, (struct bytes){der, size});

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fault fault = {0};
        const char *json = mem_printf(scratch, "{\"ca_certificate\":\"%s\"%s}", base64,
                                      cases[i].more);
        cr_expect_eq(rig_facts(rig, &root, json, &fault), cases[i].accepted, "%s: %s",
                     cases[i].about, fault.detail);
        cr_expect_eq(fault.reason, cases[i].accepted ? REASON_NONE : SIGNER_MESSAGE, "%s: %s",
                     cases[i].about, fault.detail);
    }
    rig_end(rig);
}

Test(signer_facts, hold_a_certificate_of_this_very_ca)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct rig_key other = rig_root(rig, "ECDSA-P256");
    const struct certificate_wish wish = rig_wish(rig);
    struct fault fault = {0};
    struct bytes leaf;
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_X509(other.certificate, &der);

    cr_assert(rig_sign(rig, &root, &wish, &leaf, &fault), "%s", fault.detail);
    const struct {
        const char *base64;
        const char *detail;
    } wrong[] = {
        {base64_from_bytes(scratch, (struct bytes){der, size}), "does not match CA certificate"},
        {base64_from_bytes(scratch,                         leaf),                           "is not a CA"},
        {"MAA=",            ""           },
        {"!",            "is not base64"                          },
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        const char *json = mem_printf(scratch, "{\"ca_certificate\":\"%s\"}", wrong[i].base64);
        cr_expect_not(rig_facts(rig, &root, json, &fault), "%zu", i);
        cr_expect_not_null(strstr(fault.detail, wrong[i].detail), "%s", fault.detail);
    }
    cr_expect_not(rig_facts(rig, &root, "{}", &fault));
    cr_expect_not(rig_facts(rig, &root, "[]", &fault));
    /* What was refused changed nothing. */
    cr_expect(rig_sign(rig, &root, &wish, &leaf, &fault), "%s", fault.detail);
    rig_end(rig);
}
