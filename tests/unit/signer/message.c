/* tests/unit/signer/message.c: the codec between callers and signer: there and back, every
 * truncation, every limit exactly. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "signer/message.h"

#include "core/banned.h"

static const uint8_t spki_octets[] = {0x30, 0x03, 0x02, 0x01, 0x07};

static const struct rdn subject[] = {
    {"2.5.4.3", RDN_UTF8,      "www.example.com"},
    {"2.5.4.6", RDN_PRINTABLE, "DE"             },
    {"1.2.3",   RDN_IA5,       "x"              },
};
static struct name names[] = {
    {NAME_DNS,   "www.example.com"    },
    {NAME_IP,    "192.0.2.1"          },
    {NAME_EMAIL, "a@example.com"      },
    {NAME_URI,   "https://example.com"},
    {NAME_UPN,   "\xc3\xbc@example"   },
    {NAME_OTHER, "other"              },
};
static char texts_used[][16] = {"2.23.140.1.2.1", "1.2.3.4", "example.com", ".example.org",
                                "bad.example.com"};
static char *oids[] = {texts_used[0], texts_used[1]};
static char *permitted[] = {texts_used[2], texts_used[3]};
static char *excluded[] = {texts_used[4]};

static struct signer_request leaf_request(void)
{
    return (struct signer_request){
        .kind = SIGNER_SIGN_LEAF,
        .key_ref = "file:/ca/a.key",
        .leaf = {.subject = subject,
                 .subject_count = ARRAY_SIZE(subject),
                 .spki = {spki_octets, sizeof(spki_octets)},
                 .names = {names, ARRAY_SIZE(names)},
                 .key_usage = USAGE_DIGITAL_SIGNATURE | USAGE_KEY_AGREEMENT,
                 .ekus = 0xfedcba98u,
                 .policies = {oids, ARRAY_SIZE(oids)},
                 .must_staple = true,
                 .short_lived = false,
                 .not_before = 1790000000,
                 .not_after = INT64_C(253402300799)},
    };
}

static struct signer_request ca_request(void)
{
    return (struct signer_request){
        .kind = SIGNER_SIGN_CA,
        .ca = {.subject = subject,
               .subject_count = 1,
               .spki = {spki_octets, sizeof(spki_octets)},
               .not_before = 0,
               .not_after = 1,
               .path_len = -1,
               .permitted_dns = {permitted, ARRAY_SIZE(permitted)},
               .excluded_dns = {excluded, ARRAY_SIZE(excluded)}},
        .issuer_key_ref = "file:/ca/root.key",
    };
}

static struct bytes body_of(struct bytes frame)
{
    return (struct bytes){frame.data + SIGNER_FRAME_PREFIX, frame.size - SIGNER_FRAME_PREFIX};
}

static bool decode(TALLOC_CTX *ctx, struct bytes body, struct signer_request *ret,
                   struct fault *fault)
{
    /* An exact heap block: reading one octet too far is an error under the sanitizers. */
    return signer_request_decode(ctx, bytes_copy(ctx, body), ret, fault);
}

static void send_through(TALLOC_CTX *ctx, const struct signer_request *sent,
                         struct signer_request *ret)
{
    struct fault fault = {0};
    const struct bytes frame = signer_request_encode(ctx, sent);
    size_t size = 0;

    cr_assert(signer_frame_size(frame.data, &size));
    cr_assert_eq(size, frame.size - SIGNER_FRAME_PREFIX);
    cr_assert(decode(ctx, body_of(frame), ret, &fault), "%s", fault.detail);
    cr_expect_eq(ret->kind, sent->kind);
}

static void expect_subject(const struct rdn *got, size_t count, size_t expected)
{
    cr_assert_eq(count, expected);
    for (size_t i = 0; i < count; i++) {
        cr_expect_str_eq(got[i].oid, subject[i].oid);
        cr_expect_str_eq(got[i].value, subject[i].value);
        cr_expect_eq(got[i].string, subject[i].string);
    }
}

