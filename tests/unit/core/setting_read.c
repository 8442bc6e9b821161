/* tests/unit/core/setting_read.c: one value into its place, kind by kind, at the exact limits. */

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/settings.h"

#include "core/banned.h"

struct place {
    int64_t number;
    const char *text;
    bool flag;
    struct text_list list;
};

#define NUMBER(kind, least, most)                                                                  \
    {                                                                                              \
        "X", kind, AT(place, number), NULL, NULL, least, most, NULL                                \
    }
#define TEXT(kind, choices)                                                                        \
    {                                                                                              \
        "X", kind, AT(place, text), NULL, NULL, 0, 0, choices                                      \
    }

static const struct setting integer = NUMBER(SETTING_INTEGER, 10, 20);
static const struct setting unlimited = NUMBER(SETTING_INTEGER, 0, 0);
static const struct setting size = NUMBER(SETTING_SIZE, 1024, 1073741824);
static const struct setting open_size = NUMBER(SETTING_SIZE, 0, 0);
static const struct setting duration = NUMBER(SETTING_DURATION, 10000, 86400000);
static const struct setting open_ended = NUMBER(SETTING_DURATION, 60000, SETTING_NO_LIMIT);

#define NO_SIZE "is not a size such as 1048576, 64KiB or 16MiB"

static const struct {
    const struct setting *setting;
    const char *value;
    int64_t number;
    const char *rule; /* NULL: must be read */
} numbers[] = {
    {&integer,    "10",            10,                  NULL                   },
    {&integer,    "20",            20,                  NULL                   },
    {&integer,    "9",             0,                   "is less than 10"      },
    {&integer,    "21",            0,                   "is more than 20"      },
    {&integer,    "ten",           0,                   "is not a whole number"},
    {&integer,    "",              0,                   "is not a whole number"},
    {&unlimited,  "-5",            -5,                  NULL                   },
    {&size,       "1024",          1024,                NULL                   },
    {&size,       "1KiB",          1024,                NULL                   },
    {&size,       "16MiB",         16777216,            NULL                   },
    {&size,       "1GiB",          1073741824,          NULL                   },
    {&size,       "1023",          0,                   "is less than 1KiB"    },
    {&size,       "1073741825",    0,                   "is more than 1GiB"    },
    {&size,       "1MB",           0,                   NO_SIZE                },
    {&size,       "MiB",           0,                   NO_SIZE                },
    {&size,       "-1KiB",         0,                   NO_SIZE                },
    {&open_size,  "8589934591GiB", 9223372035781033984, NULL                   },
    {&open_size,  "8589934592GiB", 0,                   NO_SIZE                },
    {&duration,   "10s",           10000,               NULL                   },
    {&duration,   "24h",           86400000,            NULL                   },
    {&duration,   "9.999s",        0,                   "is less than 10s"     },
    {&duration,   "24h1ms",        0,                   "is more than 24h"     },
    {&duration,   "abc",           0,                   "is not a duration"    },
    {&duration,   "60",            0,                   "is not a duration"    },
    {&open_ended, "8760h",         31536000000,         NULL                   },
    {&open_ended, "59s",           0,                   "is less than 1m"      },
};

static void expect_refusal(const struct fault *fault, const char *shown, const char *rule)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_eq(fault->reason, SETTING_INVALID);
    cr_expect_str_eq(fault->field, "X");
    cr_expect_str_eq(fault->detail, mem_printf(scratch, "X: %s %s", shown, rule));
}

Test(setting_read, numbers)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct place place = {.number = 4711};
        struct fault fault = {0};
        const bool read = setting_read(scratch, numbers[i].setting, numbers[i].value, &place,
                                       &fault);

        cr_expect_eq(read, numbers[i].rule == NULL, "%s: %s", numbers[i].value, fault.detail);
        cr_expect_eq(place.number, read ? numbers[i].number : 4711, "%s", numbers[i].value);
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory", numbers[i].value);
        if (!read)
            expect_refusal(&fault, text_quote(scratch, numbers[i].value), numbers[i].rule);
    }
}

static const struct setting text = TEXT(SETTING_TEXT, NULL);
static const struct setting choice = TEXT(SETTING_CHOICE, "host|api");
static const struct setting url = TEXT(SETTING_URL, NULL);
static const struct setting path = TEXT(SETTING_PATH, NULL);
static const struct setting hex32 = TEXT(SETTING_HEX32, NULL);
static const struct setting secret = TEXT(SETTING_SECRET, NULL);

#define DIGITS_63 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define NO_URL    "is not http or https://host[:port] in lower case, without a path"
#define NO_TEXT   "holds a control character or is not UTF-8"
#define NO_CHOICE "is none of host, api"
#define NO_PATH   "is not an absolute path"
#define NO_HEX32  "is not 64 lower-case hex digits"

