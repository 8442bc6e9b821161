/* tests/unit/pki/lint.c: each rule of certificate_lint is broken once, in a copy of a good TBS. */
#include "pki/lint.h"

#include <string.h>

#include "core/memory.h"
#include "pki/lint_private.h"
#include "support.h"

#include "core/banned.h"

/* Values and words too long for the tables. */
static const char no_seconds[] = "301c170b323631313230303030305a170d3237303130313030303030305a";
static const char generalized_before_2050[] =
    "3020180f32303236313132303030303030305a170d3237303130313030303030305a";
static const char end_before_start[] =
    "301e170d3237303130313030303030305a170d3236313132303030303030305a";
static const char bc_critical[] = "basicConstraints must be critical";
static const char no_path_length[] = "a leaf must not have a path length";
static const char rsa_enciphers[] = "only RSA keys may encipher";

enum {
    FIELD_VERSION,
    FIELD_SERIAL,
    FIELD_ALGORITHM,
    FIELD_ISSUER,
    FIELD_VALIDITY,
    FIELD_SUBJECT,
    FIELD_SPKI,
    FIELD_EXTENSIONS,
    FIELD_COUNT
};

/* A TBSCertificate taken apart. */
struct parts {
    TALLOC_CTX *ctx;
    struct bytes fields[FIELD_COUNT];
    struct issuer_facts facts;
};

static struct bytes hex(TALLOC_CTX *ctx, const char *text)
{
    struct bytes octets;
    cr_assert(hex_to_bytes(ctx, text, &octets), "%s", text);
    return octets;
}

static void take_apart(struct parts *it, struct bytes tbs)
{
    struct bytes inside;
    cr_assert(der_read_tag(&tbs, DER_SEQUENCE, &inside));
    for (size_t i = 0; i < FIELD_COUNT; i++)
        cr_assert(der_read(&inside, NULL, NULL, &it->fields[i]), "field %zu", i);
    cr_assert_eq(inside.size, 0);
}

static struct bytes put_together(const struct parts *it)
{
    struct der_writer to;
    der_start(&to, it->ctx, 2048);
    for (size_t i = FIELD_COUNT; i-- > 0;)
        der_put(&to, it->fields[i]);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, it->ctx);
}

/* Without the extensions of this OID, and with one more at the end where `value` says what. */
static void change_extension(struct parts *it, const char *oid, bool critical, const char *value)
{
    static const uint8_t yes[] = {DER_BOOLEAN, 1, 0xff};
    struct bytes wrapper = it->fields[FIELD_EXTENSIONS];
    struct bytes kept = {0};
    struct bytes list;
    struct bytes whole;
    struct der_writer to;

    der_start(&to, it->ctx, 64);
    cr_assert(der_put_oid(&to, oid));
    const struct bytes wanted = der_finish(&to, it->ctx);
    cr_assert(der_read_tag(&wrapper, 0xa3, &list) && der_read_tag(&list, DER_SEQUENCE, &list));
    while (der_read(&list, NULL, NULL, &whole)) {
        struct bytes extension = whole;
        struct bytes type;
        cr_assert(der_read_tag(&extension, DER_SEQUENCE, &extension));
        cr_assert(der_read(&extension, NULL, NULL, &type));
        if (!bytes_equal(type, wanted))
            kept = test_join(it->ctx, kept, whole);
    }
    if (value) {
        der_start(&to, it->ctx, 64);
        der_put_value(&to, DER_OCTET_STRING, hex(it->ctx, value));
        if (critical)
            der_put(&to, BYTES_OF(yes));
        der_put(&to, wanted);
        der_wrap(&to, DER_SEQUENCE, 0);
        kept = test_join(it->ctx, kept, der_finish(&to, it->ctx));
    }
    der_start(&to, it->ctx, 64);
    der_put_value(&to, DER_SEQUENCE, kept);
    der_wrap(&to, 0xa3, 0);
    it->fields[FIELD_EXTENSIONS] = der_finish(&to, it->ctx);
}

static void every_extension_twice(struct parts *it)
{
    struct bytes wrapper = it->fields[FIELD_EXTENSIONS];
    struct bytes list;
    struct der_writer to;

    cr_assert(der_read_tag(&wrapper, 0xa3, &list) && der_read_tag(&list, DER_SEQUENCE, &list));
    der_start(&to, it->ctx, 64);
    der_put_value(&to, DER_SEQUENCE, test_join(it->ctx, list, list));
    der_wrap(&to, 0xa3, 0);
    it->fields[FIELD_EXTENSIONS] = der_finish(&to, it->ctx);
}

