/* tests/unit/core/id.c: identifiers that we make and accept (05 section 3.1). */

#include "core/id.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

Test(id, made_ids_have_prefix_and_26_digits)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *made[] = {id_new(scratch, "acme-ord"), id_new_secret(scratch, "acme-ord")};

    for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
        cr_expect(text_starts(made[i], "acme-ord-"), "%s", made[i]);
        cr_expect_eq(strlen(made[i]), strlen("acme-ord-") + 26, "%s", made[i]);
        cr_expect_eq(strspn(made[i] + 9, crockford), 26, "%s", made[i]);
        cr_expect_leq(made[i][9], '7', "%s: 128 bits leave the first digit below 8", made[i]);
        cr_expect(id_valid(made[i]));
    }
}

/* The first ten digits are 48 bits of milliseconds behind two zero bits. */
static int64_t milliseconds_of(const char *digits)
{
    int64_t ms = 0;

    for (size_t i = 0; i < 10; i++)
        ms = ms * 32 + (strchr(crockford, digits[i]) - crockford);
    return ms;
}

Test(id, sorts_by_time)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t before = clock_now_us() / 1000;
    const char *first = id_new(scratch, "mc");
    const int64_t after = clock_now_us() / 1000;

    cr_expect(milliseconds_of(first + 3) >= before && milliseconds_of(first + 3) <= after);
    clock_shift_s(1);
    cr_expect_gt(strcmp(id_new(scratch, "mc"), first), 0);
}

Test(id, secret_ids_tell_no_time)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    size_t near = 0;

    for (size_t i = 0; i < 64; i++) {
        const int64_t apart = milliseconds_of(id_new_secret(scratch, "eab") + 4) -
                              clock_now_s() * 1000;
        near += apart > -86400000 && apart < 86400000;
    }
    cr_expect_leq(near, 1);
    cr_expect_str_neq(id_new_secret(scratch, "eab"), id_new_secret(scratch, "eab"));
}

static const struct {
    const char *about, *text;
    bool valid;
} cases[] = {
    {"one character",      "a",        true },
    {"all kinds",          "Az09._-",  true },
    {"dots in a name",     "..a",      true },
    {"three dots",         "...",      true },
    {"empty",              "",         false},
    {"dot",                ".",        false},
    {"dot dot",            "..",       false},
    {"slash",              "a/b",      false},
    {"space",              "a b",      false},
    {"newline at the end", "a\n",      false},
    {"letter of others",   "\xc3\xa4", false},
    {"percent",            "a%2e",     false},
    {"NULL",               NULL,       false},
};

Test(id, grammar)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect_eq(id_valid(cases[i].text), cases[i].valid, "%s", cases[i].about);
    cr_expect(id_valid(mem_printf(scratch, "%0127d", 0)));
    cr_expect(id_valid(mem_printf(scratch, "%0128d", 0)));
    cr_expect_not(id_valid(mem_printf(scratch, "%0129d", 0)));
}
