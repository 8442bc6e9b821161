/* tests/unit/pki/crl_entry.c: entries of a CRL, held against OpenSSL's reading of them. */
#include <criterion/criterion.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/crl_entry.h"
#include "pki/der.h"

#include "core/banned.h"

AUTO_DEFINE(X509_REVOKED, X509_REVOKED_free)
AUTO_DEFINE(ASN1_ENUMERATED, ASN1_ENUMERATED_free)
AUTO_DEFINE(ASN1_GENERALIZEDTIME, ASN1_GENERALIZEDTIME_free)

#define NOW  INT64_C(1795194296)
#define LATE INT64_C(2524608000) /* the first second of 2050 */

static const struct {
    const char *about;
    struct crl_entry entry;
    const char *hex;
} entries[] = {
    {"unspecified has no extensions",
     {.serial = "1f", .revoked_at = NOW},
     "301202011f170d3236313132303137303435365a"                                                                                            },
    {"a reason",
     {.serial = "1f", .revoked_at = NOW, .reason = REVOKED_KEY_COMPROMISE},
     "302002011f170d3236313132303137303435365a300c300a0603551d1504030a0101"                                                                },
    {"the last reason",
     {.serial = "1f", .revoked_at = NOW, .reason = REVOKED_PRIVILEGE_WITHDRAWN},
     "302002011f170d3236313132303137303435365a300c300a0603551d1504030a0109"                                                                },
    {"an invalidity date, which is GeneralizedTime in any year",
     {.serial = "1f", .revoked_at = NOW, .invalidity_date = NOW - 1},
     "302e02011f170d3236313132303137303435365a301a30180603551d180411180f32303236313132303137"
     "303435355a"                                                                                                                          },
    {"both",
     {.serial = "1f", .revoked_at = NOW, .reason = REVOKED_SUPERSEDED, .invalidity_date = LATE},
     "303a02011f170d3236313132303137303435365a3026300a0603551d1504030a010430180603551d180411"
     "180f32303530303130313030303030305a"                                                                                                  },
    {"GeneralizedTime from 2050",
     {.serial = "1f", .revoked_at = LATE},
     "301402011f180f32303530303130313030303030305a"                                                                                        },
    {"an odd number of digits, and a first bit",
     {.serial = "abc80f00f", .revoked_at = 0},
     "301602050abc80f00f170d3730303130313030303030305a"                                                                                    },
    {"a first bit needs an octet before it",
     {.serial = "80", .revoked_at = 0},
     "301302020080170d3730303130313030303030305a"                                                                                          },
    {"serial zero",                                              {.serial = "0"},                "3012020100170d3730303130313030303030305a"},
};

Test(crl_entry, has_these_octets)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes der = {0};
        struct fault fault = {0};

        cr_assert(crl_entry_encode(scratch, &entries[i].entry, &der, &fault), "%s: %s",
                  entries[i].about, fault.detail);
        cr_expect_str_eq(hex_from_bytes(scratch, der), entries[i].hex, "%s", entries[i].about);
    }
}

static int64_t seconds_of(const ASN1_TIME *when)
{
    struct tm broken_down = {0};

    cr_assert_eq(ASN1_TIME_to_tm(when, &broken_down), 1);
    return timegm(&broken_down);
}

/* OpenSSL's reading of one extension, compared with what was asked for. */
static void expect_extensions(const char *about, const X509_REVOKED *read,
                              const struct crl_entry *entry)
{
    AUTO(ASN1_ENUMERATED) *reason = X509_REVOKED_get_ext_d2i(read, NID_crl_reason, NULL, NULL);
    AUTO(ASN1_GENERALIZEDTIME) *date = X509_REVOKED_get_ext_d2i(read, NID_invalidity_date, NULL,
                                                                NULL);

    cr_expect_eq(X509_REVOKED_get_ext_count(read),
                 (entry->reason != REVOKED_UNSPECIFIED) + (entry->invalidity_date != 0), "%s",
                 about);
    cr_expect_eq(reason ? ASN1_ENUMERATED_get(reason) : 0, (long)entry->reason, "%s", about);
    cr_expect_eq(date ? seconds_of(date) : 0, entry->invalidity_date, "%s", about);
    for (int i = 0; i < X509_REVOKED_get_ext_count(read); i++)
        cr_expect_eq(X509_EXTENSION_get_critical(X509_REVOKED_get_ext(read, i)), 0, "%s", about);
}

Test(crl_entry, reads_the_same_in_openssl)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO_OPENSSL(uint8_t) *again = NULL;
        struct bytes der = {0};
        struct fault fault = {0};

        cr_assert(crl_entry_encode(scratch, &entries[i].entry, &der, &fault));
        const uint8_t *at = der.data;
        AUTO(X509_REVOKED) *read = d2i_X509_REVOKED(NULL, &at, (long)der.size);
        cr_assert_not_null(read, "%s", entries[i].about);
        cr_expect_eq(at, der.data + der.size, "%s", entries[i].about);
        AUTO(BIGNUM) *serial = ASN1_INTEGER_to_BN(X509_REVOKED_get0_serialNumber(read), NULL);
        AUTO(BIGNUM) *wanted = NULL;
        cr_assert_gt(BN_hex2bn(&wanted, entries[i].entry.serial), 0);
        cr_expect_eq(BN_cmp(serial, wanted), 0, "%s", entries[i].about);
        cr_expect_eq(seconds_of(X509_REVOKED_get0_revocationDate(read)),
                     entries[i].entry.revoked_at, "%s", entries[i].about);
        expect_extensions(entries[i].about, read, &entries[i].entry);
        const int size = i2d_X509_REVOKED(read, &again);
        cr_assert_gt(size, 0);
        cr_expect(bytes_equal(der, (struct bytes){again, (size_t)size}), "%s", entries[i].about);
    }
}

static const struct {
    const char *about;
    struct crl_entry entry;
    bool encoded;
} limits[] = {
    {"32 octets of serial",
     {.serial = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
     true                                                                                           },
    {"33 octets of serial",
     {.serial = "1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
     false                                                                                          },
    {"no serial",                             {0},                                             false},
    {"an empty serial",                       {.serial = ""},                                  false},
    {"a serial that is no number",            {.serial = "xy"},                                false},
    {"the last second",
     {.serial = "1", .revoked_at = DER_TIME_MAX, .invalidity_date = DER_TIME_MAX},
     true                                                                                           },
    {"after the last second",                 {.serial = "1", .revoked_at = DER_TIME_MAX + 1}, false},
    {"before the first second",               {.serial = "1", .revoked_at = -1},               false},
    {"invalid since after the last second",
     {.serial = "1", .invalidity_date = DER_TIME_MAX + 1},
     false                                                                                          },
    {"invalid since before the first second", {.serial = "1", .invalidity_date = -1},          false},
};

Test(crl_entry, has_limits)
{
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct bytes der = {.size = 77};
        struct fault fault = {0};
        const bool encoded = crl_entry_encode(scratch, &limits[i].entry, &der, &fault);

        cr_expect_eq(encoded, limits[i].encoded, "%s: %s", limits[i].about, fault.detail);
        cr_expect_eq(fault.reason, encoded ? REASON_NONE : INTERNAL, "%s", limits[i].about);
        if (!encoded) {
            cr_expect_eq(der.size, 77, "%s", limits[i].about);
            cr_expect_eq(talloc_total_blocks(scratch), 1, "%s: memory left", limits[i].about);
        }
    }
}
