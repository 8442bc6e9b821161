/* tests/unit/pki/name.c: names normalised and refused (04 section 6.3, 01 section 9.1). */
#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/name.h"

#include "core/banned.h"

#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890123"
#define WILD     NAME_ALLOW_WILDCARD
#define SINGLE   NAME_ALLOW_SINGLE_LABEL

static const struct {
    const char *about;
    const char *text;
    unsigned flags;
    const char *result; /* NULL: refused */
} dns[] = {
    {"plain",                         "www.example.com",                        0,             "www.example.com"      },
    {"upper case",                    "WWW.Example.COM",                        0,             "www.example.com"      },
    {"digits and hyphens",            "a-1.2b.example",                         0,             "a-1.2b.example"       },
    {"a label of 63",                 LABEL_63 ".example",                      0,             LABEL_63 ".example"    },
    {"a label of 64",                 LABEL_63 "4.example",                     0,             NULL                   },
    {"253 bytes",
     LABEL_63 "." LABEL_63 "." LABEL_63 "."
              "a2345678901234567890123456789012345678901234567890123456789.b",  0,
     LABEL_63 "." LABEL_63 "." LABEL_63 "."
              "a2345678901234567890123456789012345678901234567890123456789.b"                                         },
    {"254 bytes",
     LABEL_63 "." LABEL_63 "." LABEL_63 "."
              "a23456789012345678901234567890123456789012345678901234567890.b", 0,             NULL                   },
    {"empty",                         "",                                       WILD | SINGLE, NULL                   },
    {"trailing dot",                  "example.com.",                           0,             NULL                   },
    {"leading dot",                   ".example.com",                           0,             NULL                   },
    {"two dots",                      "a..example",                             0,             NULL                   },
    {"leading hyphen",                "-a.example",                             0,             NULL                   },
    {"trailing hyphen",               "a-.example",                             0,             NULL                   },
    {"underscore",                    "_acme.example.com",                      0,             NULL                   },
    {"space",                         "a b.example",                            0,             NULL                   },
    {"port",                          "a.example:443",                          0,             NULL                   },
    {"path",                          "a.example/x",                            0,             NULL                   },
    {"IPv4",                          "192.0.2.1",                              WILD | SINGLE, NULL                   },
    {"IPv6",                          "2001:db8::1",                            WILD | SINGLE, NULL                   },
    {"last label of digits",          "a.example.123",                          0,             NULL                   },
    {"last label with a letter",      "a.example.1x3",                          0,             "a.example.1x3"        },
    {"single label",                  "printer",                                0,             NULL                   },
    {"single label allowed",          "Printer",                                SINGLE,        "printer"              },
    {"wildcard",                      "*.example.com",                          0,             NULL                   },
    {"wildcard allowed",              "*.Example.com",                          WILD,          "*.example.com"        },
    {"wildcard over one label",       "*.com",                                  WILD,          NULL                   },
    {"wildcard alone",                "*",                                      WILD | SINGLE, NULL                   },
    {"wildcard without base",         "*.",                                     WILD | SINGLE, NULL                   },
    {"two wildcards",                 "*.*.example.com",                        WILD,          NULL                   },
    {"wildcard inside",               "a.*.example.com",                        WILD,          NULL                   },
    {"part of a label",               "a*.example.com",                         WILD,          NULL                   },
    {"wildcard over digits",          "*.1",                                    WILD | SINGLE, NULL                   },
    {"U-label",
     "b\xc3\xbc"
     "cher.example",                                                            0,             NULL                   },
    {"A-label",                       "xn--bcher-kva.example",                  0,             "xn--bcher-kva.example"},
    {"A-label in upper case",         "XN--BCHER-KVA.example",                  0,             "xn--bcher-kva.example"},
    {"A-label of nothing",            "xn--.example",                           0,             NULL                   },
    {"A-label of plain ASCII",        "xn--abc-.example",                       0,             NULL                   },
    {"punycode that does not decode", "xn--99999999.example",                   0,             NULL                   },
    {"A-label in the last place",     "example.xn--p1ai",                       0,             "example.xn--p1ai"     },
};

Test(name, dns_is_normalised)
{
    for (size_t i = 0; i < ARRAY_SIZE(dns); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *result = "untouched";
        struct fault fault = {0};
        const bool good = name_dns_normalise(scratch, dns[i].text, dns[i].flags, &result, &fault);

        cr_expect_eq(good, dns[i].result != NULL, "%s: %s", dns[i].about, fault.detail);
        cr_expect_str_eq(result, good ? dns[i].result : "untouched", "%s", dns[i].about);
        cr_expect_eq(fault.reason, good ? REASON_NONE : CSR_NAME_REJECTED, "%s", dns[i].about);
        if (!good)
            cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left", dns[i].about);
    }
}

Test(name, u_labels_are_told_about_a_labels)
{
    const char *result = NULL;
    struct fault fault = {0};
    cr_expect_not(name_dns_normalise(NULL,
                                     "b\xc3\xbc"
                                     "cher.example",
                                     0, &result, &fault));
    cr_expect(strstr(fault.detail, "A-label"), "%s", fault.detail);
}

