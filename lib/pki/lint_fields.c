/* lib/pki/lint_fields.c: rules for the fields of a TBSCertificate (RFC 5280 section 4.1). */
#include <openssl/x509v3.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/extension.h"
#include "pki/key.h"
#include "pki/lint_private.h"

#include "core/banned.h"

static bool version_is_3(const struct lint_subject *it)
{
    static const uint8_t v3[] = {DER_INTEGER, 1, 2};
    return bytes_equal(it->version, BYTES_OF(v3));
}

/* X.690 sections 8.2 and 11.1 for BOOLEAN, which is never FALSE here, since that is the default of
 * each one in a certificate (section 11.5); 8.3.2 for INTEGER. */
static bool primitive_is_der(uint8_t tag, struct bytes content)
{
    if (tag == DER_BOOLEAN)
        return content.size == 1 && content.data[0] == 0xff;
    if (tag != DER_INTEGER || content.size == 1)
        return true;
    return content.size > 1 && !(content.data[0] == 0 && !(content.data[1] & 0x80)) &&
           !(content.data[0] == 0xff && content.data[1] & 0x80);
}

/* All elements, those inside constructed ones after them; der_read knows DER's lengths only. */
static bool elements_are_der(struct bytes all)
{
    while (all.size) {
        struct bytes content;
        const struct bytes at = all;
        uint8_t tag = 0;
        if (!der_read(&all, &tag, &content, NULL))
            return false;
        if (!(tag & 0x20) && !primitive_is_der(tag, content))
            return false;
        if (tag & 0x20) /* go on inside; what follows the element follows its content too */
            all = (struct bytes){content.data,
                                 (size_t)(at.data + at.size - content.data)}; /* inside at */
    }
    return true;
}

/* OpenSSL encodes what it has understood, and does not mind a BOOLEAN of 01 or a default. */
static bool encoding_is_der(const struct lint_subject *it)
{
    AUTO_OPENSSL(uint8_t) *again = NULL;
    const int size = it->extensions ? i2d_X509_EXTENSIONS(it->extensions, &again) : 0;

    if (size < 0 || !elements_are_der(it->tbs))
        return false;
    return bytes_equal(it->extension_list, (struct bytes){again, (size_t)size}); /* not negative */
}

static bool serial_is_positive(const struct lint_subject *it)
{
    bool zero = true;
    for (size_t i = 0; i < it->serial.size; i++)
        zero = zero && it->serial.data[i] == 0;
    return !zero && !(it->serial.data[0] & 0x80);
}

static bool serial_is_short(const struct lint_subject *it)
{
    return it->serial.size <= 20;
}

static bool algorithm_is_the_cas(const struct lint_subject *it)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct der_writer to;

    der_start(&to, scratch, 64);
    put_signature_algorithm(&to, it->facts->algorithm);
    return bytes_equal(it->algorithm, der_finish(&to, scratch));
}

static bool issuer_is_the_ca(const struct lint_subject *it)
{
    return bytes_equal(it->issuer, it->facts->subject_der);
}

static bool issuer_is_named(const struct lint_subject *it)
{
    return X509_NAME_entry_count(it->issuer_name) > 0;
}

static bool times_are_ordered(const struct lint_subject *it)
{
    return it->not_before < it->not_after;
}

/* "YYMMDDHHMMSSZ" or "YYYYMMDDHHMMSSZ". */
static bool times_have_form(const struct lint_subject *it)
{
    for (size_t i = 0; i < 2; i++) {
        const struct bytes text = it->times[i].text;
        const size_t wanted = it->times[i].tag == DER_UTC_TIME ? 13 : 15;
        if (text.size != wanted || text.data[wanted - 1] != 'Z')
            return false;
        for (size_t at = 0; at < wanted - 1; at++)
            if (text.data[at] < '0' || text.data[at] > '9')
                return false;
    }
    return true;
}

