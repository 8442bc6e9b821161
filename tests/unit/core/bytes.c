/* tests/unit/core/bytes.c: hex, base64 and base64url, whole and broken. Vectors: RFC 4648 section
 * 10, RFC 7515 appendix C. */

#include "core/bytes.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"

#include "core/banned.h"

static const struct {
    const char *plain, *hex, *base64, *base64url;
} whole[] = {
    {"",       "",             "",         ""        },
    {"f",      "66",           "Zg==",     "Zg"      },
    {"fo",     "666f",         "Zm8=",     "Zm8"     },
    {"foo",    "666f6f",       "Zm9v",     "Zm9v"    },
    {"foob",   "666f6f62",     "Zm9vYg==", "Zm9vYg"  },
    {"fooba",  "666f6f6261",   "Zm9vYmE=", "Zm9vYmE" },
    {"foobar", "666f6f626172", "Zm9vYmFy", "Zm9vYmFy"},
};

Test(bytes, vectors_of_the_rfc_in_both_directions)
{
    for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct bytes plain = bytes_of_text(whole[i].plain);
        struct bytes read = {0};

        cr_expect_str_eq(hex_from_bytes(scratch, plain), whole[i].hex);
        cr_expect_str_eq(base64_from_bytes(scratch, plain), whole[i].base64);
        cr_expect_str_eq(base64url_from_bytes(scratch, plain), whole[i].base64url);
        cr_expect(hex_to_bytes(scratch, whole[i].hex, &read) && bytes_equal(read, plain));
        cr_expect(base64_to_bytes(scratch, whole[i].base64, strlen(whole[i].base64), &read) &&
                  bytes_equal(read, plain));
        cr_expect(
            base64url_to_bytes(scratch, whole[i].base64url, strlen(whole[i].base64url), &read) &&
            bytes_equal(read, plain));
    }
}

Test(bytes, every_octet_survives)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t all[256];
    struct bytes read = {0};

    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)i;
    const char *text = base64url_from_bytes(scratch, BYTES_OF(all));
    cr_expect(base64url_to_bytes(scratch, text, strlen(text), &read));
    cr_expect(bytes_equal(read, BYTES_OF(all)));
    cr_expect_not_null(strpbrk(text, "-"));
    cr_expect_not_null(strpbrk(text, "_"));
    text = base64_from_bytes(scratch, BYTES_OF(all));
    cr_expect(base64_to_bytes(scratch, text, strlen(text), &read));
    cr_expect(bytes_equal(read, BYTES_OF(all)));
    text = hex_from_bytes(scratch, BYTES_OF(all));
    cr_expect(hex_to_bytes(scratch, text, &read));
    cr_expect(bytes_equal(read, BYTES_OF(all)));
}

static const struct {
    const char *about, *text;
    size_t length;
} broken_base64url[] = {
    {"one character",               "Z",       1},
    {"five characters",             "Zm9vY",   5},
    {"padding",                     "Zg==",    4},
    {"stray bits after one octet",  "Zh",      2},
    {"highest stray bit after one", "Zo",      2},
    {"stray bits after two octets", "Zm9",     3},
    {"plus of the other alphabet",  "Zm+v",    4},
    {"slash of the other alphabet", "Zm/v",    4},
    {"space inside",                "Zm 9v",   5},
    {"newline at the end",          "Zm9v\n",  5},
    {"NUL inside",                  "Zm\0v",   4},
    {"octet above 127",             "Zm\xffv", 4},
};

Test(bytes, base64url_refuses_what_is_not_canonical)
{
    for (size_t i = 0; i < ARRAY_SIZE(broken_base64url); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes read = {.size = 77};

        cr_expect_not(base64url_to_bytes(scratch, broken_base64url[i].text,
                                         broken_base64url[i].length, &read),
                      "%s", broken_base64url[i].about);
        cr_expect_eq(read.size, 77, "%s", broken_base64url[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory", broken_base64url[i].about);
    }
}

static const struct {
    const char *about, *text;
} broken_base64[] = {
    {"no padding",                "Zg"      },
    {"half the padding",          "Zg="     },
    {"too much padding",          "Zm9v===="},
    {"padding alone",             "===="    },
    {"three pads",                "Z==="    },
    {"padding in the middle",     "Zg==Zg=="},
    {"stray bits",                "Zh=="    },
    {"minus of the other kind",   "Zm-v"    },
    {"something else than white", "Zm9v;Zm9"},
};

Test(bytes, base64_refuses)
{
    for (size_t i = 0; i < ARRAY_SIZE(broken_base64); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes read = {.size = 77};

        cr_expect_not(
            base64_to_bytes(scratch, broken_base64[i].text, strlen(broken_base64[i].text), &read),
            "%s", broken_base64[i].about);
        cr_expect_eq(read.size, 77, "%s", broken_base64[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory", broken_base64[i].about);
    }
}

Test(bytes, base64_skips_white_space_between_characters)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes read = {0};
    const char text[] = " Zm9v\r\n\tYg = =\n";

    cr_assert(base64_to_bytes(scratch, text, strlen(text), &read));
    cr_expect(bytes_equal(read, bytes_of_text("foob")));
    cr_expect_not(base64_to_bytes(scratch, "Zm\0v", 4, &read), "a NUL is no white space");
}

static const struct {
    const char *about, *text;
} broken_hex[] = {
    {"odd length",     "abc" },
    {"letter after f", "ag"  },
    {"prefix",         "0x12"},
    {"colon",          "ab:c"},
    {"space",          "a "  },
};

Test(bytes, hex_refuses)
{
    for (size_t i = 0; i < ARRAY_SIZE(broken_hex); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes read = {.size = 77};

        cr_expect_not(hex_to_bytes(scratch, broken_hex[i].text, &read), "%s", broken_hex[i].about);
        cr_expect_eq(read.size, 77, "%s", broken_hex[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory", broken_hex[i].about);
    }
}

Test(bytes, hex_reads_either_case_and_writes_lower)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes read = {0};

    cr_assert(hex_to_bytes(scratch, "aBCdEF09", &read));
    cr_expect_str_eq(hex_from_bytes(scratch, read), "abcdef09");
}

Test(bytes, equality_needs_size_and_content)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } pairs[] = {
        {"",    "",    true },
        {"abc", "abc", true },
        {"abc", "abd", false},
        {"abc", "ab",  false},
        {"",    "a",   false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        const struct bytes a = bytes_of_text(pairs[i].a);
        const struct bytes b = bytes_of_text(pairs[i].b);
        cr_expect_eq(bytes_equal(a, b), pairs[i].equal);
        cr_expect_eq(bytes_equal_secret(a, b), pairs[i].equal);
    }
    cr_expect(bytes_equal((struct bytes){0}, bytes_of_text("")), "nothing equals nothing");
    cr_expect(bytes_equal_secret((struct bytes){0}, bytes_of_text("")));
}
