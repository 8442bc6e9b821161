/* tests/unit/pki/compose.c: what certificate_compose writes, as OpenSSL reads it, and refuses. */
#include "support.h"

#include <openssl/x509v3.h>
#include <string.h>

#include "core/memory.h"
#include "pki/certificate.h"
#include "pki/key.h"

#include "core/banned.h"

Test(compose, leaf_is_good_under_every_kind_of_ca)
{
    static const char *const kinds[] = {"P-256", "P-384", "RSA-2048"};
    static const char *const leaf_kinds[] = {"RSA-2048", "Ed25519", "P-521"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct test_ca *ca = test_ca(scratch, kinds[i], NULL);
        struct certificate_wish wish = test_wish(scratch);
        wish.spki = test_spki(scratch, test_key(scratch, leaf_kinds[i]));
        X509 *leaf = test_leaf(scratch, ca, &wish);

        cr_expect_eq(test_verify(ca, leaf, TEST_NOW + 1), X509_V_OK, "%s: %s", kinds[i],
                     X509_verify_cert_error_string(test_verify(ca, leaf, TEST_NOW + 1)));
        cr_expect_eq(X509_verify(leaf, ca->key), 1);
        cr_expect_neq(X509_verify(leaf, test_key(scratch, "P-256")), 1, "another key");
        cr_expect_eq(X509_check_host(leaf, "www.example.com", 0, 0, NULL), 1);
        cr_expect_eq(X509_check_host(leaf, "x.apps.example.com", 0, 0, NULL), 1);
        cr_expect_eq(X509_check_host(leaf, "x.y.apps.example.com", 0, 0, NULL), 0);
        cr_expect_eq(X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0), 1);
        cr_expect_eq(X509_check_ca(leaf), 0);
    }
}

Test(compose, extensions_are_those_of_the_table)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    static const struct rdn subject[] = {
        {"2.5.4.6", RDN_PRINTABLE, "DE"             },
        {"2.5.4.3", RDN_UTF8,      "www.example.com"}
    };
    struct certificate_wish wish = test_wish(scratch);
    wish.subject = subject;
    wish.subject_count = 2;
    wish.key_usage = USAGE_DIGITAL_SIGNATURE | USAGE_CONTENT_COMMITMENT | USAGE_KEY_AGREEMENT;
    wish.must_staple = true;
    text_list_add(scratch, &wish.policies, "1.3.6.1.4.1.99999.1");
    text_list_add(scratch, &wish.policies, "2.23.140.1.2.1");
    X509 *leaf = test_leaf(scratch, ca, &wish);

    static const struct {
        int nid;
        const char *text;
    } wanted[] = {
        {NID_basic_constraints,       "critical CA:FALSE"                                           },
        {NID_key_usage,               "critical Digital Signature, Non Repudiation, Key Agreement"  },
        {NID_ext_key_usage,           "TLS Web Server Authentication, TLS Web Client Authentication"},
        {NID_subject_alt_name,        "DNS:www.example.com, DNS:*.apps.example.com"                 },
        {NID_info_access,
         "OCSP - URI:http://pki.example/ocsp/x\nCA Issuers - URI:http://pki.example/ca/x"           },
        {NID_crl_distribution_points,
         "Full Name:\n  URI:http://pki.example/crl/x\n  URI:http://two.example/crl/x"               },
        {NID_tlsfeature,              "status_request"                                              },
        {NID_certificate_policies,    "Policy: 1.3.6.1.4.1.99999.1\nPolicy: 2.23.140.1.2.1"         },
        {NID_no_rev_avail,            "absent"                                                      },
        {NID_name_constraints,        "absent"                                                      },
    };
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        const char *text = text_trim(scratch, test_extension_text(scratch, leaf, wanted[i].nid));
        cr_expect_str_eq(text, wanted[i].text, "%s: %s", OBJ_nid2sn(wanted[i].nid), text);
    }
    static const int order[] = {NID_basic_constraints,
                                NID_key_usage,
                                NID_ext_key_usage,
                                NID_subject_key_identifier,
                                NID_authority_key_identifier,
                                NID_subject_alt_name,
                                NID_info_access,
                                NID_crl_distribution_points,
                                NID_tlsfeature,
                                NID_certificate_policies};
    cr_assert_eq(X509_get_ext_count(leaf), (int)ARRAY_SIZE(order));
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        cr_expect_eq(OBJ_obj2nid(X509_EXTENSION_get_object(X509_get_ext(leaf, (int)i))), order[i]);
    cr_expect_eq(X509_get_version(leaf), X509_VERSION_3);
    char line[200];
    X509_NAME_oneline(X509_get_subject_name(leaf), line, sizeof line);
    cr_expect_str_eq(line, "/C=DE/CN=www.example.com");
    cr_expect_eq(test_verify(ca, leaf, TEST_NOW), X509_V_OK);
}

