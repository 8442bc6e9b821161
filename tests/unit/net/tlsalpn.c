/* tests/unit/net/tlsalpn.c: the certificate that proves an identifier (RFC 8737 section 3, RFC 8738
 * section 6), right and with one thing wrong at a time. */
#include <criterion/criterion.h>
#include <openssl/err.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "net/tlsalpn01.h"

#include "core/banned.h"

#define PROOF      "token.thumbprint"
#define IDENTIFIER "1.3.6.1.5.5.7.1.31"

static void add(X509 *leaf, const char *oid, int critical, const uint8_t *value, size_t size)
{
    AUTO(ASN1_OCTET_STRING) *octets = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *kind = OBJ_txt2obj(oid, 1);

    cr_assert_eq(ASN1_OCTET_STRING_set(octets, value, (int)size), 1); /* short */
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, kind, critical, octets);
    cr_assert_eq(X509_add_ext(leaf, extension, -1), 1);
    X509_EXTENSION_free(extension);
    ASN1_OBJECT_free(kind);
}

enum flaw {
    TWICE = 1,
    NOT_CRITICAL = 2,
    OTHER_DIGEST = 4,
    MORE = 8,
    FOREIGN = 16,
    ISSUED = 32,
    NONE = 64
};

/* `names`: the DER of a GeneralNames, or NULL. */
static struct bytes certificate(TALLOC_CTX *ctx, struct bytes names, unsigned how)
{
    AUTO(EVP_PKEY) *key = EVP_EC_gen("P-256");
    AUTO(EVP_PKEY) *other = EVP_EC_gen("P-256");
    AUTO(X509) *leaf = X509_new();
    uint8_t value[35] = {4, 32};
    AUTO_OPENSSL(uint8_t) *der = NULL;

    digest_sha256(bytes_of_text(how & OTHER_DIGEST ? "other" : PROOF), value + 2);
    cr_assert(X509_set_version(leaf, X509_VERSION_3) == 1 && X509_set_pubkey(leaf, key) == 1);
    cr_assert(X509_gmtime_adj(X509_getm_notBefore(leaf), 0) &&
              X509_gmtime_adj(X509_getm_notAfter(leaf), 3600));
    if (how & ISSUED)
        cr_assert_eq(X509_NAME_add_entry_by_txt(X509_get_issuer_name(leaf), "CN", MBSTRING_ASC,
                                                (const unsigned char *)"another", -1, -1, 0),
                     1);
    if (names.data)
        add(leaf, "2.5.29.17", 0, names.data, names.size);
    for (int i = 0; i < (how & NONE ? 0 : how & TWICE ? 2 : 1); i++)
        add(leaf, IDENTIFIER, how & NOT_CRITICAL ? 0 : 1, value, how & MORE ? 35 : 34);
    cr_assert_gt(X509_sign(leaf, how & FOREIGN ? other : key, EVP_sha256()), 0);
    const int size = i2d_X509(leaf, &der);
    cr_assert_gt(size, 0);
    return bytes_copy(ctx, (struct bytes){der, (size_t)size});
}

#define OCTETS(text)                                                                               \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
/* GeneralNames: one dNSName of six octets; an IPv4 address; an IPv6 address. */
#define NAME(six)   OCTETS("0\010\202\006" six)
#define V4(last)    OCTETS("0\006\207\004\300\0\002" last)
#define V6(last)    OCTETS("0\022\207\020\040\001\015\270\0\0\0\0\0\0\0\0\0\0\0" last)
#define TWO(second) OCTETS("0\020\202\006a.test\202\006" second)
#define MASK        OCTETS("0\012\207\010\300\0\002\001\377\377\377\377")
#define OTHER       "of another name"
#define UNSIGNED    "not signed by itself"