static void unique_id(struct parts *it)
{
    it->fields[FIELD_SPKI] = test_join(it->ctx, it->fields[FIELD_SPKI], hex(it->ctx, "81020001"));
}

static void long_common_name(struct parts *it)
{
    const char *name = "c23456789012345678901234567890123456789012345678901234567890abcde";
    it->fields[FIELD_SUBJECT] = test_subject(it->ctx, &name, 1);
}

static void weak_key(struct parts *it)
{
    it->fields[FIELD_SPKI] = test_spki(it->ctx, test_key(it->ctx, "RSA-1024"));
}

static void ber_boolean(struct parts *it)
{
    uint8_t *copy = mem_copy(it->ctx, it->fields[FIELD_EXTENSIONS].data,
                             it->fields[FIELD_EXTENSIONS].size);
    uint8_t *critical = memmem(copy, it->fields[FIELD_EXTENSIONS].size, "\x01\x01\xff", 3);
    critical[2] = 1;
    it->fields[FIELD_EXTENSIONS].data = copy;
}

/* One more extension whose criticality says its default. */
static void false_written_out(struct parts *it)
{
    struct bytes wrapper = it->fields[FIELD_EXTENSIONS];
    struct bytes list;
    struct der_writer to;

    cr_assert(der_read_tag(&wrapper, 0xa3, &list) && der_read_tag(&list, DER_SEQUENCE, &list));
    list = test_join(it->ctx, list, hex(it->ctx, "300a06032a03040101000400"));
    der_start(&to, it->ctx, 64);
    der_put_value(&to, DER_SEQUENCE, list);
    der_wrap(&to, 0xa3, 0);
    it->fields[FIELD_EXTENSIONS] = der_finish(&to, it->ctx);
}

static void agreeing_ed25519(struct parts *it)
{
    it->fields[FIELD_SPKI] = test_spki(it->ctx, test_key(it->ctx, "Ed25519"));
    change_extension(it, "2.5.29.15", true, "03020388");
}

static void shorter_ca(struct parts *it)
{
    it->facts.not_after = TEST_NOW + DAY;
}
static void younger_ca(struct parts *it)
{
    it->facts.not_before = TEST_NOW + 1;
}
static void lower_ceiling(struct parts *it)
{
    it->facts.ceiling_s = 90 * DAY - 1;
}
static void fewer_ekus(struct parts *it)
{
    it->facts.allowed_ekus = EKU_SERVER_AUTH;
}
static void other_ca_key(struct parts *it)
{
    it->facts.ski = hex(it->ctx, "0102030405");
}
static void other_ca_name(struct parts *it)
{
    const char *name = "Another CA";
    it->facts.subject_der = test_subject(it->ctx, &name, 1);
}
static void one_name_outside(struct parts *it)
{
    text_list_add(it->ctx, &it->facts.permitted_dns, "www.example.com");
}
static void one_name_excluded(struct parts *it)
{
    text_list_add(it->ctx, &it->facts.excluded_dns, "apps.example.com");
}
static void without_issuer(struct parts *it)
{
    it->fields[FIELD_ISSUER] = hex(it->ctx, "3000");
    it->facts.subject_der = it->fields[FIELD_ISSUER];
}
static void no_rev_avail_for_long(struct parts *it)
{
    change_extension(it, "1.3.6.1.5.5.7.1.1", false, NULL);
    change_extension(it, "2.5.29.31", false, NULL);
    change_extension(it, "2.5.29.56", false, "0500");
}

#define SERVER_AUTH "06082b06010505070301"

