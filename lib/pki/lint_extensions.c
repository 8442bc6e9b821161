/* lib/pki/lint_extensions.c: rules for the extensions of a leaf (RFC 5280 section 4.2). */
#include <openssl/x509v3.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/extension.h"
#include "pki/key.h"
#include "pki/lint_private.h"

#include "core/banned.h"

static bool no_extension_twice(const struct lint_subject *it)
{
    for (int i = 0; i < X509v3_get_ext_count(it->extensions); i++) {
        const ASN1_OBJECT *object = X509_EXTENSION_get_object(X509v3_get_ext(it->extensions, i));
        if (X509v3_get_ext_by_OBJ(it->extensions, object, i) != -1)
            return false;
    }
    return true;
}

static bool extensions_are_readable(const struct lint_subject *it)
{
    return (!lint_has(it, NID_subject_alt_name) || it->names) &&
           (!lint_has(it, NID_ext_key_usage) || it->ekus) &&
           (!lint_has(it, NID_basic_constraints) || it->basic) &&
           (!lint_has(it, NID_key_usage) || it->usage) &&
           (!lint_has(it, NID_info_access) || it->access) &&
           (!lint_has(it, NID_crl_distribution_points) || it->points) &&
           (!lint_has(it, NID_certificate_policies) || it->policies) &&
           (!lint_has(it, NID_authority_key_identifier) || it->authority);
}

static bool criticality_is_usual(const struct lint_subject *it)
{
    static const int usual[] = {NID_basic_constraints, NID_key_usage, NID_ext_key_usage,
                                NID_subject_alt_name};
    for (int i = 0; i < X509v3_get_ext_count(it->extensions); i++) {
        X509_EXTENSION *extension = X509v3_get_ext(it->extensions, i);
        const int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        bool known = X509_EXTENSION_get_critical(extension) != 1;
        for (size_t at = 0; at < ARRAY_SIZE(usual); at++)
            known = known || usual[at] == nid;
        if (!known)
            return false;
    }
    return true;
}

static bool no_extension_of_cas(const struct lint_subject *it)
{
    return !lint_has(it, NID_name_constraints) && !lint_has(it, NID_policy_constraints) &&
           !lint_has(it, NID_inhibit_any_policy) && !lint_has(it, NID_policy_mappings);
}

static bool has_subject_key_id(const struct lint_subject *it)
{
    return lint_has(it, NID_subject_key_identifier) &&
           !lint_is_critical(it, NID_subject_key_identifier);
}

static bool subject_key_id_is_derived(const struct lint_subject *it)
{
    uint8_t id[2 + KEY_ID_SIZE] = {DER_OCTET_STRING, KEY_ID_SIZE};
    if (!it->has_key)
        return false;
    key_identifier(it->spki, id + 2);
    return lint_value_is(it, NID_subject_key_identifier, BYTES_OF(id));
}

static bool has_authority_key_id(const struct lint_subject *it)
{
    return it->authority && it->authority->keyid &&
           !lint_is_critical(it, NID_authority_key_identifier);
}

static bool authority_key_id_matches(const struct lint_subject *it)
{
    return it->authority && it->authority->keyid &&
           bytes_equal(lint_octets(it->authority->keyid), it->facts->ski);
}

static bool has_usage(const struct lint_subject *it)
{
    return it->usage && lint_is_critical(it, NID_key_usage);
}

/* Bit of RFC 5280 section 4.2.1.3, 0 to 8. */
static bool uses(const struct lint_subject *it, int bit)
{
    return it->usage && ASN1_BIT_STRING_get_bit(it->usage, bit) == 1;
}

static bool usage_is_not_empty(const struct lint_subject *it)
{
    for (int bit = 0; bit <= 8; bit++)
        if (uses(it, bit))
            return true;
    return false;
}

static bool usage_signs_nothing(const struct lint_subject *it)
{
    return !uses(it, 5) && !uses(it, 6);
}

static bool only_rsa_enciphers(const struct lint_subject *it)
{
    return !it->has_key || it->key.kind == KEY_RSA || (!uses(it, 2) && !uses(it, 3));
}

static bool only_ec_agrees(const struct lint_subject *it)
{
    return !it->has_key || it->key.kind == KEY_ECDSA || !uses(it, 4);
}

static bool narrowing_has_object(const struct lint_subject *it)
{
    return uses(it, 4) || (!uses(it, 7) && !uses(it, 8));
}

static bool has_constraints(const struct lint_subject *it)
{
    return it->basic && lint_is_critical(it, NID_basic_constraints);
}

