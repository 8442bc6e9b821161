/* tests/unit/lifecycle/ca.c: when a CA may still issue (04 section 6.2, check 10). */
#include <criterion/criterion.h>

#include "core/clock.h"
#include "issuer/issuer.h"

#include "core/banned.h"

#define NOW 1800000000

static const struct {
    const char *about;
    int64_t not_before;
    int64_t not_after;
    enum fault_reason reason;
} cases[] = {
    {"in the middle of its life",  NOW - 1000, NOW + 1000, REASON_NONE},
    {"valid from this second on",  NOW,        NOW + 1000, REASON_NONE},
    {"valid from the next second", NOW + 1,    NOW + 1000, CA_INACTIVE},
    {"sixty seconds left",         NOW - 1000, NOW + 60,   REASON_NONE},
    {"fifty-nine seconds left",    NOW - 1000, NOW + 59,   CA_EXPIRED },
    {"expired",                    NOW - 1000, NOW - 1,    CA_EXPIRED },
};

Test(ca, issues_while_it_is_valid_for_a_minute)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct ca ca = {
            .facts = {.not_before = cases[i].not_before, .not_after = cases[i].not_after}
        };
        struct fault fault = {0};
        const bool good = ca_check(&ca, NOW, &fault);

        cr_expect_eq(good, cases[i].reason == REASON_NONE, "%s", cases[i].about);
        cr_expect_eq(fault.reason, cases[i].reason, "%s", cases[i].about);
    }
}

Test(driver, is_found_by_type)
{
    cr_expect_eq(issuer_find("GenericCA"), &issuer_local);
    cr_expect_null(issuer_find("genericca"));
    cr_expect_null(issuer_find("VaultPKI"));
    cr_expect_null(issuer_find(NULL));
}