static void expect_texts(const struct text_list *got, char *const *expected, size_t count)
{
    cr_assert_eq(got->count, count);
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(got->items[i], expected[i]);
}

Test(signer_message, carries_every_field_of_a_leaf)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_request sent = leaf_request();
    struct signer_request got;

    send_through(scratch, &sent, &got);
    cr_expect_str_eq(got.key_ref, sent.key_ref);
    expect_subject(got.leaf.subject, got.leaf.subject_count, 3);
    cr_expect(bytes_equal(got.leaf.spki, sent.leaf.spki));
    cr_assert_eq(got.leaf.names.count, ARRAY_SIZE(names));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cr_expect_eq(got.leaf.names.items[i].kind, names[i].kind);
        cr_expect_str_eq(got.leaf.names.items[i].value, names[i].value);
    }
    cr_expect_eq(got.leaf.key_usage, 17);
    cr_expect_eq(got.leaf.ekus, 0xfedcba98u);
    expect_texts(&got.leaf.policies, oids, ARRAY_SIZE(oids));
    cr_expect(got.leaf.must_staple);
    cr_expect_not(got.leaf.short_lived);
    cr_expect_eq(got.leaf.not_before, 1790000000);
    cr_expect_eq(got.leaf.not_after, INT64_C(253402300799));
}

Test(signer_message, carries_every_field_of_a_ca)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_request sent = ca_request();
    struct signer_request got;

    send_through(scratch, &sent, &got);
    cr_expect_null(got.key_ref);
    cr_expect_str_eq(got.issuer_key_ref, "file:/ca/root.key");
    expect_subject(got.ca.subject, got.ca.subject_count, 1);
    cr_expect(bytes_equal(got.ca.spki, sent.ca.spki));
    cr_expect_eq(got.ca.not_before, 0);
    cr_expect_eq(got.ca.not_after, 1);
    cr_expect_eq(got.ca.path_len, -1);
    expect_texts(&got.ca.permitted_dns, permitted, 2);
    expect_texts(&got.ca.excluded_dns, excluded, 1);
}

Test(signer_message, carries_texts_of_the_other_kinds)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_request generate = {
        .kind = SIGNER_GENERATE, .algorithm = "RSA-2048", .hint = "iss-local"};
    const struct signer_request facts[] = {
        {.kind = SIGNER_FACTS,       .key_ref = "/ca/a.key", .facts_json = "{}"},
        {.kind = SIGNER_CHECK_FACTS, .key_ref = "/ca/a.key", .facts_json = "{}"},
    };
    const struct signer_request show = {.kind = SIGNER_SHOW_FACTS, .key_ref = "/ca/a.key"};
    struct signer_request got;

    send_through(scratch, &generate, &got);
    cr_expect_str_eq(got.algorithm, "RSA-2048");
    cr_expect_str_eq(got.hint, "iss-local");
    for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
        send_through(scratch, &facts[i], &got);
        cr_expect_str_eq(got.key_ref, "/ca/a.key");
        cr_expect_str_eq(got.facts_json, "{}");
    }
    send_through(scratch, &show, &got);
    cr_expect_str_eq(got.key_ref, "/ca/a.key");
    cr_expect_null(got.facts_json);
}

Test(signer_message, carries_a_floor)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_request sent = {
        .kind = SIGNER_CRL_FLOOR, .key_ref = "/ca/a.key", .crl_number = INT64_C(1) << 36};
    struct signer_request got;

    send_through(scratch, &sent, &got);
    cr_expect_str_eq(got.key_ref, "/ca/a.key");
    cr_expect_eq(got.crl_number, INT64_C(1) << 36);
}

Test(signer_message, carries_what_closes_a_ca)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *longest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const struct signer_request sent = {
        .kind = SIGNER_CLOSE, .key_ref = "/ca/a.key", .ca_sha256 = longest};
    struct signer_request got;

    cr_assert_eq(strlen(longest), SIGNER_DIGEST_MAX);
    send_through(scratch, &sent, &got);
    cr_expect_str_eq(got.key_ref, "/ca/a.key");
    cr_expect_str_eq(got.ca_sha256, longest);
}

