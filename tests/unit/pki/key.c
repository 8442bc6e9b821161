/* tests/unit/pki/key.c: which public keys are known, and what is made of them. */
#include "support.h"

#include <string.h>

#include "core/memory.h"
#include "pki/key.h"
#include "pki/key_import.h"

#include "core/banned.h"

static const struct {
    const char *kind;
    const char *algorithm; /* NULL: refused */
    int bits;
} kinds[] = {
    {"P-256",     "ECDSA",   256 },
    {"P-384",     "ECDSA",   384 },
    {"P-521",     "ECDSA",   521 },
    {"secp256k1", NULL,      0   },
    {"P-224",     NULL,      0   },
    {"Ed25519",   "Ed25519", 256 },
    {"RSA-1024",  NULL,      0   },
    {"RSA-2048",  "RSA",     2048},
};

Test(key, kinds_and_sizes)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct key_facts facts = {.bits = -1};
        struct fault fault = {0};
        const struct bytes spki = test_spki(scratch, test_key(scratch, kinds[i].kind));
        const bool taken = key_facts_from_spki(spki, &facts, &fault);

        cr_expect_eq(taken, kinds[i].algorithm != NULL, "%s: %s", kinds[i].kind, fault.detail);
        cr_expect_eq(facts.bits, taken ? kinds[i].bits : -1, "%s", kinds[i].kind);
        if (taken)
            cr_expect_str_eq(facts.algorithm, kinds[i].algorithm);
        else
            cr_expect_eq(fault.reason, CSR_KEY_REJECTED, "%s", kinds[i].kind);
    }
}

/* An RSA SubjectPublicKeyInfo of any numbers; no key stands behind it. */
static struct bytes rsa_spki(TALLOC_CTX *ctx, size_t bits, bool even, uint32_t exponent)
{
    uint8_t modulus[1025] = {0};
    const size_t octets = (bits + 7) / 8;
    struct der_writer to;

    modulus[0] = (uint8_t)(1u << ((bits - 1) % 8));
    modulus[octets - 1] |= even ? 0 : 1;
    der_start(&to, ctx, 2048);
    der_put_small(&to, exponent);
    der_put_unsigned(&to, (struct bytes){modulus, octets});
    der_wrap(&to, DER_SEQUENCE, 0);
    der_put_octet(&to, 0);
    der_wrap(&to, DER_BIT_STRING, 0);
    const size_t mark = der_mark(&to);
    der_put_value(&to, DER_NULL, (struct bytes){0});
    der_put_oid(&to, "1.2.840.113549.1.1.1");
    der_wrap(&to, DER_SEQUENCE, mark);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

static const struct {
    const char *about;
    size_t bits;
    bool even;
    uint32_t exponent;
    bool accepted;
} rsa_limits[] = {
    {"2047 bits",      2047, false, 65537, false},
    {"2048 bits",      2048, false, 65537, true },
    {"8192 bits",      8192, false, 65537, true },
    {"8193 bits",      8193, false, 65537, false},
    {"even modulus",   2048, true,  65537, false},
    {"exponent 3",     2048, false, 3,     false},
    {"exponent 65535", 2048, false, 65535, false},
    {"exponent 65536", 2048, false, 65536, false},
    {"exponent 65539", 2048, false, 65539, true },
};

Test(key, limits_of_rsa)
{
    for (size_t i = 0; i < ARRAY_SIZE(rsa_limits); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct bytes spki = rsa_spki(scratch, rsa_limits[i].bits, rsa_limits[i].even,
                                           rsa_limits[i].exponent);
        struct key_facts facts = {.bits = -1};
        struct fault fault = {0};
        const bool accepted = key_facts_from_spki(spki, &facts, &fault);

        cr_expect_eq(accepted, rsa_limits[i].accepted, "%s: %s", rsa_limits[i].about, fault.detail);
        cr_expect_eq(facts.bits, accepted ? (int)rsa_limits[i].bits : -1, "%s",
                     rsa_limits[i].about);
    }
}

static const struct {
    const char *about;
    size_t offset;
    uint8_t octet;
} broken_p256[] = {
    {"outer tag",                0,  0x31},
    {"outer length too long",    1,  0x5a},
    {"outer length too short",   1,  0x58},
    {"algorithm is no SEQUENCE", 2,  0x31},
    {"algorithm OID",            6,  0x2b},
    {"curve OID",                22, 0x08},
    {"bits are no BIT STRING",   23, 0x04},
    {"unused bits",              25, 0x01},
    {"compressed form",          26, 0x02},
    {"point at infinity",        26, 0x00},
};

Test(key, broken_bytes_are_refused)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes good = test_spki(scratch, test_key(scratch, "P-256"));
    struct key_facts facts;
    struct fault fault = {0};
    cr_assert_eq(good.size, 91);
    cr_assert(key_facts_from_spki(good, &facts, &fault));

