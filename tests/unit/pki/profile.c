/* tests/unit/pki/profile.c: what a profile allows (04 sections 6.5, 6.7, 7.3 and 7.4). */
#include "pki/profile.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define EC256_OR_RSA2048                                                                           \
    "[{\"algorithm\":\"ECDSA\",\"min_size\":256},"                                                 \
    "{\"algorithm\":\"RSA\",\"min_size\":2048}]"
#define RSA4096_OR_RSA3072                                                                         \
    "[{\"algorithm\":\"RSA\",\"min_size\":4096},{\"algorithm\":\"RSA\",\"min_size\":3072}]"

#define NOW INT64_C(1795132800)
#define DAY INT64_C(86400)

static struct profile *profile_of(TALLOC_CTX *ctx)
{
    struct profile *profile = mem_new(ctx, struct profile);
    profile->name = "Standard TLS";
    profile->allow_wildcards = true;
    return profile;
}

static const struct {
    const char *about;
    const char *rules;
    struct key_facts key;
    const char *detail; /* NULL: accepted */
} keys[] = {
    {"RSA at the limit",                  EC256_OR_RSA2048,                {KEY_RSA, "RSA", 2048},        NULL},
    {"RSA below it",
     EC256_OR_RSA2048,                                                     {KEY_RSA, "RSA", 1024},
     "CSR key (RSA 1024-bit) does not match any allowed algorithm in profile \"Standard TLS\": "
     "[ECDSA>=256 RSA>=2048]"                                                                                 },
    {"the second rule for one algorithm", RSA4096_OR_RSA3072,              {KEY_RSA, "RSA", 3072},        NULL},
    {"one bit below both",
     RSA4096_OR_RSA3072,                                                   {KEY_RSA, "RSA", 3071},
     "CSR key (RSA 3071-bit) does not match any allowed algorithm in profile \"Standard TLS\": "
     "[RSA>=4096 RSA>=3072]"                                                                                  },
    {"Ed25519 is no ECDSA",
     "[{\"algorithm\":\"ECDSA\",\"min_size\":256}]",                       {KEY_ED25519, "Ed25519", 256},
     "CSR key (Ed25519 256-bit) does not match any allowed algorithm in profile \"Standard TLS\": "
     "[ECDSA>=256]"                                                                                           },
    {"Ed25519",                           "[{\"algorithm\":\"Ed25519\"}]", {KEY_ED25519, "Ed25519", 256}, NULL},
    {"P-384 wanted",
     "[{\"algorithm\":\"ECDSA\",\"min_size\":384}]",                       {KEY_ECDSA, "ECDSA", 384},
     NULL                                                                                                     },
    {"P-256 is below it",
     "[{\"algorithm\":\"ECDSA\",\"min_size\":384}]",                       {KEY_ECDSA, "ECDSA", 256},
     "CSR key (ECDSA 256-bit) does not match any allowed algorithm in profile \"Standard TLS\": "
     "[ECDSA>=384]"                                                                                           },
    {"no rules",                          "[]",                            {KEY_ECDSA, "ECDSA", 256},     NULL},
};

Test(profile, keys_meet_rules)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct profile *profile = profile_of(scratch);
        struct fault fault = {0};
        cr_assert(profile_set_key_rules(profile, keys[i].rules, &fault), "%s", fault.detail);
        const bool good = profile_check_key(profile, &keys[i].key, &fault);

        cr_expect_eq(good, keys[i].detail == NULL, "%s", keys[i].about);
        cr_expect_str_eq(fault.detail, good ? "" : keys[i].detail, "%s", keys[i].about);
        cr_expect_eq(fault.reason, good ? REASON_NONE : CSR_KEY_POLICY, "%s", keys[i].about);
    }
}

