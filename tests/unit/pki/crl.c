/* tests/unit/pki/crl.c: CRLs from their pieces, read by OpenSSL; and what is no TBSCertList. */
#include "pki/crl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "core/memory.h"
#include "pki/crl_memory.h"
#include "pki/extension.h"
#include "support.h"

#include "core/banned.h"

#define REVOKED_AT (TEST_NOW - DAY)

static struct crl_head head_of(const struct test_ca *ca)
{
    return (struct crl_head){
        .issuer_der = ca->facts.subject_der,
        .ski = ca->facts.ski,
        .algorithm = ca->algorithm,
        .this_update = TEST_NOW,
        .next_update = TEST_NOW + DAY,
        .number = 7,
    };
}

static struct crl_entry entry_of(TALLOC_CTX *ctx, size_t serial)
{
    return (struct crl_entry){.serial = mem_printf(ctx, "%zx", serial),
                              .revoked_at = REVOKED_AT,
                              .reason = REVOKED_SUPERSEDED};
}

/* A list of `count` entries, sealed. */
static struct bytes sealed(TALLOC_CTX *ctx, const struct crl_head *head, size_t count)
{
    struct fault fault = {0};
    struct bytes tbs = {0};
    struct crl_memory *memory = crl_memory_new(ctx, &fault);

    cr_assert_not_null(memory, "%s %s", fault.detail, fault.cause);
    for (size_t i = 0; i < count; i++) {
        const struct crl_entry entry = entry_of(ctx, i + 1);
        cr_assert(crl_memory_add(memory, (struct bytes){0}, &entry, &fault), "%s", fault.detail);
    }
    cr_assert_eq(crl_memory_count(memory), count);
    cr_assert(crl_memory_seal(memory, head, &tbs, &fault), "%s %s", fault.detail, fault.cause);
    return tbs;
}

static const char *digest_of(const struct test_ca *ca)
{
    return ca->algorithm == SIGNATURE_ECDSA_SHA384 ? "SHA384" : "SHA256";
}

static X509_CRL *parsed(TALLOC_CTX *ctx, const struct test_ca *ca, struct bytes tbs)
{
    const struct bytes signature = test_signature(ctx, ca->key, digest_of(ca), tbs);
    const struct bytes der = signed_object_assemble(ctx, tbs, ca->algorithm, signature);
    const struct crl_signed pieces = crl_signed(ctx, tbs, ca->algorithm, signature);
    struct fault fault = {0};
    const uint8_t *at = der.data;

    cr_expect(bytes_equal(der, test_join(ctx, test_join(ctx, pieces.before, tbs), pieces.after)));
    cr_expect(crl_check(&pieces, signature, ca->der, &fault), "%s %s", fault.detail, fault.cause);
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.size);
    cr_assert_not_null(crl);
    cr_assert_eq(at, der.data + der.size);
    return mem_adopt(ctx, crl, X509_CRL_free);
}

static int64_t unix_of(const ASN1_TIME *time)
{
    struct tm parts;

    cr_assert_eq(ASN1_TIME_to_tm(time, &parts), 1);
    return timegm(&parts);
}

static int64_t number_of(X509_CRL *crl)
{
    AUTO(ASN1_INTEGER) *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);

    cr_assert_not_null(number);
    return ASN1_INTEGER_get(number);
}

static size_t count_of(X509_CRL *crl)
{
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);

    return revoked ? (size_t)sk_X509_REVOKED_num(revoked) : 0;
}

/* None, one, and around the lengths that take one more octet (128, 256, 65536). */
static const size_t counts[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1800, 1900, 2000, 20000};

