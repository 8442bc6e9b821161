/* lib/pki/lint_private.h: what lint.c prepares and the files of rules look at; for these alone.
 *
 * A rule is a sentence that must hold. To add one: a function in the file of its subject, a line in
 * its table, and a case in tests/unit/pki/lint.c that breaks it. */
#ifndef CERTCTL_PKI_LINT_PRIVATE_H
#define CERTCTL_PKI_LINT_PRIVATE_H

#include <openssl/x509v3.h>
#include <stdbool.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "pki/compose.h"
#include "pki/key.h"

struct lint_time {
    uint8_t tag;
    struct bytes text;
};

/* What the rules look at. Everything is borrowed for the length of one certificate_lint. */
struct lint_subject {
    const struct issuer_facts *facts;
    struct bytes tbs;
    struct bytes version; /* content of [0]; empty when it is missing, which is v1 */
    struct bytes serial;
    struct bytes algorithm;
    struct bytes issuer;
    struct lint_time times[2];
    struct bytes spki;
    bool has_unique_ids;
    struct bytes extension_list; /* content of [3] */
    const X509_NAME *issuer_name;
    const X509_NAME *subject;
    const X509_EXTENSION_STACK *extensions; /* NULL: there are none */
    int64_t not_before;
    int64_t not_after;
    bool has_key;
    struct key_facts key;
    const GENERAL_NAMES *names; /* NULL: absent or unreadable, like all of the following */
    const EXTENDED_KEY_USAGE *ekus;
    const BASIC_CONSTRAINTS *basic;
    const ASN1_BIT_STRING *usage;
    const AUTHORITY_INFO_ACCESS *access;
    const CRL_DIST_POINTS *points;
    const CERTIFICATEPOLICIES *policies;
    const AUTHORITY_KEYID *authority;
};

struct lint_rule {
    const char *clause;
    const char *text;
    bool (*holds)(const struct lint_subject *it);
};

struct lint_rules {
    const struct lint_rule *items;
    size_t count;
};
extern const struct lint_rules lint_field_rules;
extern const struct lint_rules lint_extension_rules;
extern const struct lint_rules lint_name_rules;
extern const struct lint_rules lint_warning_rules;

/* NULL when absent. */
X509_EXTENSION *lint_find(const struct lint_subject *it, int nid);
bool lint_has(const struct lint_subject *it, int nid);
bool lint_is_critical(const struct lint_subject *it, int nid);
struct bytes lint_octets(const ASN1_STRING *string);
bool lint_value_is(const struct lint_subject *it, int nid, struct bytes wanted);
bool lint_grants(const struct lint_subject *it, int nid);
bool lint_subject_is_empty(const struct lint_subject *it);
bool lint_is_url(const GENERAL_NAME *location, const char *prefix);
/* One point with the fullName form, as 04 section 6.6 says. */
const GENERAL_NAMES *lint_full_name(const DIST_POINT *point);
/* Whether some name of the type is there. */
bool lint_names_type(const struct lint_subject *it, int type);

#endif
