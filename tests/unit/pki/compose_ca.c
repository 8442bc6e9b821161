/* tests/unit/pki/compose_ca.c: certificates of CAs, their constraints, and what is refused. */
#include "support.h"

#include <openssl/x509v3.h>
#include <string.h>

#include "core/memory.h"

#include "core/banned.h"

static void constrain(struct ca_wish *wish)
{
    static char company[] = "example.com";
    static char corporate[] = ".corp.test";
    static char bad[] = "bad.example.com";
    static char *permitted[] = {company, corporate};
    static char *excluded[] = {bad};
    wish->permitted_dns = (struct text_list){permitted, 2};
    wish->excluded_dns = (struct text_list){excluded, 1};
    wish->path_len = 0;
}

/* OpenSSL enforces what we wrote into the CA: our facts are left empty on purpose. */
Test(compose_ca, ca_with_name_constraints)
{
    static const struct {
        const char *name;
        int result;
    } cases[] = {
        {"www.example.com", X509_V_OK                     },
        {"bad.example.com", X509_V_ERR_EXCLUDED_VIOLATION },
        {"a.corp.test",     X509_V_OK                     },
        {"example.org",     X509_V_ERR_PERMITTED_VIOLATION},
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", constrain);

    cr_expect_str_eq(test_extension_text(scratch, ca->x509, NID_name_constraints),
                     "critical Permitted:\n  DNS:example.com\n  DNS:.corp.test\n"
                     "Excluded:\n  DNS:bad.example.com");
    cr_expect_str_eq(test_extension_text(scratch, ca->x509, NID_basic_constraints),
                     "critical CA:TRUE, pathlen:0");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct certificate_wish wish = test_wish(scratch);
        wish.names = (struct name_list){0};
        name_list_add(scratch, &wish.names, NAME_DNS, cases[i].name);
        cr_expect_eq(test_verify(ca, test_leaf(scratch, ca, &wish), TEST_NOW), cases[i].result,
                     "%s", cases[i].name);
    }
}