static const struct {
    const char *about;
    void (*alter)(struct parts *it);
    int field; /* when alter is NULL and oid too */
    const char *oid;
    bool critical;
    const char *hex; /* the field, or the extension's value; NULL drops it */
    const char *rule;
} broken[] = {
    {"v1",                              NULL,                  FIELD_VERSION,   NULL,                 false, "a003020100",                                   "version must be v3"                     },
    {"FALSE written out",               false_written_out,     0,               NULL,                 false, NULL,                                           "encoding must be DER"                   },
    {"a BOOLEAN of 01",                 ber_boolean,           0,               NULL,                 false, NULL,                                           "encoding must be DER"                   },
    {"negative serial",                 NULL,                  FIELD_SERIAL,    NULL,                 false, "020180",                                       "serial must be positive"                },
    {"serial zero",                     NULL,                  FIELD_SERIAL,    NULL,                 false, "020100",                                       "serial must be positive"                },
    {"serial of 21 octets",             NULL,                  FIELD_SERIAL,    NULL,                 false,
     "0215010203040506070809101112131415161718192021",                                                                                                       "serial must have at most 20 octets"     },
    {"ECDSA with parameters",           NULL,                  FIELD_ALGORITHM, NULL,                 false, "300c06082a8648ce3d0403020500",
     "signature algorithm must be the CA's"                                                                                                                                                           },
    {"another algorithm",               NULL,                  FIELD_ALGORITHM, NULL,                 false, "300a06082a8648ce3d040303",
     "signature algorithm must be the CA's"                                                                                                                                                           },
    {"no issuer",                       without_issuer,        0,               NULL,                 false, NULL,                                           "issuer must not be empty"               },
    {"another issuer",                  other_ca_name,         0,               NULL,                 false, NULL,
     "issuer must be the CA's subject octets"                                                                                                                                                         },
    {"no seconds",                      NULL,                  FIELD_VALIDITY,  NULL,                 false, no_seconds,
     "times must have seconds and end in Z"                                                                                                                                                           },
    {"2026 as GeneralizedTime",         NULL,                  FIELD_VALIDITY,  NULL,                 false, generalized_before_2050,
     "times before 2050 must be UTCTime"                                                                                                                                                              },
    {"backwards",                       NULL,                  FIELD_VALIDITY,  NULL,                 false, end_before_start,
     "notBefore must be before notAfter"                                                                                                                                                              },
    {"longer than the CA",              shorter_ca,            0,               NULL,                 false, NULL,                                           "validity must lie inside the CA's"      },
    {"older than the CA",               younger_ca,            0,               NULL,                 false, NULL,                                           "validity must lie inside the CA's"      },
    {"a second above the ceiling",      lower_ceiling,         0,               NULL,                 false, NULL,
     "life must not exceed the ceiling"                                                                                                                                                               },
    {"empty common name",               NULL,                  FIELD_SUBJECT,   NULL,                 false, "300b3109300706035504030c00",
     "subject attributes must have values"                                                                                                                                                            },
    {"common name of 65",               long_common_name,      0,               NULL,                 false, NULL,
     "common name must be at most 64 characters"                                                                                                                                                      },
    {"country in UTF-8",                NULL,                  FIELD_SUBJECT,   NULL,                 false, "300d310b300906035504060c024154",
     "country must be 2 printable letters"                                                                                                                                                            },
    {"weak key",                        weak_key,              0,               NULL,                 false, NULL,                                           "key must be one that we know"           },
    {"unique identifier",               unique_id,             0,               NULL,                 false, NULL,                                           "unique identifiers must be absent"      },
    {"extensions twice",                every_extension_twice, 0,               NULL,                 false, NULL,
     "no extension may occur twice"                                                                                                                                                                   },
    {"AKI that is none",                NULL,                  0,               "2.5.29.35",          false, "0500",                                         "extensions must be readable"            },
    {"SAN that is none",                NULL,                  0,               "2.5.29.17",          true,  "0500",                                         "extensions must be readable"            },
    {"unknown critical extension",      NULL,                  0,               "1.2.3.4",            true,  "0500",
     "critical extension is none of a leaf"                                                                                                                                                           },
    {"policyConstraints",               NULL,                  0,               "2.5.29.36",          false, "3003800100",
     "extensions of a CA must be absent"                                                                                                                                                              },
    {"no basicConstraints",             NULL,                  0,               "2.5.29.19",          false, NULL,                                           bc_critical                              },
    {"uncritical basicConstraints",     NULL,                  0,               "2.5.29.19",          false, "3000",                                         bc_critical                              },
    {"CA:TRUE",                         NULL,                  0,               "2.5.29.19",          true,  "30030101ff",                                   "basicConstraints must not say CA"       },
    {"path length",                     NULL,                  0,               "2.5.29.19",          true,  "3003020100",                                   no_path_length                           },
    {"no keyUsage",                     NULL,                  0,               "2.5.29.15",          false, NULL,                                           "keyUsage must be there and critical"    },
    {"uncritical keyUsage",             NULL,                  0,               "2.5.29.15",          false, "03020780",
     "keyUsage must be there and critical"                                                                                                                                                            },
    {"empty keyUsage",                  NULL,                  0,               "2.5.29.15",          true,  "030100",                                       "keyUsage must not be empty"             },
    {"keyCertSign",                     NULL,                  0,               "2.5.29.15",          true,  "03020284",                                     "keyUsage must not sign certificates"    },
    {"cRLSign",                         NULL,                  0,               "2.5.29.15",          true,  "03020182",                                     "keyUsage must not sign certificates"    },
    {"keyEncipherment on EC",           NULL,                  0,               "2.5.29.15",          true,  "030205a0",                                     rsa_enciphers                            },
    {"dataEncipherment on EC",          NULL,                  0,               "2.5.29.15",          true,  "03020490",                                     rsa_enciphers                            },
    {"keyAgreement on Ed25519",         agreeing_ed25519,      0,               NULL,                 false, NULL,
     "only EC keys may have keyAgreement"                                                                                                                                                             },
    {"encipherOnly alone",              NULL,                  0,               "2.5.29.15",          true,  "03020081",
     "encipherOnly, decipherOnly need agreement"                                                                                                                                                      },
    {"no extKeyUsage",                  NULL,                  0,               "2.5.29.37",          false, NULL,                                           "extKeyUsage must not be empty"          },
    {"empty extKeyUsage",               NULL,                  0,               "2.5.29.37",          false, "3000",                                         "extKeyUsage must not be empty"          },
    {"any",                             NULL,                  0,               "2.5.29.37",          false, "3010" SERVER_AUTH "0604551d2500",
     "extKeyUsage must not be any"                                                                                                                                                                    },
    {"OCSPSigning",                     NULL,                  0,               "2.5.29.37",          false, "3014" SERVER_AUTH "06082b06010505070309",
     "extKeyUsage must not sign OCSP responses"                                                                                                                                                       },
    {"timeStamping uncritical",         NULL,                  0,               "2.5.29.37",          false, "300a06082b06010505070308",
     "timeStamping must be alone and critical"                                                                                                                                                        },
    {"timeStamping beside another",     NULL,                  0,               "2.5.29.37",          true,
     "3014" SERVER_AUTH "06082b06010505070308",                                                                                                              "timeStamping must be alone and critical"},
    {"serverAuth twice",                NULL,                  0,               "2.5.29.37",          false, "3014" SERVER_AUTH SERVER_AUTH,
     "no extended key usage may occur twice"                                                                                                                                                          },
    {"one of two EKUs not allowed",     fewer_ekus,            0,               NULL,                 false, NULL,
     "extKeyUsage must be the CA's to give"                                                                                                                                                           },
    {"no SKI",                          NULL,                  0,               "2.5.29.14",          false, NULL,                                           "SKI must be there and not critical"     },
    {"SKI of another key",              NULL,                  0,               "2.5.29.14",          false,
     "04140102030405060708091011121314151617181920",                                                                                                         "SKI must be of the key"                 },
    {"no AKI",                          NULL,                  0,               "2.5.29.35",          false, NULL,                                           "AKI must be there and not critical"     },
    {"AKI without key identifier",      NULL,                  0,               "2.5.29.35",          false, "3000",
     "AKI must be there and not critical"                                                                                                                                                             },
    {"AKI of another CA",               other_ca_key,          0,               NULL,                 false, NULL,                                           "AKI must be the CA's"                   },
    {"empty AIA",                       NULL,                  0,               "1.3.6.1.5.5.7.1.1",  false, "3000",
     "authorityInfoAccess must hold URLs"                                                                                                                                                             },
    {"AIA with an empty URL",           NULL,                  0,               "1.3.6.1.5.5.7.1.1",  false,
     "300e300c06082b060105050730018600",                                                                                                                     "authorityInfoAccess must hold URLs"     },
    {"empty CDP",                       NULL,                  0,               "2.5.29.31",          false, "3000",                                         "cRLDistributionPoints must hold URLs"   },
    {"CDP with an empty URL",           NULL,                  0,               "2.5.29.31",          false, "30083006a004a0028600",
     "cRLDistributionPoints must hold URLs"                                                                                                                                                           },
    {"tlsfeature 17",                   NULL,                  0,               "1.3.6.1.5.5.7.1.24", false, "3003020111",
     "tlsfeature must be status_request alone"                                                                                                                                                        },
    {"noRevAvail that is no NULL",      NULL,                  0,               "2.5.29.56",          false, "3000",                                         "noRevAvail must be NULL"                },
    {"noRevAvail beside OCSP",          NULL,                  0,               "2.5.29.56",          false, "0500",
     "noRevAvail excludes OCSP, CRL, tlsfeature"                                                                                                                                                      },
    {"noRevAvail for 90 days",          no_rev_avail_for_long, 0,               NULL,                 false, NULL,
     "noRevAvail needs a life below one hour"                                                                                                                                                         },
    {"no policies in the list",         NULL,                  0,               "2.5.29.32",          false, "3000",
     "certificatePolicies must not be empty"                                                                                                                                                          },
    {"a policy twice",                  NULL,                  0,               "2.5.29.32",          false, "30143008060667810c0102013008060667810c010201",
     "no policy may occur twice"                                                                                                                                                                      },
    {"one of two policies not allowed", NULL,                  0,               "2.5.29.32",          false,
     "300f3008060667810c010201300306012a",                                                                                                                   "policies must be the CA's to give"      },
    {"neither subject nor names",       NULL,                  0,               "2.5.29.17",          false, NULL,
     "subject and subjectAltName are both missing"                                                                                                                                                    },
    {"empty SAN",                       NULL,                  0,               "2.5.29.17",          true,  "3000",                                         "subjectAltName must not be empty"       },
    {"uncritical SAN without subject",  NULL,                  0,               "2.5.29.17",          false, "30058203616263",
     "without subject the names must be critical"                                                                                                                                                     },
    {"second dNSName with underscore",  NULL,                  0,               "2.5.29.17",          true,  "300a82036162638203615f63",
     "dNSName must be a host name or wildcard"                                                                                                                                                        },
    {"NUL in a dNSName",                NULL,                  0,               "2.5.29.17",          true,  "30058203610063",
     "dNSName must be a host name or wildcard"                                                                                                                                                        },
    {"three octets",                    NULL,                  0,               "2.5.29.17",          true,  "300a82036162638703c00002",
     "iPAddress must have 4 or 16 octets"                                                                                                                                                             },
    {"mailbox without at sign",         NULL,                  0,               "2.5.29.17",          true,  "300a82036162638103616263",
     "rfc822Name must be a mailbox in ASCII"                                                                                                                                                          },
    {"relative URI",                    NULL,                  0,               "2.5.29.17",          true,  "300a82036162638603616263",
     "URI must be absolute and in ASCII"                                                                                                                                                              },
    {"registeredID",                    NULL,                  0,               "2.5.29.17",          true,  "3009820361626388022a03",
     "subjectAltName must hold known types only"                                                                                                                                                      },
    {"otherName that is no UPN",        NULL,                  0,               "2.5.29.17",          true,  "300ba00906022a03a0030c0161",
     "subjectAltName must hold known types only"                                                                                                                                                      },
    {"a name twice",                    NULL,                  0,               "2.5.29.17",          true,  "300a82036162638203616263",
     "no name may occur twice"                                                                                                                                                                        },
    {"one of two names outside",        one_name_outside,      0,               NULL,                 false, NULL,
     "names must be inside the CA's constraints"                                                                                                                                                      },
    {"one of two names excluded",       one_name_excluded,     0,               NULL,                 false, NULL,
     "names must be inside the CA's constraints"                                                                                                                                                      },
};