Test(signer_message, carries_replies)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_reply sent[] = {
        {.ok = false,                    .refusal = "forbidden", .detail = "not you"},
        {.ok = true,                              .der = {spki_octets, 3}                                          },
        {.ok = true,                              .spki = {spki_octets, 5}, .key_ref = "file:/a"},
        {.ok = true,          .text = "certctl-signer"                               },
        {.ok = true,.signature = {spki_octets, 4}},
        {.ok = true,     .facts_json = "{\"a\":1}"                                       },
    };

    for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
        struct signer_reply got;
        struct fault fault = {0};
        const struct bytes frame = signer_reply_encode(scratch, &sent[i]);
        cr_assert(signer_reply_decode(scratch, body_of(frame), &got, &fault), "%s", fault.detail);
        cr_expect_eq(got.ok, sent[i].ok);
        cr_expect(bytes_equal(got.der, sent[i].der));
        cr_expect(bytes_equal(got.spki, sent[i].spki));
        cr_expect(bytes_equal(got.signature, sent[i].signature));
        cr_expect_eq(got.refusal != NULL, sent[i].refusal != NULL);
        cr_expect_eq(got.detail != NULL, sent[i].detail != NULL);
        cr_expect_eq(got.key_ref != NULL, sent[i].key_ref != NULL);
        cr_expect_eq(got.text != NULL, sent[i].text != NULL);
        cr_expect_eq(got.facts_json != NULL, sent[i].facts_json != NULL);
    }
}

static void expect_refused(struct bytes body, const char *about)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct signer_request request = {.key_ref = "untouched"};
    struct fault fault = {0};
    const struct bytes exact = bytes_copy(scratch, body);
    const size_t blocks = talloc_total_blocks(scratch);

    cr_expect_not(signer_request_decode(scratch, exact, &request, &fault), "%s", about);
    cr_expect_eq(fault.reason, SIGNER_MESSAGE, "%s", about);
    cr_expect_str_eq(request.key_ref, "untouched", "%s", about);
    cr_expect_eq(talloc_total_blocks(scratch), blocks, "%s: memory left behind", about);
}

Test(signer_message, refuses_every_truncation)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_request sent[] = {leaf_request(), ca_request()};

    for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
        const struct bytes body = body_of(signer_request_encode(scratch, &sent[i]));
        /* The last field of a CA request is optional: without all of it, it is another message. */
        const size_t optional = i == 1 ? body.size - 5 - strlen("file:/ca/root.key") : SIZE_MAX;
        for (size_t size = 0; size < body.size; size++)
            if (size != optional)
                expect_refused((struct bytes){body.data, size},
                               mem_printf(scratch, "request %zu cut to %zu", i, size));
    }
}

static const struct {
    const char *about;
    const char *hex;
} broken[] = {
    {"no octet",                         ""                                        },
    {"a version without a kind",         "01"                                      },
    {"another version",                  "0201"                                    },
    {"kind 0",                           "0100"                                    },
    {"sign-ocsp-responder, key alone",   "0105010000000161"                        },
    {"sign-csr, key alone",              "0112010000000161"                        },
    {"crl-floor, key alone",             "0115010000000161"                        },
    {"close, key alone",                 "0116010000000161"                        },
    {"a kind that is not served",        "0119010000000161"                        },
    {"a kind far above",                 "01ff"                                    },
    {"ping with an octet behind",        "010100"                                  },
    {"ping with a key",                  "0101010000000161"                        },
    {"public-key without a key",         "0102"                                    },
    {"public-key with two keys",         "0102010000000161010000000161"            },
    {"public-key with an unknown tag",   "0102010000000161170000000161"            },
    {"public-key with tag 0",            "0102000000000161"                        },
    {"public-key with tag 255",          "0102ff0000000161"                        },
    {"public-key with an empty key",     "01020100000000"                          },
    {"public-key with NUL in the key",   "0102010000000361"
                                       "0062"},
    {"public-key that is not UTF-8",     "01020100000001ff"                        },
    {"public-key, overlong UTF-8",       "01020100000002c0af"                      },
    {"a length one above what is there", "0102010000000261"                        },
    {"a length of 4 GiB",                "010201ffffffff61"                        },
    {"generate with fields in disorder", "0110140000000161130000000161"            },
    {"generate without a hint",          "0110130000000161"                        },
    {"facts without facts",              "0114010000000161"                        },
};