Test(compose_ca, ca_certificates)
{
    static const struct rdn subject[] = {
        {"2.5.4.3", RDN_UTF8, "Sub CA"}
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *root = test_ca(scratch, "P-384", NULL);
    EVP_PKEY *key = test_key(scratch, "P-256");
    struct ca_wish wish = {
        subject, 1, test_spki(scratch, key), TEST_NOW, root->facts.not_after + DAY, 0, {0}, {0}};
    struct bytes tbs;
    struct fault fault = {0};

    cr_assert(certificate_compose_ca(scratch, &root->facts, &wish, SIGNATURE_ECDSA_SHA256,
                                     test_serial, &tbs, &fault),
              "%s", fault.detail);
    X509 *sub = test_x509(scratch, test_certificate(scratch, root, tbs));
    cr_expect_eq(test_verify(root, sub, TEST_NOW), X509_V_OK);
    cr_expect_eq(X509_check_ca(sub), 1);
    cr_expect_eq(X509_get_pathlen(sub), 0);
    cr_expect_str_eq(test_extension_text(scratch, sub, NID_key_usage),
                     "critical Certificate Sign, CRL Sign");
    cr_expect_eq(ASN1_TIME_cmp_time_t(X509_get0_notAfter(sub), root->facts.not_after), 0);
    cr_expect_str_eq(test_extension_text(scratch, root->x509, NID_basic_constraints),
                     "critical CA:TRUE");
    cr_expect_eq(X509_check_purpose(root->x509, X509_PURPOSE_CRL_SIGN, 1), 1);
}

static void ca_without_subject(struct ca_wish *wish)
{
    wish->subject_count = 0;
}
static void ca_path_len(struct ca_wish *wish)
{
    wish->path_len = -2;
}
static void ca_no_life(struct ca_wish *wish)
{
    wish->not_after = wish->not_before;
}
static void ca_wildcard_constraint(struct ca_wish *wish)
{
    static char company[] = "example.com";
    static char wildcard[] = "*.example.org";
    static char *permitted[] = {company, wildcard};
    wish->permitted_dns = (struct text_list){permitted, 2};
}
static void ca_good(struct ca_wish *wish)
{
    wish->path_len = 3;
}

static const struct {
    const char *about;
    const char *kind;
    void (*alter)(struct ca_wish *wish);
    const char *field;
} ca_attempts[] = {
    {"good",                     "P-256",   ca_good,                NULL              },
    {"no subject",               "P-256",   ca_without_subject,     "subject"         },
    {"path length -2",           "P-256",   ca_path_len,            "path_len"        },
    {"no life",                  "P-256",   ca_no_life,             "not_after"       },
    {"wildcard as constraint",   "P-256",   ca_wildcard_constraint, "name_constraints"},
    {"Ed25519 key",              "Ed25519", ca_good,                "spki"            },
    {"P-521 key",                "P-521",   ca_good,                "spki"            },
    {"key of another algorithm", "P-384",   ca_good,                "spki"            },
};

Test(compose_ca, ca_wishes_are_checked)
{
    static const struct rdn subject[] = {
        {"2.5.4.3", RDN_UTF8, "Sub CA"}
    };
    for (size_t i = 0; i < ARRAY_SIZE(ca_attempts); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct ca_wish wish = {subject,
                               1,
                               test_spki(scratch, test_key(scratch, ca_attempts[i].kind)),
                               TEST_NOW,
                               TEST_NOW + DAY,
                               -1,
                               {0},
                               {0}};
        struct bytes tbs = {NULL, 77};
        struct fault fault = {0};
        ca_attempts[i].alter(&wish);
        const bool good = certificate_compose_ca(scratch, NULL, &wish, SIGNATURE_ECDSA_SHA256,
                                                 test_serial, &tbs, &fault);
        cr_expect_eq(good, ca_attempts[i].field == NULL, "%s: %s", ca_attempts[i].about,
                     fault.detail);
        if (!good) {
            cr_expect_str_eq(fault.field, ca_attempts[i].field, "%s", ca_attempts[i].about);
            cr_expect_eq(tbs.size, 77, "%s", ca_attempts[i].about);
        }
    }
}

/* The bases as the texts say, separated by commas. */
static struct text_list bases(TALLOC_CTX *ctx, const char *text)
{
    return text_split(ctx, text, ',');
}

static const struct {
    const char *about;
    const char *parent_permitted;
    const char *parent_excluded;
    const char *permitted;
    const char *excluded;
    const char *becomes; /* permitted/excluded; NULL: refused */
} below[] = {
    {"nothing anywhere",                   "",                     "",              "",                     "",               "/"              },
    {"a first constraint",                 "",                     "",              "a.test",               "b.test",         "a.test/b.test"  },
    {"what is open is inherited",          "a.test",               "x.test",        "",                     "",               "a.test/x.test"  },
    {"the same",                           "a.test",               "x.test",        "a.test",               "x.test",         "a.test/x.test"  },
    {"in other letters",                   "A.test",               "",              "a.TEST",               "",               "a.TEST/"        },
    {"one of two, and below",              "a.test,b",             "",              "x.b",                  "",               "x.b/"           },
    {"below with a dot",                   "a.test",               "",              ".a.test",              "",               ".a.test/"       },
    {"the same with a dot",                ".a.test",              "",              ".a.test",              "",               ".a.test/"       },
    {"the dot widened",                    ".a.test",              "",              "a.test",               "",               NULL             },
    {"a sibling",                          "a.test",               "",              "b.test",               "",               NULL             },
    {"one good, one not",                  "a.test",               "",              "x.a.test,b",           "",               NULL             },
    {"a name that ends alike",             "a.test",               "",              "xa.test",              "",               NULL             },
    {"the parent's parent",                "a.test",               "",              "test",                 "",               NULL             },
    {"more excluded",                      "",                     "x.test",        "",                     "x.test,y",       "/x.test,y"      },
    {"a wider exclusion",                  "",                     "x.test",        "",                     "test",           "/test"          },
    {"a narrower exclusion",               "",                     "x.test",        "",                     "a.x.test",       NULL             },
    {"an exclusion that was lost",         "",                     "x,y",           "",                     "x",              NULL             },
    {"kinds are inherited one by one",     "a.test,IP:10.0.0.0/8", "URI:x.test",    "x.a.test",             "email:y",
     "x.a.test,IP:10.0.0.0/8/email:y,URI:x.test"                                                                                               },
    {"a kind that the parent leaves open", "a.test",               "",              "a.test,IP:10.0.0.0/8", "",
     "a.test,IP:10.0.0.0/8/"                                                                                                                   },
    {"a part of a network",                "IP:10.0.0.0/8",        "",              "IP:10.1.0.0/16",       "",               "IP:10.1.0.0/16/"},
    {"a wider network",                    "IP:10.1.0.0/16",       "",              "IP:10.0.0.0/8",        "",               NULL             },
    {"another network",                    "IP:10.0.0.0/8",        "",              "IP:11.0.0.0/16",       "",               NULL             },
    {"IPv6 is no part of IPv4",            "IP:10.0.0.0/8",        "",              "IP:2001:db8::/32",     "",               NULL             },
    {"a mailbox of a host",                "email:a.test",         "",              "email:x@a.test",       "",               "email:x@a.test/"},
    {"a host of a mailbox",                "email:x@a.test",       "",              "email:a.test",         "",               NULL             },
    {"hosts below of a host",              "email:a.test",         "",              "email:.a.test",        "",               NULL             },
    {"a host below of URIs",               "URI:.a.test",          "",              "URI:x.a.test",         "",               "URI:x.a.test/"  },
    {"the host above of URIs",             "URI:.a.test",          "",              "URI:a.test",           "",               NULL             },
    {"a narrower network excluded",        "",                     "IP:10.0.0.0/8", "",                     "IP:10.1.0.0/16", NULL             },
};

Test(compose_ca, constraints_of_a_child_are_within_its_parents)
{
    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        AUTO(TALLOC_CTX) *one = talloc_new(NULL);
        const struct text_list permitted = bases(one, below[i].parent_permitted);
        const struct text_list excluded = bases(one, below[i].parent_excluded);
        struct ca_wish wish = {.permitted_dns = bases(one, below[i].permitted),
                               .excluded_dns = bases(one, below[i].excluded)};
        struct fault fault = {0};
        const bool good = ca_wish_constrain(one, &permitted, &excluded, &wish, &fault);

        cr_expect_eq(good, below[i].becomes != NULL, "%s: %s", below[i].about, fault.detail);
        if (good)
            cr_expect_str_eq(mem_printf(one, "%s/%s", text_list_join(one, &wish.permitted_dns, ","),
                                        text_list_join(one, &wish.excluded_dns, ",")),
                             below[i].becomes, "%s", below[i].about);
        else
            cr_expect_str_eq(fault.field, "name_constraints", "%s", below[i].about);
    }
}