static const struct {
    const char *about;
    bool (*set)(struct profile *profile, const char *json, struct fault *fault);
    const char *json;
    bool good;
} columns[] = {
    {"no text is an empty list",     profile_set_key_rules,    NULL,                                           true },
    {"rules that are no list",       profile_set_key_rules,    "{}",                                           false},
    {"no JSON",                      profile_set_key_rules,    "[",                                            false},
    {"unknown algorithm",            profile_set_key_rules,    "[{\"algorithm\":\"DSA\"}]",                    false},
    {"size as text",                 profile_set_key_rules,    "[{\"algorithm\":\"RSA\",\"min_size\":\"1\"}]", false},
    {"negative size",                profile_set_key_rules,    "[{\"algorithm\":\"RSA\",\"min_size\":-1}]",    false},
    {"the second rule broken",       profile_set_key_rules,    "[{\"algorithm\":\"RSA\"},7]",                  false},
    {"EKUs",                         profile_set_ekus,         "[\"serverAuth\",\"clientAuth\"]",              true },
    {"the second EKU unknown",       profile_set_ekus,         "[\"serverAuth\",\"OCSPSigning\"]",             false},
    {"an EKU that is no text",       profile_set_ekus,         "[1]",                                          false},
    {"time stamping alone",          profile_set_ekus,         "[\"timeStamping\"]",                           true },
    {"time stamping beside another", profile_set_ekus,         "[\"timeStamping\",\"serverAuth\"]",            false},
    {"patterns",                     profile_set_san_patterns, "[\"a\",\"b\"]",                                true },
    {"the second pattern broken",    profile_set_san_patterns, "[\"a\",\"(\"]",                                false},
    {"a pattern that is no text",    profile_set_san_patterns, "[\"a\",7]",                                    false},
};

Test(profile, columns_are_read_or_left_alone)
{
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct profile *profile = profile_of(scratch);
        const struct profile before = *profile;
        const size_t blocks = talloc_total_blocks(scratch);
        struct fault fault = {0};
        const bool good = columns[i].set(profile, columns[i].json, &fault);

        cr_expect_eq(good, columns[i].good, "%s: %s", columns[i].about, fault.detail);
        if (good)
            continue;
        cr_expect_eq(fault.reason, PROFILE_UNAVAILABLE, "%s", columns[i].about);
        cr_expect_eq(memcmp(&before, profile, sizeof before), 0, "%s", columns[i].about);
        cr_expect_eq(talloc_total_blocks(scratch), blocks, "%s: memory left", columns[i].about);
    }
}

Test(profile, empty_ekus_are_server_and_client)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct profile *profile = profile_of(scratch);
    struct fault fault = {0};
    cr_expect(profile_set_ekus(profile, "[]", &fault));
    cr_expect_eq(profile->ekus, EKU_SERVER_AUTH | EKU_CLIENT_AUTH);
    cr_expect(profile_set_ekus(profile, "[\"codeSigning\",\"emailProtection\"]", &fault));
    cr_expect_eq(profile->ekus, EKU_CODE_SIGNING | EKU_EMAIL_PROTECTION);
}

Test(profile, patterns_are_at_most_512_bytes)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct profile *profile = profile_of(scratch);
    struct fault fault = {0};
    char *json = mem_zero(scratch, 600, "json");

    json[0] = '[';
    json[1] = '"';
    memset(json + 2, 'a', 512);
    memcpy(json + 514, "\"]", 3);
    cr_expect(profile_set_san_patterns(profile, json, &fault));
    memcpy(json + 514, "a\"]", 4);
    cr_expect_not(profile_set_san_patterns(profile, json, &fault));
    cr_expect(strstr(fault.detail, "required_san_patterns[0]"), "%s", fault.detail);
}