Test(crl, is_what_openssl_reads)
{
    static const char *const kinds[] = {"P-256", "P-384", "RSA-2048"};

    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        AUTO(TALLOC_CTX) *ca_ctx = talloc_new(NULL);
        const struct test_ca *ca = test_ca(ca_ctx, kinds[k], NULL);
        const struct crl_head head = head_of(ca);
        for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
            AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
            X509_CRL *crl = parsed(ctx, ca, sealed(ctx, &head, counts[i]));
            cr_expect_eq(X509_CRL_verify(crl, ca->key), 1, "%s %zu", kinds[k], counts[i]);
            cr_expect_eq(X509_CRL_get_version(crl), X509_CRL_VERSION_2);
            cr_expect_eq(X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca->x509)),
                         0);
            cr_expect_eq(unix_of(X509_CRL_get0_lastUpdate(crl)), TEST_NOW);
            cr_expect_eq(unix_of(X509_CRL_get0_nextUpdate(crl)), TEST_NOW + DAY);
            cr_expect_eq(number_of(crl), 7);
            cr_expect_eq(count_of(crl), counts[i]);
            cr_expect_eq(X509_CRL_get_ext_count(crl), 2, "key id and number, nothing else");
            cr_expect_eq(X509_CRL_get_ext_by_critical(crl, 1, -1), -1);
        }
    }
}

Test(crl, names_the_key_as_the_certificate_does)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    X509_CRL *crl = parsed(ctx, ca, sealed(ctx, &head, 1));
    AUTHORITY_KEYID *aki = X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, NULL, NULL);

    cr_assert_not_null(aki);
    cr_expect_eq(ASN1_OCTET_STRING_cmp(aki->keyid, X509_get0_subject_key_id(ca->x509)), 0);
    AUTHORITY_KEYID_free(aki);
}

/* RFC 5280 section 5.1.2.4: UTCTime through 2049, GeneralizedTime from 2050. */
Test(crl, dates_change_their_form_in_2050)
{
    static const struct {
        int64_t this_update;
        int tag;
    } cases[] = {
        {INT64_C(2524607999), V_ASN1_UTCTIME        },
        {INT64_C(2524608000), V_ASN1_GENERALIZEDTIME},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
        struct crl_head head = head_of(ca);
        struct crl_tbs tbs;
        head.this_update = cases[i].this_update;
        head.next_update = cases[i].this_update + 1;
        const struct bytes der = sealed(ctx, &head, 1);
        X509_CRL *crl = parsed(ctx, ca, der);
        cr_expect_eq(X509_CRL_get0_lastUpdate(crl)->type, cases[i].tag);
        cr_expect_eq(X509_CRL_get0_nextUpdate(crl)->type, V_ASN1_GENERALIZEDTIME);
        cr_assert(crl_tbs_read(der, &tbs));
        cr_expect_eq(tbs.this_update, cases[i].this_update);
        cr_expect_eq(tbs.next_update, cases[i].this_update + 1);
    }
}

Test(crl, numbers_have_one_encoding)
{
    static const int64_t numbers[] = {1, 127, 128, 255, 256, 32767, 32768, INT64_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
        struct crl_head head = head_of(ca);
        struct crl_tbs tbs;
        head.number = numbers[i];
        const struct bytes der = sealed(ctx, &head, 0);
        cr_expect_eq(number_of(parsed(ctx, ca, der)), numbers[i]);
        cr_assert(crl_tbs_read(der, &tbs));
        cr_expect_eq(tbs.number, numbers[i]);
        cr_expect_eq(tbs.count, 0);
    }
}

/* Rows that were written without their entry; crl_entry.c has the forms of one. */
Test(crl, encodes_rows_that_have_no_entry_yet)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    X509_CRL *crl = parsed(ctx, ca, sealed(ctx, &head, 300));
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);

    for (int i = 0; i < sk_X509_REVOKED_num(revoked); i++) {
        X509_REVOKED *entry = sk_X509_REVOKED_value(revoked, i);
        cr_expect_eq(ASN1_INTEGER_get(X509_REVOKED_get0_serialNumber(entry)), i + 1);
        cr_expect_eq(unix_of(X509_REVOKED_get0_revocationDate(entry)), REVOKED_AT);
    }
}