/* RFC 7633 section 4.1 and RFC 9608 section 2, to the octet. */
Test(compose, must_staple_and_no_rev_avail)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    static const uint8_t staple[] = {0x30, 0x11, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07,
                                     0x01, 0x18, 0x04, 0x05, 0x30, 0x03, 0x02, 0x01, 0x05};
    static const uint8_t no_rev_avail[] = {0x30, 0x09, 0x06, 0x03, 0x55, 0x1d,
                                           0x38, 0x04, 0x02, 0x05, 0x00};
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct certificate_wish wish = test_wish(scratch);

    const struct bytes plain = test_compose(scratch, &ca->facts, &wish);
    cr_expect_not(test_contains(plain, BYTES_OF(staple)));
    wish.must_staple = true;
    cr_expect(test_contains(test_compose(scratch, &ca->facts, &wish), BYTES_OF(staple)));

    wish.short_lived = true;
    wish.not_after = wish.not_before + 3599;
    const struct bytes tbs = test_compose(scratch, &ca->facts, &wish);
    X509 *leaf = test_x509(scratch, test_certificate(scratch, ca, tbs));
    cr_expect(test_contains(tbs, BYTES_OF(no_rev_avail)));
    cr_expect_not(test_contains(tbs, BYTES_OF(staple)));
    cr_expect_str_eq(test_extension_text(scratch, leaf, NID_crl_distribution_points), "absent");
    cr_expect_str_eq(text_trim(scratch, test_extension_text(scratch, leaf, NID_info_access)),
                     "CA Issuers - URI:http://pki.example/ca/x");
}

/* A NamedBitList counts its unused bits and ends in a one (X.690 section 11.2.2). */
Test(compose, key_usage_to_the_octet)
{
    static const struct {
        unsigned usage;
        uint8_t bits[4];
    } cases[] = {
        {USAGE_DIGITAL_SIGNATURE,                            {3, 2, 7, 0x80}},
        {USAGE_DIGITAL_SIGNATURE | USAGE_CONTENT_COMMITMENT, {3, 2, 6, 0xc0}},
        {USAGE_DIGITAL_SIGNATURE | USAGE_KEY_ENCIPHERMENT,   {3, 2, 5, 0xa0}},
        {USAGE_DIGITAL_SIGNATURE | USAGE_KEY_AGREEMENT,      {3, 2, 3, 0x88}},
        {USAGE_ALL_LEAF,                                     {3, 2, 3, 0xe8}},
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct certificate_wish wish = test_wish(scratch);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        wish.key_usage = cases[i].usage;
        X509 *leaf = test_leaf(scratch, ca, &wish);
        const int index = X509_get_ext_by_NID(leaf, NID_key_usage, -1);
        const ASN1_STRING *value = X509_EXTENSION_get_data(X509_get_ext(leaf, index));
        cr_assert_eq(ASN1_STRING_length(value), 4, "case %zu", i);
        cr_expect_eq(memcmp(ASN1_STRING_get0_data(value), cases[i].bits, 4), 0, "case %zu", i);
    }
}