/* Each is matched by the second of two patterns or by none. */
static const struct {
    const char *about;
    const char *pattern;
    struct name name;
    bool good;
} names[] = {
    {"whole name",                       "[a-z]+\\\\.example\\\\.com", {NAME_DNS, "www.example.com"},                                   true },
    {"more behind it",                   "[a-z]+\\\\.example\\\\.com", {NAME_DNS, "www.example.com.evil.org"},                          false},
    {"more before it",                   "example\\\\.com",            {NAME_DNS, "bad-example.com"},                                   false},
    {"branches are anchored too",        "a|example\\\\.com",          {NAME_DNS, "aexample.com"},                                      false},
    {"the second branch",                "a|example\\\\.com",          {NAME_DNS, "example.com"},                                       true },
    {"dollar does not match before \\n", "example\\\\.com$",           {NAME_DNS, "example.com\n"},                                     false},
    {"DNS is compared in lower case",    "example\\\\.com",            {NAME_DNS, "EXAMPLE.com"},                                       true },
    {"e-mail is not",                    "joe@example\\\\.com",        {NAME_EMAIL, "Joe@example.com"},                                 false},
    {"e-mail",                           "joe@example\\\\.com",        {NAME_EMAIL, "joe@example.com"},                                 true },
    {"wildcard with its star",           "[a-z]+\\\\.example\\\\.com", {NAME_DNS, "*.example.com"},                                     false},
    {"wildcard that is meant",           "\\\\*\\\\.example\\\\.com",  {NAME_DNS, "*.example.com"},                                     true },
    {"address is none either",           "example\\\\.com",            {NAME_IP, "192.0.2.1"},                                          true },
    {"a pattern that explodes",
     "(a+)+b",                                                         {NAME_DNS, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
     false                                                                                                                                   },
};

Test(profile, names_match_whole_patterns)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct profile *profile = profile_of(scratch);
        struct fault fault = {0};
        const char *json = mem_printf(scratch, "[\"first\\\\.test\",\"%s\"]", names[i].pattern);
        cr_assert(profile_set_san_patterns(profile, json, &fault), "%s: %s", json, fault.detail);
        const bool good = profile_check_name(profile, &names[i].name, &fault);

        cr_expect_eq(good, names[i].good, "%s: %s", names[i].about, fault.detail);
        if (!good)
            cr_expect_eq(fault.reason, CSR_NAME_REJECTED, "%s", names[i].about);
        /* The same without the cache of compiled patterns. */
        profile->san_compiled = NULL;
        cr_expect_eq(profile_check_name(profile, &names[i].name, &fault), names[i].good, "%s",
                     names[i].about);
    }
}

Test(profile, without_patterns_any_name_but_wildcards)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct profile *profile = profile_of(scratch);
    struct fault fault = {0};
    const struct name plain = {NAME_DNS, "any.example"};
    const struct name wildcard = {NAME_DNS, "*.any.example"};

    cr_expect(profile_check_name(profile, &plain, &fault));
    cr_expect(profile_check_name(profile, &wildcard, &fault));
    profile->allow_wildcards = false;
    cr_expect(profile_check_name(profile, &plain, &fault));
    cr_expect_not(profile_check_name(profile, &wildcard, &fault));
    cr_expect(strstr(fault.detail, "\"*.any.example\""), "%s", fault.detail);
}

static const struct {
    unsigned ekus;
    enum key_kind kind;
    unsigned usage;
} usages[] = {
    {EKU_SERVER_AUTH,                         KEY_ECDSA,   USAGE_DIGITAL_SIGNATURE                           },
    {EKU_SERVER_AUTH,                         KEY_RSA,     USAGE_DIGITAL_SIGNATURE | USAGE_KEY_ENCIPHERMENT  },
    {EKU_CLIENT_AUTH,                         KEY_RSA,     USAGE_DIGITAL_SIGNATURE | USAGE_KEY_ENCIPHERMENT  },
    {EKU_CODE_SIGNING,                        KEY_RSA,     USAGE_DIGITAL_SIGNATURE                           },
    {EKU_TIME_STAMPING,                       KEY_RSA,     USAGE_DIGITAL_SIGNATURE                           },
    {EKU_EMAIL_PROTECTION,                    KEY_ED25519, USAGE_DIGITAL_SIGNATURE | USAGE_CONTENT_COMMITMENT},
    {EKU_EMAIL_PROTECTION,                    KEY_RSA,     USAGE_ALL_LEAF & ~USAGE_KEY_AGREEMENT             },
    {EKU_CODE_SIGNING | EKU_EMAIL_PROTECTION, KEY_ECDSA,
     USAGE_DIGITAL_SIGNATURE | USAGE_CONTENT_COMMITMENT                                                      },
    {0,                                       KEY_RSA,     USAGE_DIGITAL_SIGNATURE | USAGE_KEY_ENCIPHERMENT  },
};

Test(profile, key_usage_follows_ekus_and_key)
{
    for (size_t i = 0; i < ARRAY_SIZE(usages); i++) {
        const struct profile profile = {.ekus = usages[i].ekus};
        const struct key_facts key = {.kind = usages[i].kind};
        cr_expect_eq(profile_key_usage(&profile, &key), usages[i].usage, "case %zu", i);
    }
}

Test(profile, short_lived_is_below_an_hour)
{
    static const struct {
        bool allowed;
        int64_t max_ttl_s;
        bool short_lived;
    } cases[] = {
        {true,  3599, true },
        {true,  3600, false},
        {true,  1,    true },
        {true,  0,    false},
        {false, 600,  false}
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct profile profile = {.allow_short_lived = cases[i].allowed,
                                        .max_ttl_s = cases[i].max_ttl_s};
        cr_expect_eq(profile_is_short_lived(&profile), cases[i].short_lived, "case %zu", i);
    }
}