static const struct {
    const char *about;
    const char *text;
    bool good;
} addresses[] = {
    {"IPv4",                     "192.0.2.1",            true },
    {"IPv4 with leading zero",   "192.0.2.01",           false},
    {"three parts",              "192.0.2",              false},
    {"IPv6",                     "2001:db8::1",          true },
    {"IPv6 in upper case",       "2001:DB8::1",          false},
    {"IPv6 not shortened",       "2001:db8:0:0:0:0:0:1", false},
    {"IPv6 with a leading zero", "2001:0db8::1",         false},
    {"mapped",                   "::ffff:192.0.2.1",     false},
    {"mapped in hex",            "::ffff:c000:201",      false},
    {"brackets",                 "[2001:db8::1]",        false},
    {"zone",                     "fe80::1%eth0",         false},
    {"prefix",                   "192.0.2.0/24",         false},
    {"a name",                   "localhost",            false},
    {"empty",                    "",                     false},
    {"unspecified",              "::",                   true },
};

Test(name, addresses_are_canonical)
{
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *result = "untouched";
        struct fault fault = {0};
        const bool good = name_ip_normalise(scratch, addresses[i].text, &result, &fault);

        cr_expect_eq(good, addresses[i].good, "%s: %s", addresses[i].about, fault.detail);
        cr_expect_str_eq(result, good ? addresses[i].text : "untouched", "%s", addresses[i].about);
        if (!good)
            cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left", addresses[i].about);
    }
}

static const struct {
    const char *about;
    const char *text;
    const char *normal; /* NULL: none */
} patterns[] = {
    {"a name",                  "WWW.Example.org", "www.example.org"},
    {"one label",               "printer",         "printer"        },
    {"all below",               "*.Corp.example",  "*.corp.example" },
    {"an address",              "192.0.2.7",       "192.0.2.7"      },
    {"an address of version 6", "2001:db8::7",     "2001:db8::7"    },
    {"a network",               "192.0.2.0/24",    NULL             },
    {"a star alone",            "*",               NULL             },
    {"a star within",           "a.*.example",     NULL             },
    {"two stars",               "*.*.example",     NULL             },
    {"nothing",                 "",                NULL             },
};

Test(name, patterns_are_as_orders_have_them)
{
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *normal = name_pattern_normalise(scratch, patterns[i].text);

        if (patterns[i].normal)
            cr_expect_str_eq(normal ? normal : "none", patterns[i].normal, "%s", patterns[i].about);
        else
            cr_expect_null(normal, "%s", patterns[i].about);
    }
}

Test(name, octets_become_text_and_back)
{
    static const uint8_t v4[] = {192, 0, 2, 1};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t octets[16];
    size_t size = 0;

    cr_expect_str_eq(name_ip_from_octets(scratch, BYTES_OF(v4)), "192.0.2.1");
    cr_expect_str_eq(name_ip_from_octets(scratch, BYTES_OF(v6)), "2001:db8::1");
    cr_expect_str_eq(name_ip_from_octets(scratch, BYTES_OF(mapped)), "192.0.2.1");
    for (size_t wrong = 0; wrong <= 16; wrong++)
        if (wrong != 4 && wrong != 16)
            cr_expect_null(name_ip_from_octets(scratch, (struct bytes){v6, wrong}), "%zu", wrong);
    cr_expect(name_ip_to_octets("2001:db8::1", octets, &size));
    cr_expect(bytes_equal((struct bytes){octets, size}, BYTES_OF(v6)));
    cr_expect(name_ip_to_octets("192.0.2.1", octets, &size));
    cr_expect(bytes_equal((struct bytes){octets, size}, BYTES_OF(v4)));
    cr_expect_not(name_ip_to_octets("example.com", octets, &size));
}

#define SENTENCE "CSR Subject.CommonName rejected: "
#define MIXED_SCRIPTS                                                                              \
    SENTENCE "mixes ASCII letters with another script, character U+03B1 at byte offset 0"