Test(compose, key_and_issuer_are_copied_to_the_octet)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-384", NULL);
    struct certificate_wish wish = test_wish(scratch);
    struct fault fault = {0};
    const struct bytes tbs = test_compose(scratch, &ca->facts, &wish);
    const struct certificate *leaf = certificate_from_der(
        scratch, test_certificate(scratch, ca, tbs), &fault);

    cr_assert_not_null(leaf, "%s", fault.detail);
    cr_expect(bytes_equal(leaf->spki, wish.spki));
    cr_expect(bytes_equal(leaf->issuer_der, ca->facts.subject_der));
    cr_expect(bytes_equal(leaf->aki, ca->facts.ski));
    cr_expect_eq(leaf->ski.size, 20);
    cr_expect_not(bytes_equal(leaf->ski, leaf->aki));
    cr_expect_str_eq(leaf->serial, "80030405060708090a0b0c0d0e0f10");
    cr_expect_not(leaf->is_ca);
}

/* RFC 7093 section 2 method 1, computed from OpenSSL's view of the key. */
Test(compose, subject_key_id_is_of_the_key_bits)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct certificate_wish wish = test_wish(scratch);
    X509 *leaf = test_leaf(scratch, ca, &wish);
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(leaf);
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(leaf);
    uint8_t digest[32];

    cr_assert_eq(EVP_Digest(bits->data, (size_t)bits->length, digest, NULL, EVP_sha256(), NULL), 1);
    cr_assert_eq(ASN1_STRING_length(id), 20);
    cr_expect_eq(memcmp(ASN1_STRING_get0_data(id), digest, 20), 0);
}

Test(compose, every_kind_of_name)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct certificate_wish wish = test_wish(scratch);
    name_list_add(scratch, &wish.names, NAME_IP, "192.0.2.7");
    name_list_add(scratch, &wish.names, NAME_IP, "2001:db8::7");
    name_list_add(scratch, &wish.names, NAME_EMAIL, "joe@example.com");
    name_list_add(scratch, &wish.names, NAME_URI, "spiffe://example.org/web");
    name_list_add(scratch, &wish.names, NAME_UPN, "joe@corp.example");
    wish.ekus |= EKU_EMAIL_PROTECTION;
    struct fault fault = {0};
    const struct bytes tbs = test_compose(scratch, &ca->facts, &wish);
    const struct certificate *leaf = certificate_from_der(
        scratch, test_certificate(scratch, ca, tbs), &fault);

    cr_expect_str_eq(
        test_extension_text(scratch, leaf->x509, NID_subject_alt_name),
        "critical DNS:www.example.com, DNS:*.apps.example.com, IP Address:192.0.2.7, "
        "IP Address:2001:DB8:0:0:0:0:0:7, email:joe@example.com, URI:spiffe://example.org/web, "
        "othername: UPN::joe@corp.example");
    cr_assert_eq(leaf->names.count, wish.names.count);
    for (size_t i = 0; i < wish.names.count; i++)
        cr_expect(name_list_has(&leaf->names, &wish.names.items[i]), "%s",
                  wish.names.items[i].value);
    cr_expect_eq(X509_check_ip_asc(leaf->x509, "192.0.2.7", 0), 1);
    cr_expect_eq(X509_check_email(leaf->x509, "joe@example.com", 0, 0), 1);
    cr_expect_eq(test_verify(ca, leaf->x509, TEST_NOW), X509_V_OK);
}

static const struct {
    const char *about;
    int64_t ca_before;
    int64_t ca_after;
    int64_t ceiling_s;
    int64_t wish_before;
    int64_t wish_after;
    int64_t not_before; /* both 0: refused */
    int64_t not_after;
} lives[] = {
    {"as wished",                  0,   1000,                1000,                100,                 200,       100,                 200                },
    {"cut to the CA's end",        0,   1000,                5000,                100,                 1001,      100,                 1000               },
    {"cut to the CA's beginning",  150, 1000,                5000,                100,                 200,       150,                 200                },
    {"exactly the ceiling",        0,   1000,                300,                 100,                 400,       100,                 400                },
    {"one second above it",        0,   1000,                300,                 100,                 401,       100,                 400                },
    {"far above it",               0,   INT64_C(9000000000), 300,                 100,                 INT64_MAX, 100,                 400                },
    {"one second is a life",       0,   1000,                300,                 100,                 101,       100,                 101                },
    {"none is not",                0,   1000,                300,                 100,                 100,       0,                   0                  },
    {"backwards",                  0,   1000,                300,                 100,                 99,        0,                   0                  },
    {"before the CA",              500, 1000,                300,                 100,                 499,       0,                   0                  },
    {"behind the CA",              0,   1000,                300,                 1000,                2000,      0,                   0                  },
    {"no ceiling is no life",      0,   1000,                0,                   100,                 200,       0,                   0                  },
    {"from the beginning of time", 50,  1000,                5000,                INT64_MIN,           200,       50,                  200                },
    {"at the turn of 2050",        0,   INT64_C(9000000000), INT64_C(9000000000), INT64_C(2524607999),
     INT64_C(2524608000),                                                                                         INT64_C(2524607999), INT64_C(2524608000)},
};

