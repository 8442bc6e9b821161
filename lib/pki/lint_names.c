/* lib/pki/lint_names.c: rules for whom a leaf names (RFC 5280 section 4.2.1.6 and 4.2.1.10). */
#include <openssl/x509v3.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/constraint.h"
#include "pki/extension.h"
#include "pki/key.h"
#include "pki/lint_private.h"

#include "core/banned.h"

static bool somebody_is_named(const struct lint_subject *it)
{
    return lint_has(it, NID_subject_alt_name) || !lint_subject_is_empty(it);
}

static bool names_are_critical_alone(const struct lint_subject *it)
{
    return !lint_subject_is_empty(it) || lint_is_critical(it, NID_subject_alt_name);
}

static bool names_are_not_empty(const struct lint_subject *it)
{
    return !lint_has(it, NID_subject_alt_name) || sk_GENERAL_NAME_num(it->names) > 0;
}

static bool no_name_twice(const struct lint_subject *it)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(it->names); i++)
        for (int k = i + 1; k < sk_GENERAL_NAME_num(it->names); k++)
            /* GENERAL_NAME_cmp takes both without const and changes neither */
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(it->names, i),
                                 sk_GENERAL_NAME_value(it->names, k)) == 0)
                return false;
    return true;
}

/* Every name of the type must be text that a certificate can bear. */
static bool texts_hold(const struct lint_subject *it, int type, enum name_kind kind)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(it->names); i++) {
        int found = -1;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(it->names, i),
                                                           &found);
        if (found != type)
            continue;
        const struct bytes text = lint_octets(value);
        const struct name name = {
            kind, mem_text_n(scratch, (const char *)text.data, text.size)}; /* the same octets */
        if (strlen(name.value) != text.size || name_rule_broken(&name))
            return false;
    }
    return true;
}

static bool dns_names_hold(const struct lint_subject *it)
{
    return texts_hold(it, GEN_DNS, NAME_DNS);
}

static bool emails_hold(const struct lint_subject *it)
{
    return texts_hold(it, GEN_EMAIL, NAME_EMAIL);
}

static bool uris_hold(const struct lint_subject *it)
{
    return texts_hold(it, GEN_URI, NAME_URI);
}

static bool addresses_hold(const struct lint_subject *it)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(it->names); i++) {
        int type = -1;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(it->names, i),
                                                           &type);
        if (type == GEN_IPADD && ASN1_STRING_length(value) != 4 && ASN1_STRING_length(value) != 16)
            return false;
    }
    return true;
}

static bool name_types_are_known(const struct lint_subject *it)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(it->names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(it->names, i);
        char oid[80] = "";
        if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI ||
            name->type == GEN_IPADD)
            continue;
        if (name->type != GEN_OTHERNAME)
            return false;
        (void)OBJ_obj2txt(oid, sizeof oid, name->d.otherName->type_id, 1);
        if (!text_equal(oid, "1.3.6.1.4.1.311.20.2.3") ||
            ASN1_TYPE_get(name->d.otherName->value) != V_ASN1_UTF8STRING)
            return false;
    }
    return true;
}

static bool add_subtrees(struct stack_st_GENERAL_SUBTREE **ret, const struct text_list *bases)
{
    for (size_t i = 0; i < bases->count; i++) {
        struct constraint base;
        if (!constraint_read(bases->items[i], &base))
            continue; /* the signer refuses such facts */
        GENERAL_SUBTREE *subtree = GENERAL_SUBTREE_new();
        if (!*ret)
            *ret = sk_GENERAL_SUBTREE_new_null();
        if (!subtree || !*ret || sk_GENERAL_SUBTREE_push(*ret, subtree) <= 0)
            mem_exhausted(0, "name constraints");
        GENERAL_NAME_free(subtree->base);
        subtree->base = constraint_to_general_name(&base);
    }
    return *ret != NULL;
}

/* The whole, since NAME_CONSTRAINTS_check takes nothing less. X509_check_purpose fills OpenSSL's
 * cache of the extensions, without which no name is seen; what it thinks of them is not asked. */
static X509 *whole_certificate(const struct lint_subject *it)
{
    static const uint8_t no_signature[64];
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes whole = signed_object_assemble(scratch, it->tbs, it->facts->algorithm,
                                                      BYTES_OF(no_signature));
    const uint8_t *at = whole.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)whole.size); /* our own output, some KiB */

    if (x509)
        (void)X509_check_purpose(x509, -1, 0);
    return x509;
}

/* Held by OpenSSL's reading of the clause, beside the one in compose.c; slow, so only where the CA
 * has constraints. */
static bool names_are_permitted(const struct lint_subject *it)
{
    AUTO(NAME_CONSTRAINTS) *constraints = NAME_CONSTRAINTS_new();
    if (!constraints)
        mem_exhausted(0, "name constraints");
    const bool permits = add_subtrees(&constraints->permittedSubtrees, &it->facts->permitted_dns);
    const bool excludes = add_subtrees(&constraints->excludedSubtrees, &it->facts->excluded_dns);

    if (!permits && !excludes)
        return true;
    AUTO(X509) *x509 = whole_certificate(it);
    return x509 && NAME_CONSTRAINTS_check(x509, constraints) == X509_V_OK &&
           NAME_CONSTRAINTS_check_CN(x509, constraints) == X509_V_OK;
}

static const struct lint_rule rules[] = {
    {"RFC 5280 4.1.2.6",  "subject and subjectAltName are both missing", somebody_is_named       },
    {"RFC 5280 4.2.1.6",  "subjectAltName must not be empty",            names_are_not_empty     },
    {"RFC 5280 4.2.1.6",  "without subject the names must be critical",  names_are_critical_alone},
    {"RFC 5280 4.2.1.6",  "dNSName must be a host name or wildcard",     dns_names_hold          },
    {"RFC 5280 4.2.1.6",  "iPAddress must have 4 or 16 octets",          addresses_hold          },
    {"RFC 5280 4.2.1.6",  "rfc822Name must be a mailbox in ASCII",       emails_hold             },
    {"RFC 5280 4.2.1.6",  "URI must be absolute and in ASCII",           uris_hold               },
    {"RFC 5280 4.2.1.6",  "subjectAltName must hold known types only",   name_types_are_known    },
    {"RFC 5280 4.2.1.6",  "no name may occur twice",                     no_name_twice           },
    {"RFC 5280 4.2.1.10", "names must be inside the CA's constraints",   names_are_permitted     },
};
const struct lint_rules lint_name_rules = {rules, ARRAY_SIZE(rules)};