static void prepare(struct parts *it, TALLOC_CTX *ctx)
{
    const struct test_ca *ca = test_ca(ctx, "P-256", NULL);
    const struct certificate_wish wish = test_wish(ctx);
    *it = (struct parts){.ctx = ctx, .facts = ca->facts};
    take_apart(it, test_compose(ctx, &it->facts, &wish));
}

static void break_it(struct parts *it, size_t i)
{
    if (broken[i].alter)
        broken[i].alter(it);
    else if (broken[i].oid)
        change_extension(it, broken[i].oid, broken[i].critical, broken[i].hex);
    else
        it->fields[broken[i].field] = hex(it->ctx, broken[i].hex);
}

Test(lint, each_rule_can_fail)
{
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        AUTO(TALLOC_CTX) *result = talloc_new(NULL);
        struct text_list warnings = {0};
        struct parts it;
        struct fault fault = {0};

        prepare(&it, scratch);
        cr_assert(certificate_lint(result, put_together(&it), &it.facts, &warnings, &fault),
                  "before %s: %s", broken[i].about, fault.detail);
        break_it(&it, i);
        cr_expect_not(certificate_lint(result, put_together(&it), &it.facts, &warnings, &fault),
                      "%s", broken[i].about);
        cr_expect_eq(fault.reason, CERTIFICATE_LINT, "%s", broken[i].about);
        cr_expect(text_ends(fault.detail, broken[i].rule), "%s: %s", broken[i].about, fault.detail);
        cr_expect_eq(warnings.count, 0, "%s", broken[i].about);
        cr_expect_eq(talloc_total_blocks(result), 1, "%s: memory left", broken[i].about);
    }
}