Test(compose, life_is_cut_exactly)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct certificate_wish wish = test_wish(scratch);

    for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
        AUTO(TALLOC_CTX) *one = talloc_new(NULL);
        struct issuer_facts facts = ca->facts;
        struct bytes tbs = {NULL, 77};
        struct fault fault = {0};
        facts.not_before = lives[i].ca_before;
        facts.not_after = lives[i].ca_after;
        facts.ceiling_s = lives[i].ceiling_s;
        wish.not_before = lives[i].wish_before;
        wish.not_after = lives[i].wish_after;
        const bool good = certificate_compose(one, &facts, &wish, test_serial, &tbs, &fault);

        cr_expect_eq(good, lives[i].not_after != 0, "%s: %s", lives[i].about, fault.detail);
        if (!good) {
            cr_expect_eq(fault.reason, VALIDITY_EMPTY, "%s", lives[i].about);
            cr_expect_eq(tbs.size, 77, "%s", lives[i].about);
            cr_expect_eq(talloc_total_blocks(one), 1, "%s", lives[i].about);
            continue;
        }
        const struct certificate *leaf = certificate_from_der(one, test_certificate(one, ca, tbs),
                                                              &fault);
        cr_expect_eq(leaf->not_before, lives[i].not_before, "%s", lives[i].about);
        cr_expect_eq(leaf->not_after, lives[i].not_after, "%s", lives[i].about);
    }
}

/* UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5). */
Test(compose, times_change_form_in_2050)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    static const uint8_t turn[] = "\x30\x20\x17\x0d"
                                  "491231235959Z"
                                  "\x18\x0f"
                                  "20500101000000Z";
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct issuer_facts facts = ca->facts;
    struct certificate_wish wish = test_wish(scratch);
    facts.not_after = INT64_C(9000000000);
    wish.not_before = INT64_C(2524607999);
    wish.not_after = INT64_C(2524608000);
    cr_expect(
        test_contains(test_compose(scratch, &facts, &wish), (struct bytes){turn, sizeof turn - 1}));
}

/* One wish and one set of facts, altered in one place. */
struct attempt {
    struct issuer_facts facts;
    struct certificate_wish wish;
    uint8_t serial[CERTIFICATE_SERIAL_SIZE];
    TALLOC_CTX *ctx;
};