Test(compose_ca, a_request_for_a_ca_elsewhere)
{
    static const struct rdn subject[] = {
        {"2.5.4.10", RDN_UTF8, "Example"},
        {"2.5.4.3",  RDN_UTF8, "Sub CA" }
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    EVP_PKEY *key = test_key(scratch, "P-256");
    struct ca_wish wish = {
        .subject = subject, .subject_count = 2, .spki = test_spki(scratch, key), .path_len = 0};
    struct bytes info = {0};
    struct fault fault = {0};

    cr_assert(certificate_request_compose_ca(scratch, &wish, SIGNATURE_ECDSA_SHA256, &info, &fault),
              "%s", fault.detail);
    const struct bytes signature = test_signature(scratch, key, "SHA256", info);
    const struct bytes der = signed_object_assemble(scratch, info, SIGNATURE_ECDSA_SHA256,
                                                    signature);
    const uint8_t *at = der.data;
    AUTO(X509_REQ) *request = d2i_X509_REQ(NULL, &at, (long)der.size);
    cr_assert_not_null(request);
    cr_expect_eq(at, der.data + der.size);
    cr_expect_eq(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)), 1);
    cr_expect_eq(X509_REQ_get_version(request), 0);
    AUTO(X509_EXTENSION_STACK) *extensions = X509_REQ_get_extensions(request);
    AUTO(BASIC_CONSTRAINTS) *basic = X509V3_get_d2i(extensions, NID_basic_constraints, NULL, NULL);
    cr_assert(basic && basic->ca && basic->pathlen);
    cr_expect_eq(ASN1_INTEGER_get(basic->pathlen), 0);

    wish.subject_count = 0;
    cr_expect_not(
        certificate_request_compose_ca(scratch, &wish, SIGNATURE_ECDSA_SHA256, &info, &fault));
    wish.subject_count = 2;
    wish.path_len = 101;
    cr_expect_not(
        certificate_request_compose_ca(scratch, &wish, SIGNATURE_ECDSA_SHA256, &info, &fault));
    wish.path_len = 0;
    cr_expect_not(
        certificate_request_compose_ca(scratch, &wish, SIGNATURE_RSA_SHA256, &info, &fault));
}
