/* tests/unit/pki/outline.c: the walk over a certificate sees what OpenSSL's reader sees. */
#include "pki/outline.h"

#include "core/digest.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "support.h"

#include "core/banned.h"

static const struct {
    const char *key;
    int64_t not_after;
} leaves[] = {
    {"P-256",    TEST_NOW + 90 * DAY    }, /* UTCTime */
    {"P-521",    TEST_NOW + 1           },
    {"Ed25519",  INT64_C(2524608000)    }, /* 2050-01-01: the first GeneralizedTime */
    {"RSA-2048", INT64_C(2524608000) - 1},
};

static struct bytes leaf(TALLOC_CTX *ctx, const char *key, int64_t not_after)
{
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    struct issuer_facts facts = ca->facts;
    struct certificate_wish wish = test_wish(ctx);

    facts.not_after = not_after + DAY;
    facts.ceiling_s = INT64_C(100) * 366 * DAY;
    wish.not_after = not_after;
    wish.spki = test_spki(ctx, test_key(ctx, key));
    return test_certificate(ctx, ca, test_compose(ctx, &facts, &wish));
}

Test(outline, agrees_with_the_whole_reader)
{
    for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct bytes der = leaf(scratch, leaves[i].key, leaves[i].not_after);
        struct fault fault = {0};
        struct certificate_outline outline;
        const struct certificate *whole = certificate_from_der(scratch, der, &fault);

        cr_assert_not_null(whole, "%s: %s", leaves[i].key, fault.detail);
        cr_assert(certificate_outline_read(scratch, der, &outline, &fault), "%s", fault.detail);
        cr_expect_str_eq(outline.serial, whole->serial);
        cr_expect_eq(outline.not_before, whole->not_before);
        cr_expect_eq(outline.not_after, leaves[i].not_after, "%s", leaves[i].key);
        cr_expect_str_eq(outline.fingerprint_sha256, whole->fingerprint_sha256);
        cr_expect_str_eq(outline.spki_sha256, whole->spki_sha256);
        cr_expect(bytes_equal(outline.spki, whole->spki));
        cr_expect_eq(outline.key.bits, whole->key.bits);
        cr_expect_str_eq(outline.key.algorithm, whole->key.algorithm);
    }
}

Test(outline, sees_who_issued_whom)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct certificate_parts parts;

    cr_assert(certificate_cut(test_ca(scratch, "P-256", NULL)->der, &parts));
    cr_expect(bytes_equal(parts.subject, parts.issuer));
    cr_assert(certificate_cut(leaf(scratch, "P-256", TEST_NOW + DAY), &parts));
    cr_expect_not(bytes_equal(parts.subject, parts.issuer));
}

Test(outline, refuses_what_is_cut_short_or_followed_by_more)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes der = leaf(scratch, "P-256", TEST_NOW + DAY);
    const struct certificate_outline untouched = {.not_after = 7};
    uint8_t *longer = mem_zero(scratch, der.size + 1, "longer");

    memcpy(longer, der.data, der.size);
    for (size_t size = 0; size <= der.size + 1; size++) {
        AUTO(TALLOC_CTX) *result = talloc_new(NULL);
        struct certificate_outline outline = untouched;
        struct fault fault = {0};

        if (size == der.size)
            continue;
        const uint8_t *exact = mem_copy(scratch, longer, size);
        cr_expect_not(
            certificate_outline_read(result, (struct bytes){exact, size}, &outline, &fault));
        cr_expect_eq(fault.reason, CERTIFICATE_MALFORMED, "%zu", size);
        cr_expect_eq(outline.not_after, untouched.not_after, "%zu", size);
    }
}