static void key_usage_of_a_ca(struct attempt *it)
{
    it->wish.key_usage |= 32;
}
static void crl_usage(struct attempt *it)
{
    it->wish.key_usage |= 64;
}
static void no_usage(struct attempt *it)
{
    it->wish.key_usage = 0;
}
static void unknown_eku(struct attempt *it)
{
    it->wish.ekus |= 32;
}
static void no_eku(struct attempt *it)
{
    it->wish.ekus = 0;
}
static void eku_not_allowed(struct attempt *it)
{
    it->facts.allowed_ekus = EKU_SERVER_AUTH;
}
static void eku_allowed(struct attempt *it)
{
    it->facts.allowed_ekus = EKU_SERVER_AUTH | EKU_CLIENT_AUTH;
}
static void facts_allow_too_much(struct attempt *it)
{
    it->facts.allowed_ekus = ~0u;
    it->wish.ekus = 64;
}
static void policy_unknown(struct attempt *it)
{
    text_list_add(it->ctx, &it->wish.policies, "2.23.140.1.2.1");
    text_list_add(it->ctx, &it->wish.policies, "1.2.3");
}
static void policy_no_oid(struct attempt *it)
{
    text_list_add(it->ctx, &it->facts.allowed_policies, "2.x");
    text_list_add(it->ctx, &it->wish.policies, "2.x");
}
static void short_lived_for_an_hour(struct attempt *it)
{
    it->wish.short_lived = true;
    it->wish.not_after = it->wish.not_before + 3600;
}
static void short_lived_below(struct attempt *it)
{
    short_lived_for_an_hour(it);
    it->wish.not_after--;
}
/* The life that counts is the one after cutting. */
static void short_lived_by_the_ceiling(struct attempt *it)
{
    short_lived_for_an_hour(it);
    it->facts.ceiling_s = 600;
}
static void other_name(struct attempt *it)
{
    name_list_add(it->ctx, &it->wish.names, NAME_OTHER, "1.2.3");
}
static void bad_name(struct attempt *it)
{
    name_list_add(it->ctx, &it->wish.names, NAME_DNS, "a_b.example");
}
static void bad_address(struct attempt *it)
{
    name_list_add(it->ctx, &it->wish.names, NAME_IP, "300.0.0.1");
}
static void no_name(struct attempt *it)
{
    it->wish.names.count = 0;
}
static void add_names(struct attempt *it, size_t count)
{
    char text[24];
    while (it->wish.names.count < count) {
        snprintf(text, sizeof text, "n%zu.example.com", it->wish.names.count);
        name_list_add(it->ctx, &it->wish.names, NAME_DNS, text);
    }
}
static void thousand_names(struct attempt *it)
{
    add_names(it, 1000);
}
static void thousand_and_one(struct attempt *it)
{
    add_names(it, 1001);
}
static void no_key(struct attempt *it)
{
    it->wish.spki.size = 0;
}
static void cut_key(struct attempt *it)
{
    it->wish.spki.size--;
}
static void weak_key(struct attempt *it)
{
    it->wish.spki = test_spki(it->ctx, test_key(it->ctx, "RSA-1024"));
}
static void serial_zero(struct attempt *it)
{
    memset(it->serial, 0, sizeof it->serial);
}
static void serial_negative(struct attempt *it)
{
    it->serial[0] = 0x80;
}
static void serial_largest(struct attempt *it)
{
    memset(it->serial, 0xff, sizeof it->serial);
    it->serial[0] = 0x7f;
}
static void subject(struct attempt *it, enum rdn_string string, const char *oid, const char *value)
{
    struct rdn *rdns = mem_array(it->ctx, struct rdn, 2);
    rdns[0] = (struct rdn){"2.5.4.10", RDN_UTF8, "Example"};
    rdns[1] = (struct rdn){oid, string, value};
    it->wish.subject = rdns;
    it->wish.subject_count = 2;
}
#define C64 "c23456789012345678901234567890123456789012345678901234567890abcd"
static void cn_64(struct attempt *it)
{
    subject(it, RDN_UTF8, "2.5.4.3", C64);
}
static void cn_65(struct attempt *it)
{
    subject(it, RDN_UTF8, "2.5.4.3", C64 "e");
}
static void cn_empty(struct attempt *it)
{
    subject(it, RDN_UTF8, "2.5.4.3", "");
}
static void cn_control(struct attempt *it)
{
    subject(it, RDN_UTF8, "2.5.4.3", "a\nb");
}
static void cn_not_utf8(struct attempt *it)
{
    subject(it, RDN_UTF8, "2.5.4.3", "a\xff");
}
static void rdn_not_printable(struct attempt *it)
{
    subject(it, RDN_PRINTABLE, "2.5.4.3", "a@b");
}
static void rdn_not_ia5(struct attempt *it)
{
    subject(it, RDN_IA5, "2.5.4.3", "\xc3\xa4");
}
static void rdn_no_oid(struct attempt *it)
{
    subject(it, RDN_UTF8, "commonName", "a");
}
static void country_2(struct attempt *it)
{
    subject(it, RDN_PRINTABLE, "2.5.4.6", "AT");
}
static void country_1(struct attempt *it)
{
    subject(it, RDN_PRINTABLE, "2.5.4.6", "A");
}
static void country_3(struct attempt *it)
{
    subject(it, RDN_PRINTABLE, "2.5.4.6", "AUT");
}
static void empty_url(struct attempt *it)
{
    text_list_add(it->ctx, &it->facts.crl_urls, "");
}
static void ca_without_id(struct attempt *it)
{
    it->facts.ski.size = 0;
}
static void ca_without_name(struct attempt *it)
{
    it->facts.subject_der.size = 0;
}