/* A rule without a case above would be one that nobody has seen fail. */
Test(lint, each_rule_has_a_case)
{
    const struct lint_rules *const groups[] = {&lint_field_rules, &lint_extension_rules,
                                               &lint_name_rules};
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            bool covered = false;
            for (size_t k = 0; k < ARRAY_SIZE(broken); k++)
                covered |= text_equal(broken[k].rule, groups[g]->items[i].text);
            cr_expect(covered, "%s", groups[g]->items[i].text);
        }
    }
}

Test(lint, what_we_compose_has_no_error)
{
    static const char *const kinds[] = {"P-256", "P-384", "RSA-2048"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct test_ca *ca = test_ca(scratch, kinds[i], NULL);
        struct certificate_wish wish = test_wish(scratch);
        struct text_list warnings = {0};
        struct fault fault = {0};

        name_list_add(scratch, &wish.names, NAME_IP, "2001:db8::1");
        name_list_add(scratch, &wish.names, NAME_URI, "spiffe://example.org/x");
        name_list_add(scratch, &wish.names, NAME_UPN, "joe@corp.example");
        wish.must_staple = true;
        text_list_add(scratch, &wish.policies, "2.23.140.1.2.1");
        cr_expect(certificate_lint(scratch, test_compose(scratch, &ca->facts, &wish), &ca->facts,
                                   &warnings, &fault),
                  "%s: %s", kinds[i], fault.detail);
        wish.short_lived = true;
        wish.not_after = wish.not_before + 3599;
        cr_expect(certificate_lint(scratch, test_compose(scratch, &ca->facts, &wish), &ca->facts,
                                   &warnings, &fault),
                  "%s: %s", kinds[i], fault.detail);
        wish.ekus = EKU_TIME_STAMPING;
        cr_expect(certificate_lint(scratch, test_compose(scratch, &ca->facts, &wish), &ca->facts,
                                   &warnings, &fault),
                  "%s: %s", kinds[i], fault.detail);
        cr_expect_eq(warnings.count, 0);
    }
}

