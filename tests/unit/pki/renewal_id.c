/* tests/unit/pki/renewal_id.c: the certificate identifier of RFC 9773 section 4.1, whole and
 * broken. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/renewal_id.h"

#include "core/banned.h"

#define KEY_ID "aYhba4dGQEHhs3uEe6CuLN4ByNQ"

static const struct {
    const char *about;
    const char *text;
    const char *serial; /* NULL: must be refused */
} cases[] = {
    {"the example of the RFC",                 KEY_ID ".AIdlQyE",                                      "87654321"},
    {"one octet",                              KEY_ID ".AQ",                                           "1"       },
    {"the greatest without an octet in front", KEY_ID ".fw",                                           "7f"      },
    {"the least with one",                     KEY_ID ".AIA",                                          "80"      },
    {"32 octets",                              KEY_ID ".fwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4",
     "7f000102030405060708090a0b0c0d"
     "0e0f101112131415161718191a1b1c1d1e"                                                                        },
    {"33 octets",                              KEY_ID ".fwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f", NULL      },
    {"no dot",                                 KEY_ID,                                                 NULL      },
    {"two dots",                               KEY_ID ".AIdlQyE.",                                     NULL      },
    {"no serial",                              KEY_ID ".",                                             NULL      },
    {"no key identifier",                      ".AIdlQyE",                                             NULL      },
    {"nothing",                                "",                                                     NULL      },
    {"a dot alone",                            ".",                                                    NULL      },
    {"padding",                                KEY_ID "=.AIdlQyE",                                     NULL      },
    {"stray bits in the last character",       "aYhba4dGQEHhs3uEe6CuLN4ByNR.AIdlQyE",                  NULL      },
    {"the other alphabet",                     "aYhba4dGQEHhs3uEe6CuLN4B+NQ.AIdlQyE",                  NULL      },
    {"negative serial",                        KEY_ID ".h2VDIQ",                                       NULL      },
    {"zero",                                   KEY_ID ".AA",                                           NULL      },
    {"an octet of zeros too many",             KEY_ID ".AAE",                                          NULL      },
    {"two octets of zeros",                    KEY_ID ".AACHZUMh",                                     NULL      },
};

Test(renewal_id, comes_from_text)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct renewal_id id = {.serial = "untouched"};
        struct fault fault = {0};
        const bool read = renewal_id_from_text(scratch, cases[i].text, &id, &fault);

        cr_expect_eq(read, cases[i].serial != NULL, "%s: %s", cases[i].about, fault.detail);
        cr_expect_str_eq(id.serial, cases[i].serial && read ? cases[i].serial : "untouched", "%s",
                         cases[i].about);
        cr_expect_eq(fault.reason, read ? REASON_NONE : ARI_ID_MALFORMED, "%s", cases[i].about);
        if (!read)
            cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left behind", cases[i].about);
    }
}

Test(renewal_id, names_the_issuing_key)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct renewal_id id;
    struct fault fault = {0};

    cr_assert(renewal_id_from_text(scratch, cases[0].text, &id, &fault), "%s", fault.detail);
    cr_expect_eq(id.key_id.size, 20);
    cr_expect_eq(id.key_id.data[0], 0x69);
    cr_expect_eq(id.key_id.data[19], 0xd4);
}
