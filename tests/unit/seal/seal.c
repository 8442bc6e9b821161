/* tests/unit/seal/seal.c: blobs of 04 section 15.1. The vectors were made by the few lines of
 * tests/protocol/sealed.py (hashlib and python3-cryptography), which know nothing of our code. */
#include "seal/seal.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define CURRENT "correct horse battery staple, thirty-two and more"
#define BEFORE  "the passphrase of before the rotation, also long"
#define TEXT_OF "{\"token\":\"hvs.s3cret\"}"

#define V3                                                                                         \
    "03000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6fbd2b1fee271cdd5adc3d8eda8f4ca6"     \
    "f48ebbb99421308c0d62882e715e9373eaf2c1e477ae34"
#define V2                                                                                         \
    "02000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f261022d4b7974e0e201fce70642"        \
    "33d752e6405c39bd3669275760c421c27889c7bc3ce0e1d70"
#define V1                                                                                         \
    "6465666768696a6b6c6d6e6f1691cccabab45aecd66c3933622b423d9a6bab1818d2e876d63a59c4fb15ae"       \
    "403bbec8e19c74"
#define V3_BEFORE                                                                                  \
    "03000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f8b974d81a68e559ff581fc"             \
    "b3da455f49c3ce1b0839e34e55406f6686b2baaeec91cd4dd7f34d"
#define V1_LIKE_3                                                                                  \
    "0365666768696a6b6c6d6e6f70554a0ce40d6c67d8cf1a1085f60e06611fcc5d427cc78a4f008091"             \
    "ed247902a7fd1cd03af6"
#define V1_LIKE_2                                                                                  \
    "0265666768696a6b6c6d6e6fa1f7d4e1a4ce3ea3d98e59074fd4b666f03d0139720bdde5f4429204"             \
    "fc8d47bbb01701078097"
#define V3_EMPTY                                                                                   \
    "03000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f47df0c03f42a521514a5914"            \
    "0b1fd1eee"
#define V1_EMPTY "0365666768696a6b6c6d6e6fb6073562613e836e56b58f3875f23a44"
#define V1_OF_44                                                                                   \
    "0365666768696a6b6c6d6e6f730f461bf7107a3d9a950a1e8ea0054dfa458ca4c4c5710c0e422069f0"           \
    "9f406a"
#define V1_OF_45                                                                                   \
    "0365666768696a6b6c6d6e6f730f461bf7107a3d9a950a1e8ea0054d7a463a954e9095fd0bd8d3eeb"            \
    "eb3ecba08"

static const struct seal_passphrases one = {CURRENT, NULL};
static const struct seal_passphrases both = {CURRENT, BEFORE};

static struct bytes blob_of(TALLOC_CTX *ctx, const char *hex)
{
    struct bytes blob = {0};

    cr_assert(hex_to_bytes(ctx, hex, &blob));
    return blob;
}

static const struct {
    const char *about;
    const char *hex;
    const struct seal_passphrases *passphrases;
    const char *plain; /* NULL: must not open */
    unsigned version;
} cases[] = {
    {"v3",                                    V3,                                                       &one,  TEXT_OF,             3},
    {"v2",                                    V2,                                                       &one,  TEXT_OF,             2},
    {"v1",                                    V1,                                                       &one,  TEXT_OF,             1},
    {"v1 whose nonce begins with 3",          V1_LIKE_3,                                                &one,  TEXT_OF,             3},
    {"v1 whose nonce begins with 2",          V1_LIKE_2,                                                &one,  TEXT_OF,             2},
    {"v3 of nothing, the shortest",           V3_EMPTY,                                                 &one,  "",                  3},
    {"v1 of nothing, the shortest",           V1_EMPTY,                                                 &one,  "",                  1},
    {"v1 of 44 octets: no v3 is so short",    V1_OF_44,                                                 &one,  "xxxxxxxxxxxxxxxx",  1},
    {"v1 of 45 octets: tried as v3 first",    V1_OF_45,                                                 &one,  "xxxxxxxxxxxxxxxxx", 3},
    {"of before the rotation, both set",      V3_BEFORE,                                                &both, TEXT_OF,             3},
    {"of before the rotation, the new alone", V3_BEFORE,                                                &one,  NULL,                3},
    {"v2 called v3",
     "03000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f26"
     "1022d4b7974e0e201fce7064233d752e6405c39bd3669275760c421c27"
     "889c7bc3ce0e1d70",                                                                                &both, NULL,                3},
    {"one bit of the tag",
     "6465666768696a6b6c6d6e6f1691cccabab45aecd66c3933622b423d9a6b"
     "ab1818d2e876d63a59c4fb15ae403bbec8e19c75",                                                        &both, NULL,                1},
    {"an octet less than the shortest",       "0365666768696a6b6c6d6e6fb6073562613e836e56b58f3875f23a",
     &one,                                                                                                     NULL,                1},
    {"nothing",                               "",                                                       &both, NULL,                1},
};