Test(crl, takes_prepared_entries_as_they_are)
{
    static const uint8_t entry[] = {0x30, 0x12, 0x02, 0x01, 0x05, 0x17, 0x0d, '2', '6', '1',
                                    '1',  '2',  '0',  '0',  '0',  '0',  '0',  '0', '0', 'Z'};
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    struct fault fault = {0};
    struct bytes tbs = {0};
    struct crl_memory *memory = crl_memory_new(ctx, &fault);
    const struct crl_entry other = {.serial = "ffff"};

    cr_assert(crl_memory_add(memory, (struct bytes)BYTES_OF(entry), &other, &fault));
    cr_assert(crl_memory_add(memory, (struct bytes)BYTES_OF(entry), &other, &fault));
    cr_assert(crl_memory_seal(memory, &head, &tbs, &fault));
    cr_expect(test_contains(
        tbs, test_join(ctx, (struct bytes)BYTES_OF(entry), (struct bytes)BYTES_OF(entry))));
}

Test(crl, refuses_rows_without_a_serial)
{
    static const char *const serials[] = {
        "", "xyz", "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00"};

    for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct fault fault = {0};
        struct crl_memory *memory = crl_memory_new(ctx, &fault);
        const struct crl_entry entry = {.serial = serials[i], .revoked_at = 1};
        cr_expect_not(crl_memory_add(memory, (struct bytes){0}, &entry, &fault));
        cr_expect_eq(fault.reason, INTERNAL);
        cr_expect_eq(crl_memory_count(memory), 0);
    }
}

Test(crl, cannot_change_once_it_is_sealed)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    struct fault fault = {0};
    struct bytes tbs = {0};
    struct crl_memory *memory = crl_memory_new(ctx, &fault);

    cr_assert(crl_memory_seal(memory, &head, &tbs, &fault));
    cr_expect_eq(pwrite(crl_memory_fd(memory), "x", 1, 0), -1);
    cr_expect_eq(errno, EPERM);
    cr_expect_eq(ftruncate(crl_memory_fd(memory), 0), -1);
    cr_expect_eq(fcntl(crl_memory_fd(memory), F_ADD_SEALS, F_SEAL_WRITE), -1, "no more seals");
}

/* Reading: what crl_frame writes, and nothing else. */

static bool readable(TALLOC_CTX *ctx, struct bytes der)
{
    struct crl_tbs tbs;

    /* An exact heap block: reading one octet too far is an error under the sanitizers. */
    return crl_tbs_read(bytes_copy(ctx, der), &tbs);
}

Test(crl, no_beginning_and_no_longer_one_is_read)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    const struct bytes good = sealed(ctx, &head, 3);
    static const uint8_t more[] = {0};

    cr_expect(readable(ctx, good));
    for (size_t size = 0; size < good.size; size++)
        cr_expect_not(readable(ctx, (struct bytes){good.data, size}), "%zu octets", size);
    cr_expect_not(readable(ctx, test_join(ctx, good, BYTES_OF(more))));
}

static struct bytes without(struct bytes from, size_t at, size_t size, uint8_t *into)
{
    memcpy(into, from.data, at);
    memcpy(into + at, from.data + at + size, from.size - at - size);
    return (struct bytes){into, from.size - size};
}

/* One octet of a good list made another: where that is no entry and no name, it is refused or says
 * something else; it is never the same list. */
Test(crl, every_octet_counts)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    const struct bytes good = sealed(ctx, &head, 2);
    const struct crl_frame frame = crl_frame(ctx, &head, good.size);
    size_t refused = 0;

    for (size_t i = 0; i < good.size; i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        uint8_t *changed = mem_copy(scratch, good.data, good.size);
        changed[i] ^= 0x80;
        refused += !readable(scratch, (struct bytes){changed, good.size});
    }
    /* At least everything but the contents of names, key id, algorithm and serials. */
    cr_expect_gt(refused, frame.after.size);
    for (size_t i = 0; i + 1 < good.size; i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        uint8_t *shorter = mem_array(scratch, uint8_t, good.size);
        cr_expect_not(readable(scratch, without(good, i, 1, shorter)), "without octet %zu", i);
    }
}