static const struct {
    const struct setting *setting;
    const char *value, *rule; /* NULL: must be read */
} words[] = {
    {&text,   "a b",                        NULL     },
    {&text,   "",                           NULL     },
    {&text,   "a\nb",                       NO_TEXT  },
    {&text,   "a\x7f",                      NO_TEXT  },
    {&text,   "\xff",                       NO_TEXT  },
    {&choice, "host",                       NULL     },
    {&choice, "api",                        NULL     },
    {&choice, "API",                        NO_CHOICE},
    {&choice, "host|api",                   NO_CHOICE},
    {&choice, "",                           NO_CHOICE},
    {&url,    "http://pki.example.com",     NULL     },
    {&url,    "https://a:1",                NULL     },
    {&url,    "https://a:65535",            NULL     },
    {&url,    "https://[2001:db8::1]:8443", NULL     },
    {&url,    "",                           NULL     },
    {&url,    "https://a/",                 NO_URL   },
    {&url,    "https://a/acme",             NO_URL   },
    {&url,    "https://a?b",                NO_URL   },
    {&url,    "https://u@a",                NO_URL   },
    {&url,    "https://A",                  NO_URL   },
    {&url,    "https://",                   NO_URL   },
    {&url,    "https://a:",                 NO_URL   },
    {&url,    "https://a:0",                NO_URL   },
    {&url,    "https://a:65536",            NO_URL   },
    {&url,    "https://a:-1",               NO_URL   },
    {&url,    "https://[::1",               NO_URL   },
    {&url,    "https://[]",                 NO_URL   },
    {&url,    "ftp://a",                    NO_URL   },
    {&url,    "a.example",                  NO_URL   },
    {&path,   "/run/certctl",               NULL     },
    {&path,   "",                           NULL     },
    {&path,   "run",                        NO_PATH  },
    {&hex32,  DIGITS_63 "f",                NULL     },
    {&hex32,  DIGITS_63,                    NO_HEX32 },
    {&hex32,  DIGITS_63 "F",                NO_HEX32 },
    {&hex32,  DIGITS_63 "f0",               NO_HEX32 },
    {&secret, "hush",                       NULL     },
    {&secret, "hu\x01sh",                   NO_TEXT  },
};

Test(setting_read, texts)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct place place = {.text = "untouched"};
        struct fault fault = {0};
        const bool read = setting_read(scratch, words[i].setting, words[i].value, &place, &fault);

        cr_expect_eq(read, words[i].rule == NULL, "%s: %s", words[i].value, fault.detail);
        if (read && *words[i].value == '\0') {
            cr_expect_null(place.text);
            continue;
        }
        cr_expect_str_eq(place.text, read ? words[i].value : "untouched");
        if (read)
            continue;
        cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory", words[i].value);
        expect_refusal(
            &fault, words[i].setting == &secret ? "the value" : text_quote(scratch, words[i].value),
            words[i].rule);
    }
}

Test(setting_read, flags_and_lists)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct setting flag = {"X", SETTING_BOOL, AT(place, flag), NULL, NULL, 0, 0, NULL};
    const struct setting list = {"X", SETTING_LIST, AT(place, list), NULL, NULL, 0, 0, NULL};
    struct place place = {0};
    struct fault fault = {0};

    cr_expect(setting_read(scratch, &flag, "yes", &place, &fault));
    cr_expect(place.flag);
    cr_expect_not(setting_read(scratch, &flag, "maybe", &place, &fault));
    cr_expect_str_eq(fault.detail, "X: \"maybe\" is not true or false");
    cr_expect(place.flag);
    cr_expect(setting_read(scratch, &list, "a, b", &place, &fault));
    cr_expect_str_eq(settings_text(scratch, &place, &list), "a,b");
    cr_expect(setting_read(scratch, &list, "", &place, &fault));
    cr_expect_eq(place.list.count, 0);
    cr_expect_not(setting_read(scratch, &list, "a\tb", &place, &fault));
}

static const struct {
    const char *value;
    bool shown;
} secrets[] = {
    {"hush",                                            false},
    {"postgres:///certctl",                             true },
    {"postgresql://me@db:5432/certctl?sslmode=require", true },
    {"postgres://a:5432,b:5432/certctl",                true },
    {"postgres://me:hush@db/certctl",                   false},
    {"postgres://me:hu@sh@db/certctl",                  false},
    {"postgres://me:hu/sh@db/certctl",                  false},
    {"postgres://me:hu?sh@db/certctl",                  false},
    {"postgres://db/certctl?password=hush",             false},
    {"postgres://db/certctl?PassWord=hush",             false},
    {"postgres://db/certctl?p%61ssword=hush",           false},
    {"postgres://db/certctl?sslpassword=hush",          false},
    {"postgres://db/certctl?oauth_client_secret=hush",  false},
    {"host=db password=hush",                           false},
};

Test(setting_read, passwords_are_never_shown)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct place place = {.text = NULL};

    cr_expect_str_eq(settings_text(scratch, &place, &secret), "[not set]");
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        place.text = secrets[i].value;
        cr_expect_str_eq(settings_text(scratch, &place, &secret),
                         secrets[i].shown ? secrets[i].value : "[set]");
    }
}

Test(setting_read, values_are_shown_as_they_could_be_written)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct place place = {.number = 1536};

    cr_expect_str_eq(settings_text(scratch, &place, &integer), "1536");
    cr_expect_str_eq(settings_text(scratch, &place, &size), "1536");
    cr_expect_str_eq(settings_text(scratch, &place, &duration), "1.536s");
    place.number = 65536;
    cr_expect_str_eq(settings_text(scratch, &place, &size), "64KiB");
    place.number = 0;
    cr_expect_str_eq(settings_text(scratch, &place, &size), "0");
    cr_expect_str_eq(settings_text(scratch, &place, &text), "");
}

Test(setting_read, limits_in_words)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(settings_limits(scratch, &duration), "10s to 24h");
    cr_expect_str_eq(settings_limits(scratch, &open_ended), "at least 1m");
    cr_expect_str_eq(settings_limits(scratch, &choice), "host, api");
    cr_expect_null(settings_limits(scratch, &text));
    cr_expect_null(settings_limits(scratch, &unlimited));
}