static const struct {
    const char *about;
    int64_t profile_days;
    int64_t issuer_days;
    int64_t max_ttl_s;
    int64_t backdate_s;
    struct validity wished;
    struct validity result; /* zeros: refused */
} validities[] = {
    {"the issuer's days",             0,         90, 0,         300, {0},                    {NOW - 300, NOW + 90 * DAY}},
    {"the profile's days",            30,        90, 0,         300, {0},                    {NOW - 300, NOW + 30 * DAY}},
    {"neither",                       0,         0,  0,         300, {0},                    {0}                        },
    {"the limit counts the backdate", 30,        90, 3600,      300, {0},                    {NOW - 300, NOW + 3300}    },
    {"a limit above the life",        1,         0,  DAY + 301, 300, {0},                    {NOW - 300, NOW + DAY}     },
    {"a limit of exactly the life",   1,         0,  DAY + 300, 300, {0},                    {NOW - 300, NOW + DAY}     },
    {"a limit one second below",      1,         0,  DAY + 299, 300, {0},                    {NOW - 300, NOW + DAY - 1} },
    {"a later beginning",             1,         0,  0,         300, {NOW + 10, 0},          {NOW + 10, NOW + DAY}      },
    {"an earlier one is no wish",     1,         0,  0,         300, {NOW - 301, 0},         {NOW - 300, NOW + DAY}     },
    {"an earlier end",                1,         0,  0,         300, {0, NOW + 100},         {NOW - 300, NOW + 100}     },
    {"a later one is no wish",        1,         0,  0,         300, {0, NOW + DAY + 1},     {NOW - 300, NOW + DAY}     },
    {"an end at the limit",           1,         0,  1000,      300, {0, NOW + 1000},        {NOW, NOW + 1000}          },
    {"an end a second above it",      1,         0,  1000,      300, {0, NOW + 1001},        {NOW - 300, NOW + 700}     },
    {"an end within the backdate",    1,         0,  1000,      300, {0, NOW + 900},         {NOW - 100, NOW + 900}     },
    {"60 s are a validity",           1,         0,  0,         300, {0, NOW + 60},          {NOW - 300, NOW + 60}      },
    {"59 s are none",                 1,         0,  0,         300, {0, NOW + 59},          {0}                        },
    {"60 s from a later beginning",   1,         0,  0,         0,   {NOW + 100, NOW + 160}, {NOW + 100, NOW + 160}     },
    {"59 s from a later beginning",   1,         0,  0,         0,   {NOW + 100, NOW + 159}, {0}                        },
    {"backwards",                     1,         0,  0,         0,   {NOW + 100, NOW + 50},  {0}                        },
    {"all of the limit is backdate",  1,         0,  300,       300, {0},                    {0}                        },
    {"the far past",                  1,         0,  0,         0,   {INT64_MIN, INT64_MIN}, {0}                        },
    {"the far future",                1,         0,  10,        0,   {INT64_MAX, INT64_MAX}, {0}                        },
    {"an absurd number of days",      INT64_MAX, 0,  0,         0,   {0},                    {NOW, NOW + 36600 * DAY}   },
};

Test(profile, validity_only_narrows)
{
    for (size_t i = 0; i < ARRAY_SIZE(validities); i++) {
        const struct profile profile = {.default_validity_days = validities[i].profile_days,
                                        .max_ttl_s = validities[i].max_ttl_s};
        struct validity result = {7, 7};
        struct fault fault = {0};
        const bool good = profile_validity(&profile, validities[i].issuer_days,
                                           validities[i].backdate_s, NOW, validities[i].wished,
                                           &result, &fault);
        cr_expect_eq(good, validities[i].result.not_after != 0, "%s: %s", validities[i].about,
                     fault.detail);
        cr_expect_eq(result.not_before, good ? validities[i].result.not_before : 7, "%s",
                     validities[i].about);
        cr_expect_eq(result.not_after, good ? validities[i].result.not_after : 7, "%s",
                     validities[i].about);
        cr_expect_eq(fault.reason, good ? REASON_NONE : VALIDITY_EMPTY, "%s", validities[i].about);
    }
}
