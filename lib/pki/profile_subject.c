/* lib/pki/profile_subject.c: which attributes of a subject a certificate bears (04 section 6.3). */
#include <stdlib.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/der.h"
#include "pki/profile_private.h"

#include "core/banned.h"

/* RFC 5280 appendix A.1, ub-common-name. */
#define COMMON_NAME_MAX 64
#define COMMON_NAME     "2.5.4.3"
#define ATTRIBUTES_MAX  16

/* 04 section 7.5: those that are attributes of a subject, in the order in which they are written
 * where nobody says another: from the country down. */
static const struct {
    const char *name;
    const char *oid;
} attributes[] = {
    {"countryName",            "2.5.4.6"              },
    {"stateOrProvinceName",    "2.5.4.8"              },
    {"localityName",           "2.5.4.7"              },
    {"organizationName",       "2.5.4.10"             },
    {"organizationalUnitName", "2.5.4.11"             },
    {"title",                  "2.5.4.12"             },
    {"surname",                "2.5.4.4"              },
    {"serialNumber",           "2.5.4.5"              },
    {"deviceSerialNumber",     "1.3.6.1.4.1.311.21.14"},
    {"unstructuredName",       "1.2.840.113549.1.9.2" },
    {"unstructuredAddress",    "1.2.840.113549.1.9.8" },
    {"emailAddress",           "1.2.840.113549.1.9.1" },
    {"commonName",             "2.5.4.3"              },
};

/* A name of the table, or a dotted OID that stands for itself; NULL where it is neither. */
static const char *oid_of(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        if (text_equal(attributes[i].name, text))
            return attributes[i].oid;
    return text && der_oid_valid(text) ? text : NULL;
}

static const char *name_of(const char *oid)
{
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        if (text_equal(attributes[i].oid, oid))
            return attributes[i].name;
    return oid;
}

static const char *list_read(TALLOC_CTX *ctx, const json_t *object, const char *member,
                             struct text_list *ret_oids)
{
    const json_t *array = json_object_get(object, member);
    struct text_list oids = {NULL, 0};

    if (array && !json_is_array(array))
        return mem_printf(ctx, "%s is no array of attribute names", member);
    if (json_array_size(array) > ATTRIBUTES_MAX)
        return mem_printf(ctx, "%s has more than %d attributes", member, ATTRIBUTES_MAX);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        const char *oid = oid_of(text);
        if (!oid)
            return mem_printf(ctx, "%s[%zu] is no attribute name and no OID", member, i);
        text_list_add(ctx, &oids, oid);
    }
    *ret_oids = oids;
    return NULL;
}

/* Country codes are PrintableString, e-mail addresses IA5 (RFC 5280 appendix A.1). */
static enum rdn_string string_for(const char *oid)
{
    if (text_equal(oid, "2.5.4.6") || text_equal(oid, "2.5.4.5"))
        return RDN_PRINTABLE;
    return text_equal(oid, "1.2.840.113549.1.9.1") ? RDN_IA5 : RDN_UTF8;
}

static size_t rank_of(const char *oid)
{
    size_t rank = 0;

    while (rank < ARRAY_SIZE(attributes) && !text_equal(attributes[rank].oid, oid))
        rank++;
    return rank;
}

/* The members of a JSON object have no order. */
static int by_rank(const void *a, const void *b)
{
    const struct rdn *left = a;
    const struct rdn *right = b;
    const size_t left_rank = rank_of(left->oid);
    const size_t right_rank = rank_of(right->oid);

    if (left_rank != right_rank)
        return left_rank < right_rank ? -1 : 1;
    return strcmp(left->oid, right->oid);
}

static const char *fixed_read(TALLOC_CTX *ctx, json_t *fixed, struct subject_policy *policy)
{
    const char *name;
    json_t *value;

    if (fixed && !json_is_object(fixed))
        return "fixed is no object of attribute names and texts";
    if (json_object_size(fixed) > ATTRIBUTES_MAX)
        return mem_printf(ctx, "fixed has more than %d attributes", ATTRIBUTES_MAX);
    policy->fixed = mem_array(ctx, struct rdn, json_object_size(fixed));
    json_object_foreach (fixed, name, value) {
        const char *oid = oid_of(name);
        const char *text = json_string_value(value);
        struct fault ignored = {0};

        if (!oid || text_equal(oid, COMMON_NAME))
            return mem_printf(ctx, "fixed has %s, which is no attribute that can be fixed",
                              text_quote(ctx, name));
        if (!text || *text == '\0' || strlen(text) > 255 ||
            !name_text_check(name, text, strlen(text), &ignored))
            return mem_printf(ctx, "fixed.%s is no text of 1 to 255 bytes", name_of(oid));
        if (text_equal(oid, "2.5.4.6") && strlen(text) != 2)
            return "fixed.countryName is no country code of 2 letters";
        policy->fixed[policy->fixed_count++] = (struct rdn){mem_text(ctx, oid), string_for(oid),
                                                            mem_text(ctx, text)};
    }
    qsort(policy->fixed, policy->fixed_count, sizeof *policy->fixed, by_rank);
    return NULL;
}