static const struct {
    const char *about;
    void (*alter)(struct attempt *it);
    const char *field; /* NULL: accepted */
} attempts[] = {
    {"keyCertSign",                   key_usage_of_a_ca,          "key_usage"  },
    {"cRLSign",                       crl_usage,                  "key_usage"  },
    {"no key usage",                  no_usage,                   "key_usage"  },
    {"an EKU of no leaf",             unknown_eku,                "ekus"       },
    {"no EKU",                        no_eku,                     "ekus"       },
    {"one of two EKUs not allowed",   eku_not_allowed,            "ekus"       },
    {"both EKUs allowed",             eku_allowed,                NULL         },
    {"facts cannot allow more",       facts_allow_too_much,       "ekus"       },
    {"one of two policies unknown",   policy_unknown,             "policies"   },
    {"a policy that is no OID",       policy_no_oid,              "policies"   },
    {"short-lived for 3600 s",        short_lived_for_an_hour,    "short_lived"},
    {"short-lived for 3599 s",        short_lived_below,          NULL         },
    {"short-lived after cutting",     short_lived_by_the_ceiling, NULL         },
    {"otherName",                     other_name,                 "names"      },
    {"a name that cannot be written", bad_name,                   "names"      },
    {"no address",                    bad_address,                "names"      },
    {"no name at all",                no_name,                    "names"      },
    {"1000 names",                    thousand_names,             NULL         },
    {"1001 names",                    thousand_and_one,           "names"      },
    {"no key",                        no_key,                     "spki"       },
    {"a key cut short",               cut_key,                    "spki"       },
    {"RSA-1024",                      weak_key,                   "spki"       },
    {"serial zero",                   serial_zero,                "serial"     },
    {"serial negative",               serial_negative,            "serial"     },
    {"the largest serial",            serial_largest,             NULL         },
    {"common name of 64",             cn_64,                      NULL         },
    {"common name of 65",             cn_65,                      "subject"    },
    {"empty common name",             cn_empty,                   "subject"    },
    {"newline in the common name",    cn_control,                 "subject"    },
    {"common name that is no UTF-8",  cn_not_utf8,                "subject"    },
    {"@ in a PrintableString",        rdn_not_printable,          "subject"    },
    {"umlaut in an IA5String",        rdn_not_ia5,                "subject"    },
    {"attribute type is no OID",      rdn_no_oid,                 "subject"    },
    {"country of 2",                  country_2,                  NULL         },
    {"country of 1",                  country_1,                  "subject"    },
    {"country of 3",                  country_3,                  "subject"    },
    {"empty URL in the facts",        empty_url,                  "facts"      },
    {"CA without key identifier",     ca_without_id,              "facts"      },
    {"CA without name",               ca_without_name,            "facts"      },
};

Test(compose, facts_are_enforced)
{
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(TALLOC_CTX) *result = talloc_new(NULL);
        struct attempt it = {.ctx = scratch};
        struct bytes tbs = {NULL, 77};
        struct fault fault = {0};
        const struct test_ca *ca = test_ca(scratch, "P-256", NULL);

        it.facts = ca->facts;
        it.wish = test_wish(scratch);
        memcpy(it.serial, test_serial, sizeof it.serial);
        attempts[i].alter(&it);
        const bool good = certificate_compose(result, &it.facts, &it.wish, it.serial, &tbs, &fault);

        cr_expect_eq(good, attempts[i].field == NULL, "%s: %s", attempts[i].about, fault.detail);
        if (good) {
            X509 *leaf = test_x509(scratch, test_certificate(scratch, ca, tbs));
            cr_expect_eq(test_verify(ca, leaf, TEST_NOW), X509_V_OK, "%s", attempts[i].about);
            continue;
        }
        cr_expect_eq(fault.reason, SIGNER_REFUSED, "%s", attempts[i].about);
        cr_expect_str_eq(fault.field, attempts[i].field, "%s: %s", attempts[i].about, fault.detail);
        cr_expect_eq(tbs.size, 77, "%s", attempts[i].about);
        cr_expect_eq(talloc_total_blocks(result), 1, "%s: memory left", attempts[i].about);
    }
}

