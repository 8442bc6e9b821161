/* tests/unit/pki/certificate.c: facts of finished certificates, serials, PEM. */
#include "pki/certificate.h"

#include <openssl/x509v3.h>
#include <string.h>

#include "core/digest.h"
#include "core/memory.h"
#include "support.h"

#include "core/banned.h"

static const struct {
    const char *about;
    const char *text;
    const char *canonical; /* NULL: no serial */
} serials[] = {
    {"canonical",      "1f00ab",                                                            "1f00ab"},
    {"upper case",     "1F00AB",                                                            "1f00ab"},
    {"0x",             "0x1f",                                                              "1f"    },
    {"0X",             "0X1F",                                                              "1f"    },
    {"colons",         "00:1f:00:ab",                                                       "1f00ab"},
    {"spaces",         " 1f 00 ab ",                                                        "1f00ab"},
    {"leading zeros",  "00000000001",                                                       "1"     },
    {"odd count",      "f00",                                                               "f00"   },
    {"zero",           "00",                                                                "0"     },
    {"empty",          "",                                                                  NULL    },
    {"only colons",    "::",                                                                NULL    },
    {"only 0x",        "0x",                                                                NULL    },
    {"letters",        "1g",                                                                NULL    },
    {"minus",          "-1",                                                                NULL    },
    {"64 digits",      "1234567890123456789012345678901234567890123456789012345678901234",
     "1234567890123456789012345678901234567890123456789012345678901234"                             },
    {"65 digits",      "12345678901234567890123456789012345678901234567890123456789012345", NULL    },
    {"65 with a zero", "01234567890123456789012345678901234567890123456789012345678901234",
     "1234567890123456789012345678901234567890123456789012345678901234"                             },
};

Test(certificate, serials_have_one_form)
{
    for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *serial = "untouched";
        const bool good = serial_canonical(scratch, serials[i].text, &serial);
        cr_expect_eq(good, serials[i].canonical != NULL, "%s", serials[i].about);
        cr_expect_str_eq(serial, good ? serials[i].canonical : "untouched", "%s", serials[i].about);
        if (!good)
            cr_expect_eq(talloc_total_blocks(scratch), 1, "%s", serials[i].about);
    }
    const char *serial = NULL;
    cr_expect_not(serial_canonical(NULL, NULL, &serial));
}

static struct bytes good_leaf(TALLOC_CTX *ctx)
{
    static const struct rdn subject[] = {
        {"2.5.4.3", RDN_UTF8, "first"          },
        {"2.5.4.3", RDN_UTF8, "WWW.example.com"}
    };
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    struct certificate_wish wish = test_wish(ctx);
    wish.subject = subject;
    wish.subject_count = 2;
    return test_certificate(ctx, ca, test_compose(ctx, &ca->facts, &wish));
}

Test(certificate, facts_of_a_leaf)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes der = good_leaf(scratch);
    const struct certificate *leaf = certificate_from_der(scratch, der, &fault);

    cr_assert_not_null(leaf, "%s", fault.detail);
    cr_expect_str_eq(leaf->common_name, "WWW.example.com");
    cr_expect_eq(leaf->not_before, TEST_NOW);
    cr_expect_eq(leaf->not_after, TEST_NOW + 90 * DAY);
    cr_expect_str_eq(leaf->fingerprint_sha256, digest_sha256_hex(scratch, der));
    cr_expect_str_eq(leaf->spki_sha256, digest_sha256_hex(scratch, leaf->spki));
    cr_expect_eq(leaf->key.bits, 256);
    cr_expect_eq(leaf->path_len, -1);
    cr_assert_eq(leaf->names.count, 2);
    cr_expect_str_eq(leaf->names.items[1].value, "*.apps.example.com");
    cr_expect_neq(leaf->der.data, der.data, "it owns its bytes");
}

static void path_of_two(struct ca_wish *wish)
{
    wish->path_len = 2;
}

Test(certificate, facts_of_a_ca)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct test_ca *ca = test_ca(scratch, "RSA-2048", path_of_two);
    const struct certificate *own = certificate_from_der(scratch, ca->der, &fault);

    cr_assert_not_null(own, "%s", fault.detail);
    cr_expect(own->is_ca);
    cr_expect_eq(own->path_len, 2);
    cr_expect(bytes_equal(own->subject_der, own->issuer_der));
    cr_expect(bytes_equal(own->ski, own->aki));
    cr_expect(bytes_equal(own->ski, own->key_id));
    cr_expect_str_eq(own->common_name, "Test CA");
    cr_expect_str_eq(own->key.algorithm, "RSA");
    cr_expect_eq(own->names.count, 0);
}