Test(crl, a_certificate_is_no_list)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct certificate_wish wish = test_wish(ctx);

    cr_expect_not(readable(ctx, test_compose(ctx, &ca->facts, &wish)));
    cr_expect_not(readable(ctx, ca->der));
}

static const struct {
    const char *about;
    const char *hex; /* what stands for the entries, or for the extensions */
    bool is_entries;
} broken[] = {
    {"an empty revokedCertificates (section 5.1.2.6)", "3000",                                                             true },
    {"an entry without a time",                        "30053003020105",                                                   true },
    {"an entry that is an INTEGER",                    "3003020105",                                                       true },
    {"no extensions",                                  "",                                                                 false},
    {"an empty list of extensions",                    "a0023000",                                                         false},
    {"no number",                                      "a00f300d300b0603551d23040430028000",                               false},
    {"number zero",                                    "a01b3019300b0603551d23040430028000300a0603551d140403020100",       false},
    {"a negative number",                              "a01b3019300b0603551d23040430028000300a0603551d1404030201ff",       false},
    {"a number with a zero too many",
     "a01c301a300b0603551d23040430028000300b0603551d14040402020001",                                                       false},
    {"a critical number",                              "a01e301c300b0603551d23040430028000300d0603551d140101ff0403020101",
     false                                                                                                                      },
    {"the number first",                               "a01b3019300a0603551d140403020101300b0603551d23040430028000",       false},
    {"an issuingDistributionPoint besides",
     "a0293027300b0603551d23040430028000300a0603551d140403020101300c0603551d1c0405300381"
     "01ff",                                                                                                               false},
    {"a deltaCRLIndicator besides",
     "a0273025300b0603551d23040430028000300a0603551d140403020101300a0603551d1b0403020101",                                 false},
};

/* The frame around other content than crl_frame would put there. */
static struct bytes framed(TALLOC_CTX *ctx, const struct crl_head *head, struct bytes entries,
                           struct bytes after)
{
    struct der_writer to;

    der_start(&to, ctx, 512);
    der_put(&to, after);
    der_put(&to, entries);
    der_put_time(&to, head->next_update);
    der_put_time(&to, head->this_update);
    der_put(&to, head->issuer_der);
    put_signature_algorithm(&to, head->algorithm);
    der_put_small(&to, 1);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

Test(crl, refuses_what_its_own_frame_would_not_hold)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    const struct bytes after = crl_frame(ctx, &head, 0).after;
    const struct bytes none = {0};

    cr_assert(readable(ctx, framed(ctx, &head, none, after)));
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct bytes content;
        cr_assert(hex_to_bytes(ctx, broken[i].hex, &content), "%s", broken[i].about);
        const struct bytes der = broken[i].is_entries ? framed(ctx, &head, content, after)
                                                      : framed(ctx, &head, none, content);
        cr_expect_not(readable(ctx, der), "%s", broken[i].about);
    }
}

Test(crl, is_not_published_when_it_is_not_the_cas)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct test_ca *other = test_ca(ctx, "P-256", NULL);
    const struct crl_head head = head_of(ca);
    const struct bytes tbs = sealed(ctx, &head, 2);
    const struct bytes signature = test_signature(ctx, ca->key, "SHA256", tbs);
    const struct crl_signed crl = crl_signed(ctx, tbs, ca->algorithm, signature);
    struct fault fault = {0};

    cr_expect(crl_check(&crl, signature, ca->der, &fault));
    cr_expect_not(crl_check(&crl, signature, other->der, &fault));
    cr_expect_eq(fault.reason, INTERNAL);
    cr_expect_not(crl_check(&crl, test_signature(ctx, ca->key, "SHA384", tbs), ca->der, &fault));
}