static bool is_no_ca(const struct lint_subject *it)
{
    return it->basic && !it->basic->ca;
}

static bool has_no_path_len(const struct lint_subject *it)
{
    return !it->basic || !it->basic->pathlen;
}

static bool ekus_are_not_empty(const struct lint_subject *it)
{
    return sk_ASN1_OBJECT_num(it->ekus) > 0;
}

static bool ekus_are_not_any(const struct lint_subject *it)
{
    return !lint_grants(it, NID_anyExtendedKeyUsage);
}

static bool ekus_sign_no_ocsp(const struct lint_subject *it)
{
    return !lint_grants(it, NID_OCSP_sign);
}

static bool no_eku_twice(const struct lint_subject *it)
{
    for (int i = 0; i < sk_ASN1_OBJECT_num(it->ekus); i++)
        for (int k = i + 1; k < sk_ASN1_OBJECT_num(it->ekus); k++)
            if (OBJ_cmp(sk_ASN1_OBJECT_value(it->ekus, i), sk_ASN1_OBJECT_value(it->ekus, k)) == 0)
                return false;
    return true;
}

static unsigned eku_bit(int nid)
{
    switch (nid) {
    case NID_server_auth:
        return EKU_SERVER_AUTH;
    case NID_client_auth:
        return EKU_CLIENT_AUTH;
    case NID_code_sign:
        return EKU_CODE_SIGNING;
    case NID_email_protect:
        return EKU_EMAIL_PROTECTION;
    case NID_time_stamp:
        return EKU_TIME_STAMPING;
    default:
        return 0;
    }
}

static bool ekus_are_allowed(const struct lint_subject *it)
{
    for (int i = 0; i < sk_ASN1_OBJECT_num(it->ekus); i++)
        if (!(eku_bit(OBJ_obj2nid(sk_ASN1_OBJECT_value(it->ekus, i))) & it->facts->allowed_ekus))
            return false;
    return true;
}

static bool time_stamping_is_alone(const struct lint_subject *it)
{
    return !lint_grants(it, NID_time_stamp) ||
           (sk_ASN1_OBJECT_num(it->ekus) == 1 && lint_is_critical(it, NID_ext_key_usage));
}

static bool access_has_urls(const struct lint_subject *it)
{
    if (it->access && sk_ACCESS_DESCRIPTION_num(it->access) == 0)
        return false;
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(it->access); i++)
        if (!lint_is_url(sk_ACCESS_DESCRIPTION_value(it->access, i)->location, ""))
            return false;
    return true;
}

static bool names_ocsp(const struct lint_subject *it)
{
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(it->access); i++)
        if (OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(it->access, i)->method) == NID_ad_OCSP)
            return true;
    return false;
}

static bool points_have_urls(const struct lint_subject *it)
{
    if (it->points && sk_DIST_POINT_num(it->points) == 0)
        return false;
    for (int i = 0; i < sk_DIST_POINT_num(it->points); i++) {
        const GENERAL_NAMES *urls = lint_full_name(sk_DIST_POINT_value(it->points, i));
        if (sk_GENERAL_NAME_num(urls) < 1)
            return false;
        for (int k = 0; k < sk_GENERAL_NAME_num(urls); k++)
            if (!lint_is_url(sk_GENERAL_NAME_value(urls, k), ""))
                return false;
    }
    return true;
}

