/* tests/unit/pki/der.c: the DER writer and reader at the edges of X.690. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/der.h"

#include "core/banned.h"

static const char *written(TALLOC_CTX *ctx, struct der_writer *to)
{
    return hex_from_bytes(ctx, der_finish(to, ctx));
}

static const struct {
    const char *about;
    const char *dotted;
    const char *hex; /* NULL: refused */
} oids[] = {
    {"two arcs",                 "2.5",                                                               "060155"          },
    {"one octet an arc",         "2.5.4.3",                                                           "0603550403"      },
    {"arcs of two octets",       "1.2.840.113549",                                                    "06062a864886f70d"},
    {"127 is the last of one",   "1.2.127",                                                           "06022a7f"        },
    {"128 is the first of two",  "1.2.128",                                                           "06032a8100"      },
    {"second arc above 39 in 2", "2.999.3",                                                           "0603883703"      },
    {"largest arc",              "2.5.4294967295",                                                    "0606558fffffff7f"},
    {"arc too large",            "2.5.4294967296",                                                    NULL              },
    {"second arc above 39 in 1", "1.40",                                                              NULL              },
    {"first arc above 2",        "3.1",                                                               NULL              },
    {"one arc",                  "2",                                                                 NULL              },
    {"leading zero",             "2.05",                                                              NULL              },
    {"trailing dot",             "2.5.",                                                              NULL              },
    {"empty arc",                "2..5",                                                              NULL              },
    {"empty",                    "",                                                                  NULL              },
    {"letters",                  "2.5.x",                                                             NULL              },
    {"33 arcs",                  "2.5.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", NULL              },
};

Test(der, oids)
{
    for (size_t i = 0; i < ARRAY_SIZE(oids); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct der_writer to;
        der_start(&to, scratch, 16);
        const bool put = der_put_oid(&to, oids[i].dotted);

        cr_expect_eq(put, oids[i].hex != NULL, "%s", oids[i].about);
        cr_expect_eq(der_oid_valid(oids[i].dotted), put, "%s", oids[i].about);
        cr_expect_str_eq(written(scratch, &to), put ? oids[i].hex : "", "%s", oids[i].about);
    }
    cr_expect_not(der_oid_valid(NULL));
}

static const struct {
    const char *about;
    int64_t unix_s;
    const char *text; /* with its tag in front */
} times[] = {
    {"the beginning",        0,
     "\x17\x0d"
     "700101000000Z"  },
    {"a leap day",           INT64_C(951782400),
     "\x17\x0d"
     "000229000000Z"  },
    {"the day after",        INT64_C(951868800),
     "\x17\x0d"
     "000301000000Z"  },
    {"any second",           INT64_C(1795194296),
     "\x17\x0d"
     "261120170456Z"  },
    {"last second of 2049",  INT64_C(2524607999),
     "\x17\x0d"
     "491231235959Z"  },
    {"first second of 2050", INT64_C(2524608000),
     "\x18\x0f"
     "20500101000000Z"},
    {"2100 has no leap day", INT64_C(4107542400),
     "\x18\x0f"
     "21000301000000Z"},
    {"the end",              DER_TIME_MAX,
     "\x18\x0f"
     "99991231235959Z"},
};

Test(der, times)
{
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct der_writer to;
        der_start(&to, scratch, 16);
        der_put_time(&to, times[i].unix_s);
        const struct bytes made = der_finish(&to, scratch);
        cr_expect(bytes_equal(made, bytes_of_text(times[i].text)), "%s: %.*s", times[i].about,
                  (int)made.size, (const char *)made.data);
    }
}

static const struct {
    const char *about;
    const char *octets;
    const char *hex;
} integers[] = {
    {"zero",                    "00",     "020100"    },
    {"nothing is zero",         "",       "020100"    },
    {"leading zeros go",        "00007f", "02017f"    },
    {"the top bit gets a zero", "80",     "02020080"  },
    {"needed zero stays one",   "0000ff", "020200ff"  },
    {"several octets",          "010203", "0203010203"},
};