static const struct {
    const char *about;
    const char *identifier;
    struct bytes names;
    unsigned how;
    const char *words; /* NULL: good */
} cases[] = {
    {"a name",                "a.test",      NAME("a.test"),                   0,            NULL                },
    {"a name in capitals",    "a.test",      NAME("A.Test"),                   0,            NULL                },
    {"an IPv4 address",       "192.0.2.1",   V4("\001"),                       0,            NULL                },
    {"an IPv6 address",       "2001:db8::1", V6("\001"),                       0,            NULL                },
    {"another name",          "a.test",      NAME("b.test"),                   0,            OTHER               },
    {"a longer name",         "a.test",      OCTETS("0\011\202\007a.test."),   0,            OTHER               },
    {"a NUL in the name",     "a.test",      OCTETS("0\012\202\010a.test\0b"), 0,            OTHER               },
    {"two names",             "a.test",      TWO("b.test"),                    0,            "no other name"     },
    {"the same twice",        "a.test",      TWO("a.test"),                    0,            "no other name"     },
    {"no names in it",        "a.test",      OCTETS("0\0"),                    0,            "no other name"     },
    {"a broken extension",    "a.test",      OCTETS("0\011\202"),              0,            "no other name"     },
    {"none",                  "a.test",      {NULL, 0},                        0,            "one subjectAltName"},
    {"the address as a name", "192.0.2.1",   OCTETS("0\013\202\011192.0.2.1"), 0,            OTHER               },
    {"another address",       "192.0.2.1",   V4("\002"),                       0,            OTHER               },
    {"an address in a mask",  "192.0.2.1",   MASK,                             0,            OTHER               },
    {"an e-mail address",     "a.test",      OCTETS("0\010\201\006a.test"),    0,            OTHER               },
    {"no proof",              "a.test",      NAME("a.test"),                   NONE,         "one acmeIdentifier"},
    {"the proof twice",       "a.test",      NAME("a.test"),                   TWICE,        "one acmeIdentifier"},
    {"not critical",          "a.test",      NAME("a.test"),                   NOT_CRITICAL, "must be critical"  },
    {"another digest",        "a.test",      NAME("a.test"),                   OTHER_DIGEST, "not the digest"    },
    {"an octet after it",     "a.test",      NAME("a.test"),                   MORE,         "not the digest"    },
    {"another's signature",   "a.test",      NAME("a.test"),                   FOREIGN,      UNSIGNED            },
    {"another's name on top", "a.test",      NAME("a.test"),                   ISSUED,       UNSIGNED            },
};

Test(tlsalpn, certificates_are_judged)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct fault fault = {0};
        const bool good = tlsalpn01_certificate_check(
            certificate(scratch, cases[i].names, cases[i].how), cases[i].identifier, PROOF, &fault);

        cr_expect_eq(good, cases[i].words == NULL, "%s: %s", cases[i].about, fault.detail);
        cr_expect_eq(fault.reason, good ? REASON_NONE : NET_RESPONSE, "%s", cases[i].about);
        if (!good)
            cr_expect(strstr(fault.detail, cases[i].words) != NULL, "%s: %s", cases[i].about,
                      fault.detail);
    }
}

Test(tlsalpn, what_is_no_certificate_is_refused)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes names = NAME("a.test");
    const struct bytes good = certificate(scratch, names, 0);
    uint8_t *longer = mem_array(scratch, uint8_t, good.size + 1);
    struct fault fault = {0};

    memcpy(longer, good.data, good.size);
    cr_expect(!tlsalpn01_certificate_check((struct bytes){longer, good.size + 1}, "a.test", PROOF,
                                           &fault));
    cr_expect(strstr(fault.detail, "cannot be read") != NULL, "%s", fault.detail);
    cr_expect(!tlsalpn01_certificate_check((struct bytes){good.data, good.size - 1}, "a.test",
                                           PROOF, &fault));
    cr_expect(!tlsalpn01_certificate_check((struct bytes){NULL, 0}, "a.test", PROOF, &fault));
    cr_expect_eq(ERR_peek_error(), 0, "OpenSSL's queue is left full");
}

Test(tlsalpn, reverse_names)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(tlsalpn01_reverse_name(scratch, "192.0.2.1"), "1.2.0.192.in-addr.arpa");
    cr_expect_str_eq(tlsalpn01_reverse_name(scratch, "2001:db8::1"),
                     "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    cr_expect_null(tlsalpn01_reverse_name(scratch, "a.test"));
}
