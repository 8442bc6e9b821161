/* tests/unit/core/fault.c: what a fault keeps, and the list of reasons. */

#include "core/fault.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "core/auto.h"
#include "core/text.h"

#include "core/banned.h"

Test(fault, set_replaces_all_of_an_earlier_one)
{
    struct fault fault = {0};

    fault_set(&fault, RATE_LIMITED, "order", "too many");
    fault_cause(&fault, "bucket %d", 7);
    fault.retry_after_s = 9;
    const bool told = fault_set(&fault, INPUT_INVALID, NULL, "csr is %s", "required");

    cr_expect_not(told);
    cr_expect_eq(fault.reason, INPUT_INVALID);
    cr_expect_null(fault.field);
    cr_expect_str_eq(fault.detail, "csr is required");
    cr_expect_str_eq(fault.cause, "");
    cr_expect_eq(fault.retry_after_s, 0);
}

Test(fault, cause_leaves_what_the_caller_sees)
{
    struct fault fault = {0};

    fault_set(&fault, FILE_FAILED, "path", "cannot read it");
    fault_cause(&fault, "first");
    errno = ENOENT;
    cr_expect_null(fault_cause_errno(&fault, "open"));
    cr_expect_str_eq(fault.cause, "open: No such file or directory");
    cr_expect_str_eq(fault.detail, "cannot read it");
    cr_expect_str_eq(fault.field, "path");
    cr_expect_eq(fault.reason, FILE_FAILED);
}

Test(fault, openssl_tells_its_oldest_error_and_forgets_the_rest)
{
    struct fault fault = {0};
    const uint8_t broken[] = {0x30, 0x05, 0x00};
    const uint8_t *at = broken;

    AUTO(X509) *none = d2i_X509(NULL, &at, sizeof(broken));
    cr_assert_null(none);
    fault_set(&fault, CERTIFICATE_MALFORMED, NULL, "not a certificate");
    fault_cause_openssl(&fault, "d2i_X509");
    cr_expect(text_starts(fault.cause, "d2i_X509: error:"), "%s", fault.cause);
    cr_expect_eq(ERR_peek_error(), 0);
    fault_cause_openssl(&fault, "again");
    cr_expect_str_eq(fault.cause, "again: OpenSSL gave no reason");
}

/* 255 bytes fit; the text around the limit ends in a character of `size` bytes. */
static const struct {
    const char *about;
    int ascii;
    const char *end;
    size_t kept;
} cuts[] = {
    {"one below the limit",             254, "",                 254},
    {"at the limit",                    255, "",                 255},
    {"one above",                       256, "",                 255},
    {"two-byte character just fits",    253, "\xc3\xa4",         255},
    {"two-byte character cut",          254, "\xc3\xa4",         254},
    {"three-byte character just fits",  252, "\xe2\x80\xa6",     255},
    {"three-byte character, two left",  253, "\xe2\x80\xa6",     253},
    {"three-byte character, one left",  254, "\xe2\x80\xa6",     254},
    {"four-byte character just fits",   251, "\xf0\x9f\x94\x91", 255},
    {"four-byte character, three left", 252, "\xf0\x9f\x94\x91", 252},
    {"four-byte character, one left",   254, "\xf0\x9f\x94\x91", 254},
};

Test(fault, detail_is_cut_between_characters)
{
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        struct fault fault = {0};

        fault_set(&fault, INTERNAL, NULL, "%0*d%s", cuts[i].ascii, 0, cuts[i].end);
        cr_expect_eq(strlen(fault.detail), cuts[i].kept, "%s: %zu", cuts[i].about,
                     strlen(fault.detail));
        cr_expect(text_utf8_valid(fault.detail, strlen(fault.detail)), "%s", cuts[i].about);
    }
}

Test(fault, every_slug_is_unique_and_leads_back)
{
    for (size_t i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        const char *slug = fault_reason_slug((enum fault_reason)i);

        cr_expect_eq(fault_reason_from_slug(slug), i, "%s", slug);
        cr_expect_neq(fault_reason_kind((enum fault_reason)i), KIND_NONE, "%s", slug);
    }
}

Test(fault, unknown_slugs_and_reasons)
{
    cr_expect_eq(fault_reason_from_slug("no_such_thing"), REASON_NONE);
    cr_expect_eq(fault_reason_from_slug("none"), REASON_NONE);
    cr_expect_eq(fault_reason_from_slug(NULL), REASON_NONE);
    cr_expect_eq(fault_reason_kind(REASON_NONE), KIND_NONE);
    cr_expect_eq(fault_reason_kind(CSR_MALFORMED), KIND_MALFORMED);
    cr_expect_str_eq(fault_reason_slug(CSR_MALFORMED), "csr_malformed");
    cr_expect_eq(fault_reason_kind(REASON_COUNT), KIND_INTERNAL);
}