static const struct {
    const char *about;
    const char *text;
    size_t length;
    const char *detail; /* NULL: accepted */
} texts[] = {
    {"ASCII",                             "a",                        1,  NULL                                                            },
    {"Latin with marks",                  "M\xc3\xbcller",            7,  NULL                                                            },
    {"another script",                    "\xd0\xbf\xd1\x80",         4,  NULL                                                            },
    {"two scripts in two labels",         "\xd0\xbf\xd1\x80.example", 12, NULL                                                            },
    {"zero-width space",                  "abcd\xe2\x80\x8b",         7,
     SENTENCE "contains zero-width character U+200B at byte offset 4"                                                                     },
    {"zero-width joiner",                 "\xe2\x80\x8d",             3,
     SENTENCE "contains zero-width character U+200D at byte offset 0"                                                                     },
    {"hyphen U+2010, behind the joiners", "\xe2\x80\x90",             3,  NULL                                                            },
    {"word joiner",                       "a\xe2\x81\xa0",            4,
     SENTENCE "contains zero-width character U+2060 at byte offset 1"                                                                     },
    {"byte order mark",
     "\xef\xbb\xbf"
     "a",                                                             4,  SENTENCE "contains zero-width character U+FEFF at byte offset 0"},
    {"override",                          "a\xe2\x80\xae",            4,
     SENTENCE "contains bidirectional control U+202E at byte offset 1"                                                                    },
    {"isolate",                           "a\xe2\x81\xa6",            4,
     SENTENCE "contains bidirectional control U+2066 at byte offset 1"                                                                    },
    {"NUL",                               "a\0b",                     3,  SENTENCE "contains NUL U+0000 at byte offset 1"                 },
    {"line feed",                         "a\nb",                     3,  SENTENCE "contains control character U+000A at byte offset 1"   },
    {"delete",                            "a\x7f",                    2,  SENTENCE "contains control character U+007F at byte offset 1"   },
    {"C1",                                "a\xc2\x85",                3,  SENTENCE "contains control character U+0085 at byte offset 1"   },
    {"no-break space",                    "a\xc2\xa0",                3,  NULL                                                            },
    {"Cyrillic in Latin",                 "p\xd0\xb0ypal.example",    15,
     SENTENCE "mixes ASCII letters with another script, character U+0430 at byte offset 1"                                                },
    {"mixed in the last label",           "example.c\xd0\xbem",       12,
     SENTENCE "mixes ASCII letters with another script, character U+043E at byte offset 9"                                                },
    {"Greek in Latin",
     "\xce\xb1"
     "bc",                                                            4,  MIXED_SCRIPTS                                                   },
    {"broken UTF-8",                      "a\xff",                    2,  SENTENCE "\"a\\xff\" is not valid UTF-8"                        },
};

Test(name, text_follows_the_unicode_rules)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct fault fault = {0};
        const bool good = name_text_check("CSR Subject.CommonName", texts[i].text, texts[i].length,
                                          &fault);
        cr_expect_eq(good, texts[i].detail == NULL, "%s: %s", texts[i].about, fault.detail);
        cr_expect_str_eq(fault.detail, good ? "" : texts[i].detail, "%s", texts[i].about);
    }
}

static const struct {
    const char *about;
    struct name name;
    bool good;
} bearable[] = {
    {"host",                     {NAME_DNS, "a.example"},                              true },
    {"wildcard",                 {NAME_DNS, "*.a.example"},                            true },
    {"empty host",               {NAME_DNS, ""},                                       false},
    {"no value",                 {NAME_DNS, NULL},                                     false},
    {"space in a host",          {NAME_DNS, "a b"},                                    false},
    {"underscore",               {NAME_DNS, "_a.example"},                             false},
    {"newline in a host",        {NAME_DNS, "a.example\n"},                            false},
    {"address",                  {NAME_IP, "192.0.2.7"},                               true },
    {"no address",               {NAME_IP, "192.0.2.256"},                             false},
    {"mailbox",                  {NAME_EMAIL, "a@example.com"},                        true },
    {"mailbox without host",     {NAME_EMAIL, "a@"},                                   false},
    {"mailbox without user",     {NAME_EMAIL, "@example.com"},                         false},
    {"two at signs",             {NAME_EMAIL, "a@b@example.com"},                      false},
    {"mailbox beyond ASCII",     {NAME_EMAIL, "\xc3\xa4@example.com"},                 false},
    {"URI",                      {NAME_URI, "spiffe://example.org/x"},                 true },
    {"URI without scheme",       {NAME_URI, "/x"},                                     false},
    {"URI without rest",         {NAME_URI, "spiffe:"},                                false},
    {"URI with a space",         {NAME_URI, "http://a b/"},                            false},
    {"scheme begins with digit", {NAME_URI, "1a:b"},                                   false},
    {"tag URI",                  {NAME_URI, "tag:microsoft.com,2022-09-14:sid:S-1-5"}, true },
    {"UPN",                      {NAME_UPN, "j\xc3\xbcrgen@corp.example"},             true },
    {"UPN that is no UTF-8",     {NAME_UPN, "j\xff"},                                  false},
    {"other",                    {NAME_OTHER, "1.2.3"},                                false},
};

Test(name, what_a_certificate_can_bear)
{
    for (size_t i = 0; i < ARRAY_SIZE(bearable); i++) {
        const char *broken = name_rule_broken(&bearable[i].name);
        cr_expect_eq(broken == NULL, bearable[i].good, "%s: %s", bearable[i].about,
                     broken ? broken : "accepted");
    }
}

Test(name, list_keeps_the_first_of_each)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct name_list list = {0};
    char text[16];

    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "n%d.example", i % 20);
        cr_expect_eq(name_list_add(scratch, &list, NAME_DNS, text), i < 20, "%d", i);
    }
    cr_expect(name_list_add(scratch, &list, NAME_URI, "n1.example"), "another kind");
    cr_expect_eq(list.count, 21);
    cr_expect_str_eq(list.items[0].value, "n0.example");
    cr_expect_str_eq(list.items[19].value, "n19.example");
    cr_expect_str_eq(name_kind_text(list.items[20].kind), "uri");
    cr_expect_not(name_list_has(&list, &(struct name){NAME_EMAIL, "n1.example"}));
}
