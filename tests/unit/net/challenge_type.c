/* tests/unit/net/challenge_type.c: what proves what (RFC 8555 section 8, RFC 8737, RFC 8738). */
#include "net/challenge_type.h"

#include <criterion/criterion.h>

#include "core/macro.h"

#include "core/banned.h"

static const struct {
    const char *name;
    bool dns;
    bool wildcard;
    bool ip;
    bool by_default;
} cases[] = {
    {"http-01",        true, false, true,  true },
    {"dns-01",         true, true,  false, true },
    {"tls-alpn-01",    true, false, true,  true },
    {"dns-account-01", true, true,  false, false},
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
    }
}

Test(challenge_type, others_do_not_exist)
{
    cr_expect_null(challenge_type_find("dns-persist-01"));
    cr_expect_null(challenge_type_find("HTTP-01"));
    cr_expect_null(challenge_type_find(""));
    cr_expect_null(challenge_type_find(NULL));
}