static const char *unknown_member(TALLOC_CTX *ctx, json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value)
        if (!text_equal(name, "allowed") && !text_equal(name, "required") &&
            !text_equal(name, "fixed"))
            return mem_printf(ctx, "%s is none of allowed, required, fixed", text_quote(ctx, name));
    return NULL;
}

const char *subject_policy_read(TALLOC_CTX *ctx, json_t *object, struct subject_policy *ret_policy)
{
    struct subject_policy policy = {.limits = json_object_get(object, "allowed") != NULL};
    const char *problem = unknown_member(ctx, object);

    if (!problem)
        problem = list_read(ctx, object, "allowed", &policy.allowed);
    if (!problem)
        problem = list_read(ctx, object, "required", &policy.required);
    if (!problem)
        problem = fixed_read(ctx, json_object_get(object, "fixed"), &policy);
    if (!problem)
        *ret_policy = policy;
    return problem;
}

bool profile_set_subject_policy(struct profile *profile, const char *json, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *object = json ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : json_object();
    TALLOC_CTX *held = talloc_new(scratch);
    struct subject_policy policy = {0};

    if (!json_is_object(object))
        return profile_unavailable(fault, "subject_policy", "is no JSON object");
    const char *problem = subject_policy_read(held, object, &policy);
    if (problem)
        return profile_unavailable(fault, "subject_policy", problem);
    profile->subject = policy;
    (void)talloc_steal(profile, held);
    return true;
}

/* --- the subject of one certificate --- */

static const struct rdn *attribute_find(const struct rdn *rdns, size_t count, const char *oid)
{
    for (size_t i = 0; i < count; i++)
        if (text_equal(rdns[i].oid, oid))
            return &rdns[i];
    return NULL;
}

static bool required_are_there(const struct profile *profile, const struct csr *csr,
                               struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < profile->subject.required.count; i++) {
        const char *oid = profile->subject.required.items[i];
        const struct rdn *found = attribute_find(csr->subject, csr->subject_count, oid);
        if (!found || *found->value == '\0')
            return fault_set(fault, CSR_NAME_REJECTED, "csr",
                             "CSR Subject has no %s, which subject_policy of profile %s requires",
                             name_of(oid), text_quote(scratch, profile->name));
    }
    return true;
}

static size_t characters_of(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += ((uint8_t)*text & 0xc0U) != 0x80U;
    return count;
}

/* *ret_fits false: it is left out, since a name of the certificate says the same. */
static bool common_name_fits(const struct name_list *names, const char *text, bool *ret_fits,
                             struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    *ret_fits = characters_of(text) <= COMMON_NAME_MAX;
    if (*ret_fits)
        return true;
    for (size_t i = 0; i < names->count; i++)
        if (text_equal_nocase(names->items[i].value, text))
            return true;
    return fault_set(fault, CSR_NAME_REJECTED, "csr",
                     "CSR Subject.CommonName rejected: %s is longer than %d characters and no "
                     "subjectAltName",
                     text_quote(scratch, text), COMMON_NAME_MAX);
}

static bool is_taken_over(const struct profile *profile, const struct csr *csr,
                          const struct rdn *rdn, bool common_name_alone)
{
    const struct subject_policy *policy = &profile->subject;

    if (*rdn->value == '\0' || (policy->limits && !text_list_has(&policy->allowed, rdn->oid)) ||
        attribute_find(policy->fixed, policy->fixed_count, rdn->oid))
        return false;
    if (text_equal(rdn->oid, COMMON_NAME))
        return text_equal(rdn->value, csr->common_name);
    return !common_name_alone;
}

bool profile_subject(TALLOC_CTX *ctx, const struct profile *profile, const struct csr *csr,
                     const struct name_list *names, bool common_name_alone,
                     struct profile_subject *ret_subject, struct fault *fault)
{
    const struct subject_policy *policy = &profile->subject;
    struct profile_subject subject = {NULL, 0};

    if (!required_are_there(profile, csr, fault))
        return false;
    subject.rdns = mem_array(ctx, struct rdn, policy->fixed_count + csr->subject_count);
    for (size_t i = 0; i < policy->fixed_count; i++)
        subject.rdns[subject.count++] = policy->fixed[i];
    for (size_t i = 0; i < csr->subject_count; i++) {
        const struct rdn *rdn = &csr->subject[i];
        bool fits = true;
        if (!is_taken_over(profile, csr, rdn, common_name_alone) ||
            (text_equal(rdn->oid, COMMON_NAME) &&
             attribute_find(subject.rdns, subject.count, COMMON_NAME)))
            continue;
        if (text_equal(rdn->oid, COMMON_NAME) && !common_name_fits(names, rdn->value, &fits, fault))
            return false;
        if (fits)
            subject.rdns[subject.count++] = *rdn;
    }
    *ret_subject = subject;
    return true;
}
