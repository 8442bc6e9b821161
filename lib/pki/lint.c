/* lib/pki/lint.c: RFC 5280's rules for a leaf, held against the dry output of our encoder.
 *
 * OpenSSL reads the names and extensions that der.c wrote, so a rule fails for another reason than
 * the one for which the encoder went wrong. It is not given the whole: it would decode the key,
 * which costs more than all rules together. That it reads the whole and encodes it alike is a test
 * (lint/openssl_reads_the_whole). The rules are in lint_fields.c, lint_extensions.c, lint_names.c
 * and lint_warnings.c. */
#include "pki/lint.h"

#include <limits.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/extension.h"
#include "pki/key.h"
#include "pki/lint_private.h"

#include "core/banned.h"

AUTO_DEFINE(EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free)
AUTO_DEFINE(ASN1_BIT_STRING, ASN1_BIT_STRING_free)
AUTO_DEFINE(AUTHORITY_KEYID, AUTHORITY_KEYID_free)
AUTO_DEFINE(AUTHORITY_INFO_ACCESS, AUTHORITY_INFO_ACCESS_free)
AUTO_DEFINE(CRL_DIST_POINTS, CRL_DIST_POINTS_free)
AUTO_DEFINE(CERTIFICATEPOLICIES, CERTIFICATEPOLICIES_free)

/* NULL when absent. */
X509_EXTENSION *lint_find(const struct lint_subject *it, int nid)
{
    const int index = X509v3_get_ext_by_NID(it->extensions, nid, -1);
    return index < 0 ? NULL : X509v3_get_ext(it->extensions, index);
}

bool lint_has(const struct lint_subject *it, int nid)
{
    return lint_find(it, nid) != NULL;
}

bool lint_is_critical(const struct lint_subject *it, int nid)
{
    X509_EXTENSION *extension = lint_find(it, nid);
    return extension && X509_EXTENSION_get_critical(extension) == 1;
}

struct bytes lint_octets(const ASN1_STRING *string)
{
    return (struct bytes){ASN1_STRING_get0_data(string),
                          (size_t)ASN1_STRING_length(string)}; /* not negative */
}

bool lint_value_is(const struct lint_subject *it, int nid, struct bytes wanted)
{
    X509_EXTENSION *extension = lint_find(it, nid);
    return extension && bytes_equal(lint_octets(X509_EXTENSION_get_data(extension)), wanted);
}

bool lint_grants(const struct lint_subject *it, int nid)
{
    for (int i = 0; i < sk_ASN1_OBJECT_num(it->ekus); i++)
        if (OBJ_obj2nid(sk_ASN1_OBJECT_value(it->ekus, i)) == nid)
            return true;
    return false;
}

bool lint_subject_is_empty(const struct lint_subject *it)
{
    return X509_NAME_entry_count(it->subject) == 0;
}

bool lint_is_url(const GENERAL_NAME *location, const char *prefix)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    int type = -1;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(location, &type);

    if (type != GEN_URI)
        return false;
    const struct bytes text = lint_octets(value);
    const struct name name = {
        NAME_URI, mem_text_n(scratch, (const char *)text.data, text.size)}; /* the same octets */
    return !name_rule_broken(&name) && text_starts(name.value, prefix);
}

/* One point with the fullName form, as 04 section 6.6 says. */
const GENERAL_NAMES *lint_full_name(const DIST_POINT *point)
{
    return point->distpoint && point->distpoint->type == 0 ? point->distpoint->name.fullname : NULL;
}

/* Whether some name of the type is there. */
bool lint_names_type(const struct lint_subject *it, int type)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(it->names); i++)
        if (sk_GENERAL_NAME_value(it->names, i)->type == type)
            return true;
    return false;
}

static bool read_whole(struct bytes *from, struct bytes *ret_whole)
{
    return der_read(from, NULL, NULL, ret_whole);
}

/* What may stand behind the key: two unique identifiers and the extensions, nothing else. */
static bool walk_rest(struct lint_subject *it, struct bytes rest)
{
    const bool issuer_id = der_read_tag(&rest, DER_CONTEXT(1), NULL);
    const bool subject_id = der_read_tag(&rest, DER_CONTEXT(2), NULL);

    it->has_unique_ids = issuer_id || subject_id;
    return rest.size == 0 ||
           (der_read_tag(&rest, DER_CONTEXT_CONSTRUCTED(3), &it->extension_list) && rest.size == 0);
}