    for (size_t i = 0; i < ARRAY_SIZE(broken_p256); i++) {
        uint8_t *patched = mem_copy(scratch, good.data, good.size);
        cr_assert_neq(patched[broken_p256[i].offset], broken_p256[i].octet, "%s",
                      broken_p256[i].about);
        patched[broken_p256[i].offset] = broken_p256[i].octet;
        cr_expect_not(key_facts_from_spki((struct bytes){patched, good.size}, &facts, &fault), "%s",
                      broken_p256[i].about);
    }
    for (size_t size = 0; size < good.size; size++) {
        uint8_t *cut = mem_copy(scratch, good.data, size);
        cr_expect_not(key_facts_from_spki((struct bytes){cut, size}, &facts, &fault), "cut %zu",
                      size);
    }
}

Test(key, at_most_4_kib)
{
    uint8_t *large = mem_zero(NULL, 4097, "large");
    struct key_facts facts;
    struct fault fault = {0};
    cr_expect_not(key_facts_from_spki((struct bytes){large, 4097}, &facts, &fault));
    cr_expect_str_eq(fault.detail, "SubjectPublicKeyInfo is above 4 KiB");
    cr_expect_not(key_facts_from_spki((struct bytes){large, 4096}, &facts, &fault));
    cr_expect_str_neq(fault.detail, "SubjectPublicKeyInfo is above 4 KiB");
    talloc_free(large);
}

/* Twice each, since the second of a curve is a copy of the first one's. */
Test(key, what_is_made_is_what_openssl_decodes)
{
    for (size_t i = 0; i < 2 * ARRAY_SIZE(kinds); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *kind = kinds[i % ARRAY_SIZE(kinds)].kind;
        const int bits = kinds[i % ARRAY_SIZE(kinds)].bits;
        EVP_PKEY *key = test_key(scratch, kind);
        struct key_facts facts = {.bits = -1};
        struct fault fault = {0};
        AUTO(EVP_PKEY) *made = key_from_spki(test_spki(scratch, key), &facts, &fault);

        cr_assert_eq(made != NULL, bits > 0, "%s: %s", kind, fault.detail);
        cr_expect_eq(fault.reason, made ? REASON_NONE : CSR_KEY_REJECTED, "%s", kind);
        cr_expect_eq(facts.bits, made ? bits : -1, "%s", kind);
        if (!made)
            continue;
        cr_expect_eq(EVP_PKEY_eq(made, key), 1, "%s", kind);
        cr_expect(bytes_equal(test_spki(scratch, made), test_spki(scratch, key)), "%s", kind);
    }
}

Test(key, no_key_is_made_of_a_point_beside_its_curve)
{
    static const struct {
        const char *kind;
        uint8_t octet; /* of x and y, all of it: 0xff is above each prime, 1 beside each curve */
    } cases[] = {
        {"P-256", 0xff},
        {"P-384", 0xff},
        {"P-521", 0xff},
        {"P-256", 0x01},
        {"P-384", 0x01},
        {"P-521", 0x01},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct bytes good = test_spki(scratch, test_key(scratch, cases[i].kind));
        uint8_t *patched = mem_copy(scratch, good.data, good.size);
        const uint8_t *form = memchr(good.data + 20, 0x04, good.size - 20);
        struct key_facts facts = {.bits = -1};
        struct fault fault = {0};
        const size_t from = (size_t)(form - good.data) + 1;

        memset(patched + from, cases[i].octet, good.size - from);
        cr_expect(key_facts_from_spki((struct bytes){patched, good.size}, &facts, &fault));
        facts.bits = -1;
        cr_expect_null(key_from_spki((struct bytes){patched, good.size}, &facts, &fault), "%s",
                       cases[i].kind);
        cr_expect_eq(fault.reason, CSR_KEY_REJECTED, "%s", cases[i].kind);
        cr_expect_eq(facts.bits, -1, "%s", cases[i].kind);
    }
}