Test(der, integers)
{
    for (size_t i = 0; i < ARRAY_SIZE(integers); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes octets;
        struct der_writer to;
        cr_assert(hex_to_bytes(scratch, integers[i].octets, &octets));
        der_start(&to, scratch, 16);
        der_put_unsigned(&to, octets);
        cr_expect_str_eq(written(scratch, &to), integers[i].hex, "%s", integers[i].about);
    }
}

/* Each size is read back, across every change in the width of the length, from a writer whose
 * first buffer is too small. */
Test(der, lengths_come_back)
{
    static const size_t sizes[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 70000};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes content = {mem_array(scratch, uint8_t, sizes[i] + 1), sizes[i]};
        struct bytes read;
        struct der_writer to;

        der_start(&to, scratch, 1);
        der_put_octet(&to, 0xee);
        const size_t mark = der_mark(&to);
        der_put(&to, content);
        der_wrap(&to, DER_OCTET_STRING, mark);
        struct bytes made = der_finish(&to, scratch);

        cr_assert(der_read_tag(&made, DER_OCTET_STRING, &read), "%zu", sizes[i]);
        cr_expect_eq(read.size, sizes[i]);
        cr_expect_eq(made.size, 1);
        cr_expect_eq(made.data[0], 0xee);
    }
}

static const struct {
    const char *about;
    const char *hex;
    bool read;
} elements[] = {
    {"empty",                          "",               false},
    {"a tag alone",                    "30",             false},
    {"no content",                     "3000",           true },
    {"one octet short",                "300201",         false},
    {"exact",                          "3002aabb",       true },
    {"more behind it",                 "3001aabb",       true },
    {"indefinite length",              "30800000",       false},
    {"long form for a short length",   "308101aa",       false},
    {"long form with a leading zero",  "30820080",       false},
    {"five length octets",             "308500000001aa", false},
    {"length octets cut off",          "3082ff",         false},
    {"high tag number",                "1f0100",         false},
    {"length near the top of 32 bits", "3084ffffffff",   false},
};

Test(der, reading)
{
    for (size_t i = 0; i < ARRAY_SIZE(elements); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes from;
        cr_assert(hex_to_bytes(scratch, elements[i].hex, &from));
        const struct bytes before = from;
        struct bytes content = {NULL, 77};
        const bool read = der_read(&from, NULL, &content, NULL);

        cr_expect_eq(read, elements[i].read, "%s", elements[i].about);
        if (!read) {
            cr_expect_eq(from.data, before.data, "%s", elements[i].about);
            cr_expect_eq(content.size, 77, "%s", elements[i].about);
        }
    }
}

Test(der, another_tag_is_left_alone)
{
    static const uint8_t null[] = {DER_NULL, 0, DER_NULL, 0};
    struct bytes from = BYTES_OF(null);
    cr_expect_not(der_read_tag(&from, DER_SEQUENCE, NULL));
    cr_expect_eq(from.size, 4);
    cr_expect(der_read_tag(&from, DER_NULL, NULL));
    cr_expect_eq(from.size, 2);
}

static const struct {
    const char *about;
    const char *octets;
} no_times[] = {
    {"second 60, which would be the next minute", "\x17\x0d"
                                                  "491231235960Z"  },
    {"second 60 of a year that is said in whole", "\x18\x0f"
                                                  "20501231235960Z"},
    {"a year that UTCTime could say",             "\x18\x0f"
                                      "20491231235959Z"                        },
    {"no such day",                               "\x17\x0d"
                    "270229000000Z"                                                              },
    {"an offset",                                 "\x17\x11"
                  "270115080000+0000"                                                              },
};

Test(der, what_is_no_time)
{
    for (size_t i = 0; i < ARRAY_SIZE(no_times); i++) {
        struct bytes from = bytes_of_text(no_times[i].octets);
        const struct bytes untouched = from;
        int64_t when = -1;
        cr_expect(!der_read_time(&from, &when), "%s", no_times[i].about);
        cr_expect(from.data == untouched.data && when == -1, "%s", no_times[i].about);
    }
}
