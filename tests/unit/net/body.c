/* tests/unit/net/body.c: when an answer is the key authorization (RFC 8555 section 8.3). */
#include <criterion/criterion.h>

#include "net/http01.h"

#include "core/banned.h"

#define KEY "token.thumbprint"

static const struct {
    const char *about;
    struct bytes body;
    bool same;
} cases[] = {
    {"the very bytes",           {(const uint8_t *)KEY, 16},                 true },
    {"a line feed",              {(const uint8_t *)KEY "\n", 17},            true },
    {"all white space of ASCII", {(const uint8_t *)KEY " \t\n\v\f\r", 22},   true },
    {"a NUL at the end",         {(const uint8_t *)KEY, 17},                 false},
    {"white space and a NUL",    {(const uint8_t *)KEY "\n", 18},            false},
    {"a no-break space",         {(const uint8_t *)KEY "\xc2\xa0", 18},      false},
    {"white space in front",     {(const uint8_t *)" " KEY, 17},             false},
    {"white space inside",       {(const uint8_t *)"token. thumbprint", 17}, false},
    {"one byte less",            {(const uint8_t *)KEY, 15},                 false},
    {"one byte more",            {(const uint8_t *)KEY "x", 17},             false},
    {"other case",               {(const uint8_t *)"Token.thumbprint", 16},  false},
    {"nothing",                  {NULL, 0},                                  false},
    {"white space alone",        {(const uint8_t *)" \n", 2},                false},
    {"another line",             {(const uint8_t *)KEY "\n" KEY, 33},        false},
};

Test(body, is_compared_but_for_white_space_at_its_end)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect_eq(http01_body_matches(cases[i].body, KEY), cases[i].same, "%s", cases[i].about);
}