Test(lint, warnings_are_told_and_do_not_refuse)
{
    static const struct rdn subject[] = {
        {"2.5.4.3", RDN_UTF8, "other.example.com"}
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct issuer_facts facts = ca->facts;
    struct certificate_wish wish = test_wish(scratch);
    struct text_list warnings = {0};
    struct fault fault = {0};

    wish.subject = subject;
    wish.subject_count = 1;
    wish.not_after = wish.not_before + 398 * DAY + 1;
    text_list_add(scratch, &facts.crl_urls, "https://pki.example/crl");
    cr_expect(
        certificate_lint(scratch, test_compose(scratch, &facts, &wish), &facts, &warnings, &fault),
        "%s", fault.detail);
    cr_assert_eq(warnings.count, 3);
    cr_expect_str_eq(warnings.items[0], "RFC 5280 8: URLs for revocation should not be https");
    cr_expect_str_eq(warnings.items[1], "BR 6.3.2: a server's life should be at most 398 days");
    cr_expect_str_eq(warnings.items[2], "BR 7.1.4.3: common name should be one of the names");

    /* A subject beside critical names, and a server without a host: a@b.c alone. */
    struct parts it = {.ctx = scratch, .facts = facts};
    warnings.count = 0;
    wish.not_after = wish.not_before + 398 * DAY;
    facts.crl_urls.count--;
    take_apart(&it, test_compose(scratch, &facts, &wish));
    change_extension(&it, "2.5.29.17", true, "300781056140622e63");
    cr_expect(certificate_lint(scratch, put_together(&it), &facts, &warnings, &fault), "%s",
              fault.detail);
    cr_assert_eq(warnings.count, 2);
    cr_expect_str_eq(warnings.items[0],
                     "RFC 5280 4.2.1.6: beside a subject names should be uncritical");
    cr_expect_str_eq(warnings.items[1],
                     "BR 7.1.2.7.12: a server should have a host name or address");
}

/* What was signed keeps the rules that it kept before, under each kind of CA; against another CA's
 * certificate it does not. */
Test(lint, signed_certificates_against_their_ca)
{
    static const char *const kinds[] = {"P-256", "P-384", "RSA-2048"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct certificate_wish wish = test_wish(scratch);
    struct text_list warnings = {0};
    struct fault fault = {0};
    const struct certificate *last = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct test_ca *ca = test_ca(scratch, kinds[i], NULL);
        const struct bytes der = test_certificate(scratch, ca,
                                                  test_compose(scratch, &ca->facts, &wish));
        const struct certificate *above = certificate_from_der(scratch, ca->der, &fault);
        const struct certificate *leaf = certificate_from_der(scratch, der, &fault);
        cr_assert(above && leaf, "%s", fault.detail);
        cr_expect(certificate_lint_signed(scratch, leaf, above, &warnings, &fault), "%s: %s",
                  kinds[i], fault.detail);
        if (last)
            cr_expect_not(certificate_lint_signed(scratch, leaf, last, &warnings, &fault));
        last = above;
    }
    cr_expect_eq(warnings.count, 0);
    cr_expect_str_eq(fault.detail, "RFC 5280 4.1.2.3: signature algorithm must be the CA's");
}

/* A CA that came from elsewhere may have no SKI: its leaves name the key by RFC 7093 section 2
 * method 1, as OpenSSL computes it here. */
Test(lint, signed_certificates_of_a_ca_without_key_identifier)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    const struct certificate_wish wish = test_wish(scratch);
    AUTO(X509) *bare = X509_dup(ca->x509);
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct text_list warnings = {0};
    struct fault fault = {0};

    X509_EXTENSION_free(
        X509_delete_ext(bare, X509_get_ext_by_NID(bare, NID_subject_key_identifier, -1)));
    cr_assert_gt(X509_sign(bare, ca->key, EVP_sha256()), 0);
    cr_assert_eq(X509_pubkey_digest(bare, EVP_sha256(), digest, NULL), 1);
    ca->facts.ski = (struct bytes){digest, 20};
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_X509(bare, &der);
    const struct certificate *above = certificate_from_der(scratch, (struct bytes){der, size},
                                                           &fault);
    const struct certificate *leaf = certificate_from_der(
        scratch, test_certificate(scratch, ca, test_compose(scratch, &ca->facts, &wish)), &fault);
    cr_assert(above && leaf, "%s", fault.detail);
    cr_assert_eq(above->ski.size, 0);
    cr_expect(certificate_lint_signed(scratch, leaf, above, &warnings, &fault), "%s", fault.detail);
    cr_expect_eq(warnings.count, 0);
}

