/* tests/unit/net/dns.c: TXT records and the names that they stand at (RFC 1035 section 3.3.14,
 * draft-ietf-acme-dns-account-label). */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "net/dns01.h"

#include "core/banned.h"

#define OCTETS(text)                                                                               \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct {
    const char *about;
    struct bytes rdata;
    bool good;
    struct bytes text;
} cases[] = {
    {"one string",            OCTETS("\003abc"),       true,  OCTETS("abc")  },
    {"two strings",           OCTETS("\003abc\002de"), true,  OCTETS("abcde")},
    {"an empty one",          OCTETS("\0"),            true,  {NULL, 0}      },
    {"an empty one between",  OCTETS("\001a\0\001b"),  true,  OCTETS("ab")   },
    {"a NUL inside",          OCTETS("\003a\0b"),      true,  OCTETS("a\0b") },
    {"nothing at all",        {NULL, 0},               false, {NULL, 0}      },
    {"one octet too few",     OCTETS("\004abc"),       false, {NULL, 0}      },
    {"the second is cut off", OCTETS("\001a\002b"),    false, {NULL, 0}      },
    {"the length alone",      OCTETS("\377"),          false, {NULL, 0}      },
};

Test(dns, strings_are_joined)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes text = {NULL, 99};

        cr_expect_eq(dns01_text_join(scratch, cases[i].rdata, &text), cases[i].good, "%s",
                     cases[i].about);
        if (cases[i].good)
            cr_expect(bytes_equal(text, cases[i].text), "%s", cases[i].about);
        else
            cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left behind", cases[i].about);
    }
}

/* The example of the draft, section 3.1. */
Test(dns, names_of_records)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(dns01_name(scratch, "www.example.org", NULL),
                     "_acme-challenge.www.example.org");
    cr_expect_str_eq(
        dns01_name(scratch, "www.example.org", "https://example.com/acme/acct/ExampleAccount"),
        "_ujmmovf2vn55tgye._acme-challenge.www.example.org");
}
