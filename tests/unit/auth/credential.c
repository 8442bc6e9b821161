/* tests/unit/auth/credential.c: what a header and an address say, 06 sections 1.2 and 3.5. */
#include "auth/credential.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/macro.h"
#include "core/text.h"

#include "core/banned.h"

static const struct {
    const char *about;
    const char *header;
    enum credential_kind kind;
    const char *key;
} headers[] = {
    {"no header",              NULL,              CREDENTIAL_NONE,   NULL },
    {"an empty one",           "",                CREDENTIAL_NONE,   NULL },
    {"the usual",              "Bearer abc",      CREDENTIAL_KEY,    "abc"},
    {"the scheme in any case", "bEARER abc",      CREDENTIAL_KEY,    "abc"},
    {"more spaces",            "Bearer   abc  ",  CREDENTIAL_KEY,    "abc"},
    {"a space inside stays",   "Bearer a b",      CREDENTIAL_KEY,    "a b"},
    {"another scheme",         "Basic YTpi",      CREDENTIAL_SCHEME, NULL },
    {"no space",               "Bearerabc",       CREDENTIAL_SCHEME, NULL },
    {"the scheme alone",       "Bearer",          CREDENTIAL_SCHEME, NULL },
    {"nothing behind it",      "Bearer  ",        CREDENTIAL_SCHEME, NULL },
    {"a key alone",            "cck_AAAAAAAAAAA", CREDENTIAL_SCHEME, NULL },
};

Test(credential, comes_from_the_header)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        const struct credential got = credential_from_header(ctx, headers[i].header);
        cr_expect_eq(got.kind, headers[i].kind, "%s", headers[i].about);
        cr_expect(headers[i].key ? text_equal(got.key, headers[i].key) : got.key == NULL, "%s",
                  headers[i].about);
    }
}

static const struct {
    const char *address;
    const char *key;
} addresses[] = {
    {"192.0.2.7",            "192.0.2.7"        },
    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
    {"2001:db8:1:2::1",      "2001:db8:1:2::/64"},
    {"2001:db8:1:3::1",      "2001:db8:1:3::/64"},
    {"::1",                  "::/64"            },
    {NULL,                   "unknown"          },
    {"",                     "unknown"          },
    {"192.0.2.7, 192.0.2.8", "unknown"          },
};

Test(credential, addresses_share_a_limit_by_client)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
        cr_expect_str_eq(address_limit_key(ctx, addresses[i].address), addresses[i].key);
}