Test(lint, signed_certificates_under_a_key_that_signs_nothing_here)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct certificate *above;
    struct text_list warnings = {0};
    struct fault fault = {0};
    static const struct key_facts kinds[] = {
        {KEY_ED25519, "Ed25519", 256},
        {KEY_ECDSA,   "ECDSA",   521},
        {KEY_RSA,     "RSA",     0  }
    };

    above = certificate_from_der(scratch, ca->der, &fault);
    cr_assert(above, "%s", fault.detail);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        above->key = kinds[i];
        cr_expect_not(certificate_lint_signed(scratch, above, above, &warnings, &fault));
        cr_expect_eq(fault.reason, CERTIFICATE_LINT);
    }
}

Test(lint, no_certificate_at_all)
{
    static const uint8_t junk[] = {0x30, 0x02, 0x05, 0x00};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
    struct text_list warnings = {0};
    struct fault fault = {0};
    cr_expect_not(certificate_lint(scratch, BYTES_OF(junk), &ca->facts, &warnings, &fault));
    cr_expect_eq(fault.reason, CERTIFICATE_LINT);
    cr_expect_not(certificate_lint(scratch, (struct bytes){0}, &ca->facts, &warnings, &fault));
}

static void plain(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    (void)ctx;
    (void)wish;
}
static void of_rsa(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    wish->spki = test_spki(ctx, test_key(ctx, "RSA-2048"));
}
static void of_ed25519(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    wish->spki = test_spki(ctx, test_key(ctx, "Ed25519"));
}
static void of_p521(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    wish->spki = test_spki(ctx, test_key(ctx, "P-521"));
}
static void all_kinds_of_names(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    name_list_add(ctx, &wish->names, NAME_IP, "2001:db8::1");
    name_list_add(ctx, &wish->names, NAME_IP, "192.0.2.1");
    name_list_add(ctx, &wish->names, NAME_URI, "spiffe://example.org/x");
    name_list_add(ctx, &wish->names, NAME_UPN, "joe@corp.example");
    name_list_add(ctx, &wish->names, NAME_EMAIL, "joe@example.com");
    name_list_add(ctx, &wish->names, NAME_DNS, "*.example.com");
}
static void a_subject(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    static const struct rdn subject[] = {
        {"2.5.4.6",  RDN_PRINTABLE, "DE"             },
        {"2.5.4.10", RDN_UTF8,      "M\xc3\xbcller"  },
        {"2.5.4.3",  RDN_UTF8,      "www.example.com"}
    };
    (void)ctx;
    wish->subject = subject;
    wish->subject_count = ARRAY_SIZE(subject);
}
static void stapled_with_policy(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    wish->must_staple = true;
    text_list_add(ctx, &wish->policies, "2.23.140.1.2.1");
}
static void short_lived(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    (void)ctx;
    wish->short_lived = true;
    wish->not_after = wish->not_before + 3599;
}
static void time_stamping(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    (void)ctx;
    wish->ekus = EKU_TIME_STAMPING;
}
static void many_names(TALLOC_CTX *ctx, struct certificate_wish *wish)
{
    for (int i = 0; i < 100; i++)
        name_list_add(ctx, &wish->names, NAME_DNS, mem_printf(ctx, "n%d.example.com", i));
}