/* The fields as octets; `ret_subject` with its header. */
static bool walk(struct lint_subject *it, struct bytes *ret_subject)
{
    struct bytes tbs = it->tbs;
    struct bytes inside;
    struct bytes validity;

    if (!der_read_tag(&tbs, DER_SEQUENCE, &inside) || tbs.size != 0)
        return false;
    (void)der_read_tag(&inside, DER_CONTEXT_CONSTRUCTED(0), &it->version);
    return der_read_tag(&inside, DER_INTEGER, &it->serial) && read_whole(&inside, &it->algorithm) &&
           read_whole(&inside, &it->issuer) && der_read_tag(&inside, DER_SEQUENCE, &validity) &&
           der_read(&validity, &it->times[0].tag, &it->times[0].text, NULL) &&
           der_read(&validity, &it->times[1].tag, &it->times[1].text, NULL) && validity.size == 0 &&
           read_whole(&inside, ret_subject) && read_whole(&inside, &it->spki) &&
           walk_rest(it, inside);
}

/* NULL: the octets are no Name, or more than that. */
static X509_NAME *read_name(struct bytes whole)
{
    const uint8_t *at = whole.data;
    AUTO(X509_NAME) *name = d2i_X509_NAME(NULL, &at, (long)whole.size); /* some KiB */

    return name && at == whole.data + whole.size ? TAKE(name) : NULL;
}

/* NULL: as above. */
static X509_EXTENSION_STACK *read_extensions(struct bytes whole)
{
    const uint8_t *at = whole.data;
    AUTO(X509_EXTENSION_STACK) *list = d2i_X509_EXTENSIONS(NULL, &at, (long)whole.size);

    return list && at == whole.data + whole.size ? TAKE(list) : NULL;
}

/* Seconds since 1970, in more forms than a certificate may have: which one it has is for the rules
 * to judge. */
static bool read_time(const struct lint_time *field, int64_t *ret_unix_s)
{
    int days = 0;
    int seconds = 0;
    AUTO(ASN1_TIME) *epoch = ASN1_TIME_set(NULL, 0);
    AUTO(ASN1_TIME) *time = ASN1_STRING_type_new(field->tag);

    if (!epoch || !time)
        mem_exhausted(0, "ASN1_TIME");
    if (ASN1_STRING_set(time, field->text.data, (int)field->text.size) != 1 || /* some KiB */
        ASN1_TIME_diff(&days, &seconds, epoch, time) != 1)
        return false;
    *ret_unix_s = INT64_C(86400) * days + seconds;
    return true;
}

static const struct lint_rule *first_broken(const struct lint_rules *rules,
                                            const struct lint_subject *it)
{
    for (size_t i = 0; i < rules->count; i++)
        if (!rules->items[i].holds(it))
            return &rules->items[i];
    return NULL;
}

static bool run(TALLOC_CTX *ctx, const struct lint_subject *it, struct text_list *ret_warnings,
                struct fault *fault)
{
    static const struct lint_rules *const errors[] = {&lint_field_rules, &lint_extension_rules,
                                                      &lint_name_rules};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        const struct lint_rule *broken = first_broken(errors[i], it);
        if (broken)
            return fault_set(fault, CERTIFICATE_LINT, NULL, "%s: %s", broken->clause, broken->text);
    }
    for (size_t i = 0; i < lint_warning_rules.count; i++) {
        const struct lint_rule *rule = &lint_warning_rules.items[i];
        if (!rule->holds(it))
            text_list_add(ctx, ret_warnings,
                          mem_printf(scratch, "%s: %s", rule->clause, rule->text));
    }
    return true;
}

/* The typed extensions, for as long as the rules run. */
static bool read_and_run(TALLOC_CTX *ctx, struct lint_subject *it, struct text_list *ret_warnings,
                         struct fault *fault)
{
    const X509_EXTENSION_STACK *list = it->extensions;
    AUTO(GENERAL_NAMES) *names = X509V3_get_d2i(list, NID_subject_alt_name, NULL, NULL);
    AUTO(EXTENDED_KEY_USAGE) *ekus = X509V3_get_d2i(list, NID_ext_key_usage, NULL, NULL);
    AUTO(BASIC_CONSTRAINTS) *basic = X509V3_get_d2i(list, NID_basic_constraints, NULL, NULL);
    AUTO(ASN1_BIT_STRING) *usage = X509V3_get_d2i(list, NID_key_usage, NULL, NULL);
    AUTO(AUTHORITY_INFO_ACCESS) *access = X509V3_get_d2i(list, NID_info_access, NULL, NULL);
    AUTO(CRL_DIST_POINTS) *points = X509V3_get_d2i(list, NID_crl_distribution_points, NULL, NULL);
    AUTO(CERTIFICATEPOLICIES) *policies = X509V3_get_d2i(list, NID_certificate_policies, NULL,
                                                         NULL);
    AUTO(AUTHORITY_KEYID) *authority = X509V3_get_d2i(list, NID_authority_key_identifier, NULL,
                                                      NULL);