static bool tls_feature_has_form(const struct lint_subject *it)
{
    static const uint8_t status_request[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    return !lint_has(it, NID_tlsfeature) ||
           lint_value_is(it, NID_tlsfeature, BYTES_OF(status_request));
}

static bool no_rev_avail_has_form(const struct lint_subject *it)
{
    static const uint8_t null[] = {0x05, 0x00};
    return !lint_has(it, NID_no_rev_avail) || lint_value_is(it, NID_no_rev_avail, BYTES_OF(null));
}

static bool no_rev_avail_is_alone(const struct lint_subject *it)
{
    return !lint_has(it, NID_no_rev_avail) ||
           (!names_ocsp(it) && !lint_has(it, NID_crl_distribution_points) &&
            !lint_has(it, NID_tlsfeature));
}

static bool no_rev_avail_is_short(const struct lint_subject *it)
{
    return !lint_has(it, NID_no_rev_avail) || it->not_after - it->not_before < SHORT_LIVED_BELOW_S;
}

static bool policies_are_not_empty(const struct lint_subject *it)
{
    return !it->policies || sk_POLICYINFO_num(it->policies) > 0;
}

static bool no_policy_twice(const struct lint_subject *it)
{
    for (int i = 0; i < sk_POLICYINFO_num(it->policies); i++)
        for (int k = i + 1; k < sk_POLICYINFO_num(it->policies); k++)
            if (OBJ_cmp(sk_POLICYINFO_value(it->policies, i)->policyid,
                        sk_POLICYINFO_value(it->policies, k)->policyid) == 0)
                return false;
    return true;
}

static bool policies_are_allowed(const struct lint_subject *it)
{
    for (int i = 0; i < sk_POLICYINFO_num(it->policies); i++) {
        char oid[256] = "";
        (void)OBJ_obj2txt(oid, sizeof oid, sk_POLICYINFO_value(it->policies, i)->policyid, 1);
        if (it->facts->allowed_policies.count > 0 &&
            !text_list_has(&it->facts->allowed_policies, oid))
            return false;
    }
    return true;
}

static const struct lint_rule rules[] = {
    {"RFC 5280 4.2",      "no extension may occur twice",              no_extension_twice       },
    {"RFC 5280 4.2",      "extensions must be readable",               extensions_are_readable  },
    {"RFC 5280 4.2",      "critical extension is none of a leaf",      criticality_is_usual     },
    {"RFC 5280 4.2.1.10", "extensions of a CA must be absent",         no_extension_of_cas      },
    {"RFC 5280 4.2.1.9",  "basicConstraints must be critical",         has_constraints          },
    {"RFC 5280 4.2.1.9",  "basicConstraints must not say CA",          is_no_ca                 },
    {"RFC 5280 4.2.1.9",  "a leaf must not have a path length",        has_no_path_len          },
    {"RFC 5280 4.2.1.3",  "keyUsage must be there and critical",       has_usage                },
    {"RFC 5280 4.2.1.3",  "keyUsage must not be empty",                usage_is_not_empty       },
    {"RFC 5280 4.2.1.3",  "keyUsage must not sign certificates",       usage_signs_nothing      },
    {"RFC 8813 3",        "only RSA keys may encipher",                only_rsa_enciphers       },
    {"RFC 3279 2.3.1",    "only EC keys may have keyAgreement",        only_ec_agrees           },
    {"RFC 5280 4.2.1.3",  "encipherOnly, decipherOnly need agreement", narrowing_has_object     },
    {"RFC 5280 4.2.1.12", "extKeyUsage must not be empty",             ekus_are_not_empty       },
    {"RFC 5280 4.2.1.12", "extKeyUsage must not be any",               ekus_are_not_any         },
    {"RFC 6960 4.2.2.2",  "extKeyUsage must not sign OCSP responses",  ekus_sign_no_ocsp        },
    {"RFC 3161 2.3",      "timeStamping must be alone and critical",   time_stamping_is_alone   },
    {"RFC 5280 4.2.1.12", "no extended key usage may occur twice",     no_eku_twice             },
    {"CA facts",          "extKeyUsage must be the CA's to give",      ekus_are_allowed         },
    {"RFC 5280 4.2.1.2",  "SKI must be there and not critical",        has_subject_key_id       },
    {"RFC 7093 2",        "SKI must be of the key",                    subject_key_id_is_derived},
    {"RFC 5280 4.2.1.1",  "AKI must be there and not critical",        has_authority_key_id     },
    {"RFC 5280 4.2.1.1",  "AKI must be the CA's",                      authority_key_id_matches },
    {"RFC 5280 4.2.2.1",  "authorityInfoAccess must hold URLs",        access_has_urls          },
    {"RFC 5280 4.2.1.13", "cRLDistributionPoints must hold URLs",      points_have_urls         },
    {"RFC 7633 4.1",      "tlsfeature must be status_request alone",   tls_feature_has_form     },
    {"RFC 9608 2",        "noRevAvail must be NULL",                   no_rev_avail_has_form    },
    {"RFC 9608 3",        "noRevAvail excludes OCSP, CRL, tlsfeature", no_rev_avail_is_alone    },
    {"RFC 9608 3",        "noRevAvail needs a life below one hour",    no_rev_avail_is_short    },
    {"RFC 5280 4.2.1.4",  "certificatePolicies must not be empty",     policies_are_not_empty   },
    {"RFC 5280 4.2.1.4",  "no policy may occur twice",                 no_policy_twice          },
    {"CA facts",          "policies must be the CA's to give",         policies_are_allowed     },
};
const struct lint_rules lint_extension_rules = {rules, ARRAY_SIZE(rules)};