static const struct {
    const char *about;
    void (*change)(TALLOC_CTX *ctx, struct certificate_wish *wish);
} composed[] = {
    {"as it is",            plain              },
    {"RSA key",             of_rsa             },
    {"Ed25519 key",         of_ed25519         },
    {"P-521 key",           of_p521            },
    {"all kinds of names",  all_kinds_of_names },
    {"a subject",           a_subject          },
    {"must-staple, policy", stapled_with_policy},
    {"short-lived",         short_lived        },
    {"time stamping",       time_stamping      },
    {"102 names",           many_names         },
};

/* What the lint no longer asks in each request: OpenSSL reads the whole, has nothing against its
 * extensions, and would encode it alike. */
Test(lint, openssl_reads_the_whole)
{
    for (size_t i = 0; i < ARRAY_SIZE(composed); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const struct test_ca *ca = test_ca(scratch, "P-256", NULL);
        struct certificate_wish wish = test_wish(scratch);
        struct text_list warnings = {0};
        struct fault fault = {0};
        AUTO_OPENSSL(uint8_t) *again = NULL;

        composed[i].change(scratch, &wish);
        const struct bytes tbs = test_compose(scratch, &ca->facts, &wish);
        X509 *x509 = test_x509(scratch, test_certificate(scratch, ca, tbs));
        cr_expect(certificate_lint(scratch, tbs, &ca->facts, &warnings, &fault), "%s: %s",
                  composed[i].about, fault.detail);
        cr_expect_eq(X509_check_purpose(x509, -1, 0), 1, "%s", composed[i].about);
        cr_expect_eq(X509_get_extension_flags(x509) & (EXFLAG_INVALID | EXFLAG_CRITICAL), 0, "%s",
                     composed[i].about);
        cr_expect_not_null(X509_get0_pubkey(x509), "%s", composed[i].about);
        const int size = i2d_re_X509_tbs(x509, &again);
        cr_expect(bytes_equal(tbs, (struct bytes){again, (size_t)size}), "%s", composed[i].about);
    }
}