Test(signer_message, refuses_what_is_broken)
{
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes body;
        cr_assert(hex_to_bytes(scratch, broken[i].hex, &body), "%s", broken[i].about);
        expect_refused(body, broken[i].about);
    }
}

/* Overwrites the content of one field of a good leaf request: tag, its place in the content. */
static const struct {
    const char *about;
    uint8_t tag;
    size_t at;
    uint8_t octet;
    bool accepted;
} changes[] = {
    {"string type 2 of the first RDN",  2,  0, 2,    true },
    {"string type 3 of the first RDN",  2,  0, 3,    false},
    {"name kind 5 of the first name",   4,  0, 5,    true },
    {"name kind 6 of the first name",   4,  0, 6,    false},
    {"must-staple 0",                   8,  0, 0,    true },
    {"must-staple 2",                   8,  0, 2,    false},
    {"short-lived 1",                   9,  0, 1,    true },
    {"short-lived 255",                 9,  0, 0xff, false},
    {"a second before the end of 9999", 11, 7, 0x7e, true },
    {"a second after the end of 9999",  11, 7, 0x80, false},
    {"a time before 1970",              10, 0, 0x80, false},
    {"an OID longer than the field",    2,  1, 0xff, false},
};

Test(signer_message, judges_contents)
{
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct signer_request sent = leaf_request();
        const struct bytes body = body_of(signer_request_encode(scratch, &sent));
        uint8_t *octets = mem_copy(scratch, body.data, body.size);
        struct signer_request got;
        struct fault fault = {0};
        size_t at = 2;
        while (octets[at] != changes[i].tag)
            at += 5 + (octets[at + 3] << 8 | octets[at + 4]);
        octets[at + 5 + changes[i].at] = changes[i].octet;
        cr_expect_eq(decode(scratch, (struct bytes){octets, body.size}, &got, &fault),
                     changes[i].accepted, "%s: %s", changes[i].about, fault.detail);
    }
}

/* Exactly the most, and one more. */
static bool passes(const struct signer_request *request)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct signer_request got;
    struct fault fault = {0};

    return decode(scratch, body_of(signer_request_encode(scratch, request)), &got, &fault);
}

static char *text_of(TALLOC_CTX *ctx, size_t length)
{
    char *text = mem_array(ctx, char, length + 1);

    memset(text, 'a', length);
    return text;
}

enum limited { KEY_REF, ALGORITHM, HINT, FACTS, SPKI, OID, RDN_VALUE, NAME, POLICY, DNS };

static bool passes_with(enum limited limited, size_t length)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *text = text_of(scratch, length);
    struct rdn rdn = subject[0];
    struct name name = names[0];
    struct signer_request request = leaf_request();
    request.leaf.subject = &rdn;
    request.leaf.subject_count = 1;
    request.leaf.names = (struct name_list){&name, 1};

    switch (limited) {
    case KEY_REF:
        request.key_ref = text;
        break;
    case ALGORITHM:
        request = (struct signer_request){.kind = SIGNER_GENERATE, .algorithm = text, .hint = "h"};
        break;
    case HINT:
        request = (struct signer_request){.kind = SIGNER_GENERATE, .algorithm = "a", .hint = text};
        break;
    case FACTS:
        request = (struct signer_request){
            .kind = SIGNER_FACTS, .key_ref = "/a", .facts_json = text};
        break;
    case SPKI:
        request.leaf.spki = bytes_of_text(text);
        break;
    case OID:
        rdn.oid = text;
        break;
    case RDN_VALUE:
        rdn.value = text;
        break;
    case NAME:
        name.value = text;
        break;
    case POLICY:
        request.leaf.policies = (struct text_list){&text, 1};
        break;
    case DNS:
        request = ca_request();
        request.ca.excluded_dns = (struct text_list){&text, 1};
        break;
    }
    return passes(&request);
}