/* UTCTime cannot say 2050, so only the other direction can be wrong. */
static bool times_turn_in_2050(const struct lint_subject *it)
{
    for (size_t i = 0; i < 2; i++) {
        const struct lint_time *field = &it->times[i];
        if (field->tag == DER_GENERALIZED_TIME &&
            (field->text.size < 4 || memcmp(field->text.data, "2050", 4) < 0))
            return false;
    }
    return true;
}

static bool life_is_inside_the_cas(const struct lint_subject *it)
{
    return it->not_before >= it->facts->not_before && it->not_after <= it->facts->not_after;
}

static bool life_is_below_ceiling(const struct lint_subject *it)
{
    return it->not_after - it->not_before <= it->facts->ceiling_s;
}

static bool no_unique_ids(const struct lint_subject *it)
{
    return !it->has_unique_ids;
}

static bool key_is_known(const struct lint_subject *it)
{
    return it->has_key;
}

static bool subject_has_values(const struct lint_subject *it)
{
    const X509_NAME *subject = it->subject;
    for (int i = 0; i < X509_NAME_entry_count(subject); i++)
        if (ASN1_STRING_length(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i))) == 0)
            return false;
    return true;
}

static bool common_names_fit(const struct lint_subject *it)
{
    const X509_NAME *subject = it->subject;
    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        AUTO_OPENSSL(uint8_t) *utf8 = NULL;
        if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) != NID_commonName)
            continue;
        const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
        int characters = 0;
        for (int at = 0; at < size; at++)
            characters += (utf8[at] & 0xc0) != 0x80;
        if (size < 0 || characters > 64)
            return false;
    }
    return true;
}

static bool countries_have_letters(const struct lint_subject *it)
{
    const X509_NAME *subject = it->subject;
    int index = -1;
    while ((index = X509_NAME_get_index_by_NID(subject, NID_countryName, index)) >= 0) {
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
        if (ASN1_STRING_type(value) != V_ASN1_PRINTABLESTRING || ASN1_STRING_length(value) != 2)
            return false;
    }
    return true;
}

/* In the order of the certificate, so that the first refusal names the root of the trouble. */
static const struct lint_rule rules[] = {
    {"RFC 5280 4.1.2.1", "version must be v3",                        version_is_3          },
    {"RFC 5280 4.1",     "encoding must be DER",                      encoding_is_der       },
    {"RFC 5280 4.1.2.2", "serial must be positive",                   serial_is_positive    },
    {"RFC 5280 4.1.2.2", "serial must have at most 20 octets",        serial_is_short       },
    {"RFC 5280 4.1.2.3", "signature algorithm must be the CA's",      algorithm_is_the_cas  },
    {"RFC 5280 4.1.2.4", "issuer must not be empty",                  issuer_is_named       },
    {"RFC 5280 4.1.2.4", "issuer must be the CA's subject octets",    issuer_is_the_ca      },
    {"RFC 5280 4.1.2.5", "times must have seconds and end in Z",      times_have_form       },
    {"RFC 5280 4.1.2.5", "times before 2050 must be UTCTime",         times_turn_in_2050    },
    {"RFC 5280 4.1.2.5", "notBefore must be before notAfter",         times_are_ordered     },
    {"RFC 5280 6.1.3",   "validity must lie inside the CA's",         life_is_inside_the_cas},
    {"CA facts",         "life must not exceed the ceiling",          life_is_below_ceiling },
    {"RFC 5280 4.1.2.6", "subject attributes must have values",       subject_has_values    },
    {"RFC 5280 A.1",     "common name must be at most 64 characters", common_names_fit      },
    {"RFC 5280 A.1",     "country must be 2 printable letters",       countries_have_letters},
    {"RFC 5280 4.1.2.7", "key must be one that we know",              key_is_known          },
    {"RFC 5280 4.1.2.8", "unique identifiers must be absent",         no_unique_ids         },
};
const struct lint_rules lint_field_rules = {rules, ARRAY_SIZE(rules)};
