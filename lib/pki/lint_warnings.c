/* lib/pki/lint_warnings.c: what a public CA would be told; reported, never refused. */
#include <openssl/x509v3.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/extension.h"
#include "pki/key.h"
#include "pki/lint_private.h"

#include "core/banned.h"

/* BR 6.3.2 as of 2020; told, not enforced. */
#define SERVER_LIFE_DAYS 398

static bool criticality_is_needed(const struct lint_subject *it)
{
    return lint_subject_is_empty(it) || !lint_is_critical(it, NID_subject_alt_name);
}

static bool servers_have_names(const struct lint_subject *it)
{
    return !lint_grants(it, NID_server_auth) || lint_names_type(it, GEN_DNS) ||
           lint_names_type(it, GEN_IPADD);
}

static bool servers_live_short(const struct lint_subject *it)
{
    return !lint_grants(it, NID_server_auth) ||
           it->not_after - it->not_before <= INT64_C(86400) * SERVER_LIFE_DAYS;
}

static bool name_list_holds(const struct lint_subject *it, struct bytes wanted)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(it->names); i++) {
        int type = -1;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(it->names, i),
                                                           &type);
        if ((type == GEN_DNS || type == GEN_EMAIL) && bytes_equal(lint_octets(value), wanted))
            return true;
    }
    return false;
}

static bool common_name_is_a_name(const struct lint_subject *it)
{
    const X509_NAME *subject = it->subject;
    const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (!lint_grants(it, NID_server_auth) || index < 0 || !lint_names_type(it, GEN_DNS))
        return true;
    return name_list_holds(
        it, lint_octets(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index))));
}

/* RFC 5280 section 8: to check an https URL's certificate one may need the very answer. */
static bool urls_are_not_circular(const struct lint_subject *it)
{
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(it->access); i++)
        if (lint_is_url(sk_ACCESS_DESCRIPTION_value(it->access, i)->location, "https:"))
            return false;
    for (int i = 0; i < sk_DIST_POINT_num(it->points); i++) {
        const GENERAL_NAMES *urls = lint_full_name(sk_DIST_POINT_value(it->points, i));
        for (int k = 0; k < sk_GENERAL_NAME_num(urls); k++)
            if (lint_is_url(sk_GENERAL_NAME_value(urls, k), "https:"))
                return false;
    }
    return true;
}

static const struct lint_rule rules[] = {
    {"RFC 5280 4.2.1.6", "beside a subject names should be uncritical", criticality_is_needed},
    {"RFC 5280 8",       "URLs for revocation should not be https",     urls_are_not_circular},
    {"BR 7.1.2.7.12",    "a server should have a host name or address", servers_have_names   },
    {"BR 6.3.2",         "a server's life should be at most 398 days",  servers_live_short   },
    {"BR 7.1.4.3",       "common name should be one of the names",      common_name_is_a_name},
};
const struct lint_rules lint_warning_rules = {rules, ARRAY_SIZE(rules)};