Test(signer_message, keeps_the_lengths_of_texts)
{
    static const struct {
        const char *about;
        enum limited limited;
        size_t most_octets;
    } limits[] = {
        {"key_ref",   KEY_REF,   1024  },
        {"algorithm", ALGORITHM, 32    },
        {"hint",      HINT,      64    },
        {"facts",     FACTS,     131072},
        {"spki",      SPKI,      4096  },
        {"oid",       OID,       64    },
        {"value",     RDN_VALUE, 1024  },
        {"name",      NAME,      2048  },
        {"policy",    POLICY,    64    },
        {"dns",       DNS,       255   },
    };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        cr_expect_not(passes_with(limits[i].limited, 0), "%s empty", limits[i].about);
        cr_expect(passes_with(limits[i].limited, 1), "%s of one octet", limits[i].about);
        cr_expect(passes_with(limits[i].limited, limits[i].most_octets), "%s", limits[i].about);
        cr_expect_not(passes_with(limits[i].limited, limits[i].most_octets + 1), "%s",
                      limits[i].about);
    }
}

static bool passes_with_names(size_t count, size_t length)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct signer_request request = leaf_request();
    struct name *many = mem_array(scratch, struct name, count);

    for (size_t i = 0; i < count; i++)
        many[i] = (struct name){NAME_DNS, text_of(scratch, length)};
    request.leaf.names = (struct name_list){many, count};
    return passes(&request);
}

Test(signer_message, keeps_the_counts_of_lists)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct signer_request request = leaf_request();
    struct rdn *rdns = mem_array(scratch, struct rdn, 33);
    char *texts[257];

    for (size_t i = 0; i < 33; i++)
        rdns[i] = subject[0];
    for (size_t i = 0; i < 257; i++)
        texts[i] = texts_used[1];

    cr_expect(passes_with_names(0, 1));
    cr_expect(passes_with_names(1000, 1));
    cr_expect_not(passes_with_names(1001, 1));
    /* 64 KiB for all of them with their five octets each: 128 of 507 and no more. */
    cr_expect(passes_with_names(128, 507));
    cr_expect_not(passes_with_names(128, 508));

    request.leaf.subject = rdns;
    request.leaf.subject_count = 32;
    cr_expect(passes(&request));
    request.leaf.subject_count = 33;
    cr_expect_not(passes(&request));

    request = leaf_request();
    request.leaf.policies = (struct text_list){texts, 32};
    cr_expect(passes(&request));
    request.leaf.policies.count = 33;
    cr_expect_not(passes(&request));

    request = ca_request();
    request.ca.permitted_dns = (struct text_list){texts, 256};
    cr_expect(passes(&request));
    request.ca.permitted_dns.count = 257;
    cr_expect_not(passes(&request));
}

Test(signer_message, frame_has_1_to_256_kib)
{
    static const struct {
        uint32_t announced;
        bool accepted;
    } sizes[] = {
        {0,          false},
        {1,          true },
        {262143,     true },
        {262144,     true },
        {262145,     false},
        {UINT32_MAX, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        const uint32_t n = sizes[i].announced;
        const uint8_t prefix[] = {n >> 24, n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff};
        size_t size = 4711;
        cr_expect_eq(signer_frame_size(prefix, &size), sizes[i].accepted, "%u", n);
        cr_expect_eq(size, sizes[i].accepted ? n : 4711, "%u", n);
    }
}

Test(signer_message, path_length_survives_its_octet)
{
    static const int lengths[] = {-1, 0, 1, 254};

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct signer_request sent = ca_request();
        struct signer_request got;
        sent.ca.path_len = lengths[i];
        send_through(scratch, &sent, &got);
        cr_expect_eq(got.ca.path_len, lengths[i]);
    }
}