Test(seal, opens)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        const struct bytes blob = blob_of(scratch, cases[i].hex);
        const size_t before = talloc_total_blocks(scratch);
        const struct secret *secret = seal_open(scratch, cases[i].passphrases, blob, &fault);

        cr_expect_eq(seal_version(blob), cases[i].version, "%s", cases[i].about);
        cr_expect_eq(secret != NULL, cases[i].plain != NULL, "%s: %s", cases[i].about,
                     fault.detail);
        cr_expect_eq(fault.reason, secret ? REASON_NONE : SEAL_UNREADABLE, "%s", cases[i].about);
        if (secret)
            cr_expect(bytes_equal((struct bytes){secret->data, secret->size},
                                  bytes_of_text(cases[i].plain)),
                      "%s: other octets", cases[i].about);
        else
            cr_expect_eq(talloc_total_blocks(scratch), before, "%s: memory left", cases[i].about);
    }
}

Test(seal, refusal_tells_no_version)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault marked = {0};
    struct fault bare = {0};

    cr_assert_null(seal_open(scratch, &one, blob_of(scratch, V3_BEFORE), &marked));
    cr_assert_null(seal_open(scratch, &one, bytes_of_text("nothing"), &bare));
    cr_expect_str_eq(marked.detail, bare.detail);
}

Test(seal, needs_a_passphrase)
{
    static const struct seal_passphrases none = {NULL, BEFORE};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};

    cr_expect_null(seal_write(scratch, &none, bytes_of_text("x"), &fault));
    cr_expect_eq(fault.reason, SEAL_KEY_MISSING);
    cr_expect_str_eq(fault.detail, "crypto: CERTCTL_CONFIG_ENCRYPTION_KEY is required to encrypt "
                                   "or decrypt sensitive config");
    cr_expect_null(seal_open(scratch, &none, blob_of(scratch, V3_BEFORE), &fault));
    cr_expect_eq(fault.reason, SEAL_KEY_MISSING);
    cr_expect_eq(seal_derivations(), 0);
}

Test(seal, writes_what_it_reads)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    uint8_t large[70000];

    memset(large, 7, sizeof(large));
    const struct bytes *blob = seal_write(scratch, &both, BYTES_OF(large), &fault);
    const struct bytes *again = seal_write(scratch, &both, BYTES_OF(large), &fault);
    cr_assert(blob && again, "%s", fault.detail);
    cr_expect_eq(blob->data[0], 3);
    cr_expect_eq(blob->size, sizeof(large) + 45);
    cr_expect_neq(memcmp(blob->data + 1, again->data + 1, 16), 0, "a salt twice");
    cr_expect_neq(memcmp(blob->data + 17, again->data + 17, 12), 0, "a nonce twice");
    const struct secret *secret = seal_open(scratch, &one, *blob, &fault);
    cr_assert(secret, "%s", fault.detail);
    cr_expect(bytes_equal((struct bytes){secret->data, secret->size}, BYTES_OF(large)));
    for (size_t at = 0; at < 64; at++) {
        uint8_t *bent = mem_copy(scratch, blob->data, blob->size);

        if (at > 0 && at < 17)
            continue; /* another salt costs another key */
        bent[at] ^= 1;
        cr_expect_null(seal_open(scratch, &one, (struct bytes){bent, blob->size}, &fault),
                       "octet %zu does not matter", at);
    }
}

Test(seal, tells_what_is_current)
{
    static const struct seal_passphrases none = {NULL, CURRENT};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect(seal_is_current(&both, blob_of(scratch, V3)));
    cr_expect_not(seal_is_current(&both, blob_of(scratch, V3_BEFORE)), "of before");
    cr_expect_not(seal_is_current(&both, blob_of(scratch, V2)), "v2");
    cr_expect_not(seal_is_current(&both, blob_of(scratch, V1_LIKE_3)), "v1 that begins with 3");
    cr_expect_not(seal_is_current(&none, blob_of(scratch, V3)), "no current passphrase");
}

Test(seal, derives_a_key_once)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes blob = blob_of(scratch, V2);

    for (int i = 0; i < 3; i++)
        cr_expect(seal_open(scratch, &one, blob, &fault));
    cr_expect_eq(seal_derivations(), 1);
    /* Another passphrase, or another count of rounds for the same salt, is another key. */
    cr_expect(seal_open(scratch, &one, blob_of(scratch, V3), &fault));
    cr_expect_eq(seal_derivations(), 2);
    cr_expect(seal_open(scratch, &both, blob_of(scratch, V3_BEFORE), &fault));
    cr_expect_eq(seal_derivations(), 4, "v1 under the first, v3 under the second passphrase");
    /* A blob that opens under nobody's passphrase is paid for once, too. */
    cr_expect_null(seal_open(scratch, &one, blob_of(scratch, V3_BEFORE), &fault));
    cr_expect_eq(seal_derivations(), 4);
}