/* RFC 5280 section 4.2.1.10. Each name is asked for beside one that is always good. */
static const struct {
    const char *about;
    const char *permitted;
    const char *excluded;
    const char *name;
    bool good;
} constraints[] = {
    {"the name itself",                   "example.com",   NULL,                "example.com",              true },
    {"below it",                          "example.com",   NULL,                "a.b.example.com",          true },
    {"same end, other name",              "example.com",   NULL,                "badexample.com",           false},
    {"above it",                          "example.com",   NULL,                "com.example",              false},
    {"another",                           "example.com",   NULL,                "example.org",              false},
    {"the name behind it",                "example.com",   NULL,                "example.com.evil.example", false},
    {"case does not matter",              "Example.COM",   NULL,                "a.example.com",            true },
    {"leading dot: below",                ".example.com",  NULL,                "a.example.com",            true },
    {"leading dot: not itself",           ".example.com",  NULL,                "example.com",              false},
    {"wildcard below",                    "example.com",   NULL,                "*.example.com",            true },
    {"wildcard above",                    "a.example.com", NULL,                "*.example.com",            false},
    {"excluded itself",                   NULL,            "bad.example.com",   "bad.example.com",          false},
    {"excluded below",                    NULL,            "bad.example.com",   "x.bad.example.com",        false},
    {"beside the excluded",               NULL,            "bad.example.com",   "good.example.com",         true },
    {"excluded inside the permitted",     "example.com",   "bad.example.com",   "bad.example.com",          false},
    {"wildcard that covers the excluded", NULL,            "bad.example.com",   "*.example.com",            false},
    {"wildcard beside the excluded",      NULL,            "bad.example.com",   "*.ok.example.com",         true },
    {"wildcard one label above it",       NULL,            "x.bad.example.com", "*.example.com",            true },
    {"excluded below a dot, wildcard",    NULL,            ".bad.example.com",  "*.bad.example.com",        false},
    {"everything excluded",               NULL,            "",                  "a.example",                false},
};

Test(compose, names_stay_inside_the_constraints)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(constraints); i++) {
        AUTO(TALLOC_CTX) *one = talloc_new(NULL);
        struct issuer_facts facts = ca->facts;
        struct certificate_wish wish = test_wish(one);
        struct bytes tbs;
        struct fault fault = {0};

        wish.names = (struct name_list){0};
        name_list_add(one, &wish.names, NAME_EMAIL, "other.type@elsewhere.example");
        name_list_add(one, &wish.names, NAME_DNS, "always.fine.test");
        name_list_add(one, &wish.names, NAME_DNS, constraints[i].name);
        if (constraints[i].permitted) {
            text_list_add(one, &facts.permitted_dns, "fine.test");
            text_list_add(one, &facts.permitted_dns, constraints[i].permitted);
        }
        if (constraints[i].excluded)
            text_list_add(one, &facts.excluded_dns, constraints[i].excluded);
        const bool good = certificate_compose(one, &facts, &wish, test_serial, &tbs, &fault);

        cr_expect_eq(good, constraints[i].good, "%s: %s", constraints[i].about, fault.detail);
        if (!good)
            cr_expect_str_eq(fault.field, "names", "%s", constraints[i].about);
    }
}