/* What exists must be revocable, however weak: made by OpenSSL, since our encoder refuses it. */
Test(certificate, weak_and_old_ones_are_read)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(X509) *x509 = X509_new();
    AUTO_OPENSSL(uint8_t) *der = NULL;
    EVP_PKEY *key = test_key(scratch, "RSA-1024");
    struct fault fault = {0};

    cr_assert_eq(X509_set_pubkey(x509, key), 1);
    cr_assert_eq(ASN1_INTEGER_set(X509_get_serialNumber(x509), 0), 1);
    cr_assert_not_null(X509_gmtime_adj(X509_getm_notBefore(x509), 0));
    cr_assert_not_null(X509_gmtime_adj(X509_getm_notAfter(x509), 60));
    cr_assert_gt(X509_sign(x509, key, EVP_sha1()), 0);
    const int size = i2d_X509(x509, &der);
    const struct certificate *read = certificate_from_der(
        scratch, (struct bytes){der, (size_t)size}, &fault);

    cr_assert_not_null(read, "%s", fault.detail);
    cr_expect_eq(read->key.bits, 0);
    cr_expect_str_eq(read->serial, "0");
    cr_expect_null(read->common_name);
    cr_expect_eq(read->ski.size, 0);
    cr_expect_eq(read->key_id.size, 20);
    cr_expect_eq(read->aki.size, 0);
    cr_expect_not(read->is_ca, "v1 is no CA");
    cr_expect_eq(read->not_after - read->not_before, 60);
}

Test(certificate, broken_ones_are_refused)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes der = good_leaf(scratch);
    struct fault fault = {0};

    for (size_t size = 0; size < der.size; size += 7) {
        AUTO(TALLOC_CTX) *result = talloc_new(NULL);
        uint8_t *cut = mem_copy(scratch, der.data, size);
        cr_expect_null(certificate_from_der(result, (struct bytes){cut, size}, &fault));
        cr_expect_eq(fault.reason, CERTIFICATE_MALFORMED, "%zu", size);
        cr_expect_eq(talloc_total_blocks(result), 1, "%zu: memory left", size);
    }
    uint8_t *longer = mem_zero(scratch, der.size + 1, "longer");
    memcpy(longer, der.data, der.size);
    cr_expect_null(certificate_from_der(scratch, (struct bytes){longer, der.size + 1}, &fault));
    cr_expect_str_eq(fault.detail, "certificate is followed by other bytes");

    /* 30 82 xx xx 30 82 xx xx a0 03 02 01 02 02 10 <serial>: the needed zero is made a sign. */
    uint8_t *negative = mem_copy(scratch, der.data, der.size);
    cr_assert_eq(negative[13], DER_INTEGER);
    negative[15] |= 0x80;
    cr_expect_null(certificate_from_der(scratch, (struct bytes){negative, der.size}, &fault));
    cr_expect(strstr(fault.detail, "4.1.2.2"), "%s", fault.detail);
}

Test(certificate, pem_goes_out_and_comes_back)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes der = good_leaf(scratch);
    char *pem = pem_encode(scratch, "CERTIFICATE", der);
    const char *bundle = mem_printf(scratch, "subject: x\n%s%s", pem, pem);
    const struct certificate *read = certificate_from_pem(scratch, bundle, &fault);
    AUTO(BIO) *in = BIO_new_mem_buf(pem, -1);
    AUTO(X509) *openssl = PEM_read_bio_X509(in, NULL, NULL, NULL);

    cr_assert_not_null(read, "%s", fault.detail);
    cr_expect(bytes_equal(read->der, der));
    cr_assert_not_null(openssl);
    cr_expect_eq(X509_cmp(openssl, read->x509), 0);
    for (const char *line = pem; *line; line += strcspn(line, "\n") + 1)
        cr_expect_leq(strcspn(line, "\n"), 64);
    cr_expect(text_ends(pem, "-----END CERTIFICATE-----\n"));
}

Test(certificate, lines_of_pem_end_where_they_should)
{
    static const uint8_t octets[97] = {0};
    static const struct {
        size_t size;
        size_t lines;
    } cases[] = {
        {0,  2},
        {1,  3},
        {48, 3},
        {49, 4},
        {96, 4},
        {97, 5}
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const char *pem = pem_encode(scratch, "X509 CRL", (struct bytes){octets, cases[i].size});
        size_t lines = 0;
        for (const char *at = pem; *at; at++)
            lines += *at == '\n';
        cr_expect_eq(lines, cases[i].lines, "%zu octets", cases[i].size);
        cr_expect_null(strstr(pem, "\n\n"));
    }
}

Test(certificate, broken_pem_is_refused)
{
    static const char *const cases[] = {
        "",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fault fault = {0};
        cr_expect_null(certificate_from_pem(NULL, cases[i], &fault), "%s", cases[i]);
        cr_expect_eq(fault.reason, CERTIFICATE_MALFORMED);
    }
    struct fault fault = {0};
    cr_expect_null(certificate_from_pem(NULL, NULL, &fault));
}
