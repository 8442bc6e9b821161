/* tests/unit/auth/key.c: the form of an API key, 06 section 3.1. */
#include "auth/key.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

/* The checksums were computed with zlib's crc32 over the first 47 characters. */
static const struct {
    const char *about;
    const char *key;
    bool minted;
} keys[] = {
    {"all zero bytes",       "cck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA2hVEam",  true },
    {"all ones",             "cck___________________________________________82YA4jr",  true },
    {"a digit of the sum",   "cck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000",  false},
    {"a letter of the body", "cck_BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA2hVEam",  false},
    {"one too short",        "cck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA2hVEam",   false},
    {"one too long",         "cck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA2hVEam0", false},
    {"another mark",         "cct_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA2hVEam",  false},
    {"nothing",              "",                                                       false},
};

Test(key, bears_its_checksum)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        cr_expect_eq(api_key_minted(keys[i].key), keys[i].minted, "%s", keys[i].about);
}

Test(key, is_new_each_time)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *one = api_key_new(ctx);
    const char *other = api_key_new(ctx);

    cr_expect_eq(strlen(one), API_KEY_LENGTH);
    cr_expect(text_starts(one, "cck_"));
    cr_expect(api_key_minted(one) && api_key_minted(other));
    cr_expect_str_neq(one, other);
}

Test(key, is_stored_as_its_sha256)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    uint8_t digest[DIGEST_SHA256_SIZE];

    api_key_digest("abc", digest); /* FIPS 180-2 appendix B.1 */
    cr_expect_str_eq(hex_from_bytes(ctx, BYTES_OF(digest)),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