    it->names = names;
    it->ekus = ekus;
    it->basic = basic;
    it->usage = usage;
    it->access = access;
    it->points = points;
    it->policies = policies;
    it->authority = authority;
    return run(ctx, it, ret_warnings, fault);
}

/* The parts that OpenSSL reads, for as long as the rules run. */
static bool read_parts(TALLOC_CTX *ctx, struct lint_subject *it, struct bytes subject_der,
                       struct text_list *ret_warnings, struct fault *fault)
{
    AUTO(X509_NAME) *issuer = read_name(it->issuer);
    AUTO(X509_NAME) *subject = read_name(subject_der);
    AUTO(X509_EXTENSION_STACK) *extensions = read_extensions(it->extension_list);

    if (!issuer || !subject || (it->extension_list.size != 0 && !extensions)) {
        fault_set(fault, CERTIFICATE_LINT, NULL, "RFC 5280 section 4.1: no TBSCertificate");
        return fault_cause_openssl(fault, "d2i of names or extensions");
    }
    it->issuer_name = issuer;
    it->subject = subject;
    it->extensions = extensions;
    return read_and_run(ctx, it, ret_warnings, fault);
}

bool certificate_lint(TALLOC_CTX *ctx, struct bytes tbs, const struct issuer_facts *facts,
                      struct text_list *ret_warnings, struct fault *fault)
{
    struct lint_subject it = {.facts = facts, .tbs = tbs};
    struct bytes subject;
    struct fault ignored = {0};

    if (!walk(&it, &subject))
        return fault_set(fault, CERTIFICATE_LINT, NULL, "RFC 5280 section 4.1: no TBSCertificate");
    if (!read_time(&it.times[0], &it.not_before) || !read_time(&it.times[1], &it.not_after))
        return fault_set(fault, CERTIFICATE_LINT, NULL, "RFC 5280 section 4.1.2.5: no times");
    it.has_key = key_facts_from_spki(it.spki, &it.key, &ignored);
    return read_parts(ctx, &it, subject, ret_warnings, fault);
}

/* False: a CA of ours has no such key. */
static bool algorithm_of(const struct key_facts *key, enum signature_algorithm *ret)
{
    if (key->kind == KEY_ECDSA && key->bits != 256 && key->bits != 384)
        return false;
    *ret = key->kind == KEY_RSA ? SIGNATURE_RSA_SHA256
           : key->bits == 256   ? SIGNATURE_ECDSA_SHA256
                                : SIGNATURE_ECDSA_SHA384;
    return key->bits != 0 && key->kind != KEY_ED25519;
}

bool certificate_lint_signed(TALLOC_CTX *ctx, const struct certificate *leaf,
                             const struct certificate *ca, struct text_list *ret_warnings,
                             struct fault *fault)
{
    struct issuer_facts facts = {
        .subject_der = ca->subject_der,
        .ski = ca->key_id,
        .not_before = ca->not_before,
        .not_after = ca->not_after,
        .ceiling_s = INT64_MAX,
        .allowed_ekus = UINT_MAX,
    };
    struct bytes der = leaf->der;
    struct bytes inside;
    struct bytes tbs;

    if (!algorithm_of(&ca->key, &facts.algorithm))
        return fault_set(fault, CERTIFICATE_LINT, NULL,
                         "RFC 5280 4.1.2.3: the CA's key is of a kind that signs nothing here");
    if (!der_read_tag(&der, DER_SEQUENCE, &inside) || !der_read(&inside, NULL, NULL, &tbs))
        return fault_set(fault, CERTIFICATE_LINT, NULL, "RFC 5280 section 4.1: no TBSCertificate");
    return certificate_lint(ctx, tbs, &facts, ret_warnings, fault);
}