/* A name hidden in the subject, where old clients look, is bound too. */
static const struct {
    const char *about;
    const char *permitted;
    const char *excluded;
    const char *oid;
    const char *value;
    bool good;
} hidden[] = {
    {"inside",                        "example.com",       NULL,                 "2.5.4.3",              "www.example.com",  true },
    {"words",                         "example.com",       NULL,                 "2.5.4.3",              "Example Ltd.",     true },
    {"outside",                       "example.com",       NULL,                 "2.5.4.3",              "www.evil.example", false},
    {"in capitals",                   "example.com",       NULL,                 "2.5.4.3",              "WWW.EVIL.EXAMPLE", false},
    {"partial wildcard",              "example.com",       NULL,                 "2.5.4.3",              "w*.evil.example",  false},
    {"partial wildcard, of anybody",  NULL,                NULL,                 "2.5.4.3",              "w*.evil.example",  true },
    {"partial wildcard, excluded",    NULL,                "a.example.com",      "2.5.4.3",              "*a.example.com",   false},
    {"underscore",                    "example.com",       NULL,                 "2.5.4.3",              "a_b.evil.example", false},
    {"dot at the end, excluded",      NULL,                "example.com",        "2.5.4.3",              "www.example.com.", false},
    {"another attribute",             "example.com",       NULL,                 "2.5.4.11",             "www.evil.example", true },
    {"mailbox inside",                "email:example.com", NULL,                 "1.2.840.113549.1.9.1", "a@example.com",    true },
    {"mailbox outside",               "email:example.com", NULL,                 "1.2.840.113549.1.9.1", "a@evil.example",   false},
    {"mailbox excluded",              NULL,                "email:.example.com", "1.2.840.113549.1.9.1", "a@x.Example.com",
     false                                                                                                                        },
    {"two @",                         NULL,                "email:evil.example", "1.2.840.113549.1.9.1", "a@b@evil.example", false},
    {"mailbox beside names of hosts", "example.com",       NULL,                 "1.2.840.113549.1.9.1", "a@evil.example",
     true                                                                                                                         },
};

Test(compose, names_in_the_subject_are_constrained_too)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);

    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
        AUTO(TALLOC_CTX) *one = talloc_new(NULL);
        const struct rdn subject[] = {
            {"2.5.4.10",    RDN_UTF8, "Example"      },
            {hidden[i].oid, RDN_IA5,  hidden[i].value}
        };
        struct issuer_facts facts = ca->facts;
        struct certificate_wish wish = test_wish(one);
        struct bytes tbs;
        struct fault fault = {0};

        wish.subject = subject;
        wish.subject_count = ARRAY_SIZE(subject);
        if (hidden[i].permitted)
            text_list_add(one, &facts.permitted_dns, hidden[i].permitted);
        if (hidden[i].excluded)
            text_list_add(one, &facts.excluded_dns, hidden[i].excluded);
        wish.names = (struct name_list){0};
        const bool good = certificate_compose(one, &facts, &wish, test_serial, &tbs, &fault);

        cr_expect_eq(good, hidden[i].good, "%s: %s", hidden[i].about, fault.detail);
        if (!good) {
            cr_expect_eq(fault.reason, NAME_CONSTRAINT, "%s", hidden[i].about);
            cr_expect_str_eq(fault.field, "subject", "%s", hidden[i].about);
        }
    }
}

Test(compose, texts_of_tables)
{
    enum signature_algorithm algorithm = SIGNATURE_RSA_SHA256;
    cr_expect(signature_algorithm_from_text("ECDSA-P384", &algorithm));
    cr_expect_eq(algorithm, SIGNATURE_ECDSA_SHA384);
    cr_expect_not(signature_algorithm_from_text("RSA-1024", &algorithm));
    cr_expect_not(signature_algorithm_from_text(NULL, &algorithm));
    cr_expect_eq(algorithm, SIGNATURE_ECDSA_SHA384);
    cr_expect_eq(eku_from_text("timeStamping"), EKU_TIME_STAMPING);
    cr_expect_eq(eku_from_text("OCSPSigning"), 0);
    cr_expect_eq(eku_from_text(NULL), 0);
}

/* The same wish gives the same bytes; only the serial may differ. */
Test(compose, is_deterministic)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct certificate_wish wish = test_wish(scratch);
    const struct bytes one = test_compose(scratch, &ca->facts, &wish);
    cr_expect(bytes_equal(one, test_compose(scratch, &ca->facts, &wish)));
}
