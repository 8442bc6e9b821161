/* signer/facts.c: reading a CA's facts file. 04 section 4.0, 00 decision 49. */
#include "signer/facts.h"

#include <openssl/x509v3.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "pki/constraint.h"

#include "core/banned.h"

#define SECONDS_PER_DAY 86400
#define MAX_LEAF_DAYS   36600
#define MAX_LIST        256
#define MAX_SIGNATURES  1000000000
#define MAX_CRL_S       (366 * SECONDS_PER_DAY)
#define MAX_OCSP_S      (366 * SECONDS_PER_DAY)

/* The members as they stand in the file. */
struct facts_file {
    const char *ca_certificate;
    int64_t max_leaf_days;
    struct text_list ocsp_urls;
    struct text_list ca_issuers_urls;
    struct text_list crl_urls;
    struct text_list allowed_ekus;
    struct text_list allowed_policies;
    struct text_list permitted_dns;
    struct text_list excluded_dns;
    int64_t signatures_per_hour_per_peer;
    int64_t crl_validity_seconds;
    int64_t ocsp_validity_seconds;
    bool retired;
};

#define FACT(member) offsetof(struct facts_file, member)

static const struct member members[] = {
    {"ca_certificate",               MEMBER_TEXT,    REQUIRED, FACT(ca_certificate)              },
    {"max_leaf_days",                MEMBER_INTEGER, OPTIONAL, FACT(max_leaf_days)               },
    {"ocsp_urls",                    MEMBER_TEXTS,   OPTIONAL, FACT(ocsp_urls)                   },
    {"ca_issuers_urls",              MEMBER_TEXTS,   OPTIONAL, FACT(ca_issuers_urls)             },
    {"crl_urls",                     MEMBER_TEXTS,   OPTIONAL, FACT(crl_urls)                    },
    {"allowed_ekus",                 MEMBER_TEXTS,   OPTIONAL, FACT(allowed_ekus)                },
    {"allowed_policies",             MEMBER_TEXTS,   OPTIONAL, FACT(allowed_policies)            },
    {"permitted_dns",                MEMBER_TEXTS,   OPTIONAL, FACT(permitted_dns)               },
    {"excluded_dns",                 MEMBER_TEXTS,   OPTIONAL, FACT(excluded_dns)                },
    {"signatures_per_hour_per_peer", MEMBER_INTEGER, OPTIONAL, FACT(signatures_per_hour_per_peer)},
    {"crl_validity_seconds",         MEMBER_INTEGER, OPTIONAL, FACT(crl_validity_seconds)        },
    {"ocsp_validity_seconds",        MEMBER_INTEGER, OPTIONAL, FACT(ocsp_validity_seconds)       },
    {"retired",                      MEMBER_BOOLEAN, OPTIONAL, FACT(retired)                     },
};

static void *refuse(struct fault *fault, const char *member, const char *rule)
{
    return fault_set(fault, SIGNER_MESSAGE, "facts", "facts: %s %s", member, rule);
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (text_equal(members[i].name, name))
            return true;
    return false;
}

/* A misspelt limit must not be no limit. */
static bool check_known(json_t *object, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value) {
        if (!is_known(name))
            return refuse(fault, text_quote(scratch, name), "is no member of a facts file");
        if (json_is_null(value))
            return refuse(fault, name, "is null");
    }
    return true;
}

static bool check_range(const char *member, int64_t value, int64_t least_value, int64_t most_value,
                        struct fault *fault)
{
    if (value < least_value || value > most_value)
        return refuse(fault, member, "is outside its limits");
    return true;
}

static bool check_list(const char *member, const struct text_list *list, const char *characters,
                       struct fault *fault)
{
    if (list->count > MAX_LIST)
        return refuse(fault, member, "has more than 256 items");
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        const size_t length = strlen(item);
        if (length == 0 || length > 512 || strspn(item, characters) != length)
            return refuse(fault, member, "has an item that cannot stand there");
    }
    return true;
}

/* DNS names in lower case, as ever; the other kinds as they are written. */
static bool check_constraints(const char *member, const struct text_list *list, struct fault *fault)
{
    static const char dns[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";

    if (list->count > MAX_LIST)
        return refuse(fault, member, "has more than 256 items");
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        const size_t length = strlen(item);
        struct constraint one;
        if (length == 0 || length > 512 || !constraint_read(item, &one) ||
            (one.kind == NAME_DNS && strspn(item, dns) != length))
            return refuse(fault, member, "has an item that cannot stand there");
    }
    return true;
}

static bool check_urls(const char *member, const struct text_list *list, struct fault *fault)
{
    /* RFC 3986 section 2: unreserved, reserved and the percent sign. */
    static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                              "-._~:/?#[]@!$&'()*+,;=%";

    for (size_t i = 0; i < list->count; i++)
        if (!text_starts(list->items[i], "http://") && !text_starts(list->items[i], "https://") &&
            !text_starts(list->items[i], "ldap://"))
            return refuse(fault, member, "has an item that is no http, https or ldap URL");
    return check_list(member, list, url, fault);
}

static bool check_file(const struct facts_file *file, struct fault *fault)
{
    static const char oid[] = "0123456789.";

    return check_range("max_leaf_days", file->max_leaf_days, 1, MAX_LEAF_DAYS, fault) &&
           check_range("signatures_per_hour_per_peer", file->signatures_per_hour_per_peer, 0,
                       MAX_SIGNATURES, fault) &&
           check_range("crl_validity_seconds", file->crl_validity_seconds, 0, MAX_CRL_S, fault) &&
           check_range("ocsp_validity_seconds", file->ocsp_validity_seconds, 0, MAX_OCSP_S,
                       fault) &&
           check_urls("ocsp_urls", &file->ocsp_urls, fault) &&
           check_urls("ca_issuers_urls", &file->ca_issuers_urls, fault) &&
           check_urls("crl_urls", &file->crl_urls, fault) &&
           check_list("allowed_policies", &file->allowed_policies, oid, fault) &&
           check_constraints("permitted_dns", &file->permitted_dns, fault) &&
           check_constraints("excluded_dns", &file->excluded_dns, fault);
}

static bool read_ekus(const struct text_list *list, unsigned *ret_ekus, struct fault *fault)
{
    unsigned ekus = 0;

    for (size_t i = 0; i < list->count; i++) {
        const unsigned eku = eku_from_text(list->items[i]);
        if (eku == 0)
            return refuse(fault, "allowed_ekus", "names an EKU that no leaf may have");
        ekus |= eku;
    }
    *ret_ekus = ekus;
    return true;
}

/* 04 section 3.2, steps 3, 4 and 8. */
static struct certificate *read_certificate(TALLOC_CTX *ctx, const char *base64,
                                            const struct key *key, struct fault *fault)
{
    struct bytes der;

    if (!base64_to_bytes(ctx, base64, strlen(base64), &der))
        return refuse(fault, "ca_certificate", "is not base64 (RFC 4648 section 4)");
    struct certificate *certificate = certificate_from_der(ctx, der, fault);
    if (!certificate)
        return NULL;
    if (!certificate->is_ca)
        return fault_set(fault, SIGNER_KEY, "facts",
                         "loaded certificate is not a CA (BasicConstraints.IsCA=false)");
    if (!(X509_get_key_usage(certificate->x509) & KU_KEY_CERT_SIGN))
        return fault_set(fault, SIGNER_KEY, "facts",
                         "loaded CA certificate does not have KeyUsageCertSign");
    if (!bytes_equal(certificate->spki, key->spki))
        return fault_set(fault, SIGNER_KEY, "facts", "CA key does not match CA certificate");
    return certificate;
}

static struct ca_facts *make_facts(TALLOC_CTX *ctx, const struct facts_file *file,
                                   const struct certificate *certificate, const struct key *key)
{
    struct ca_facts *facts = mem_new(ctx, struct ca_facts);

    facts->issuer = (struct issuer_facts){
        .subject_der = certificate->subject_der,
        .ski = certificate->key_id,
        .algorithm = key->signature,
        .not_before = certificate->not_before,
        .not_after = certificate->not_after,
        .ceiling_s = file->max_leaf_days * SECONDS_PER_DAY,
        .ocsp_urls = file->ocsp_urls,
        .ca_issuers_urls = file->ca_issuers_urls,
        .crl_urls = file->crl_urls,
        .allowed_policies = file->allowed_policies,
        .permitted_dns = file->permitted_dns,
        .excluded_dns = file->excluded_dns,
    };
    facts->path_len = certificate->path_len;
    facts->retired = file->retired;
    facts->constraints = X509_get_ext_d2i(certificate->x509, NID_name_constraints, NULL, NULL);
    if (facts->constraints)
        mem_adopt(facts, facts->constraints, NAME_CONSTRAINTS_free);
    facts->certificate_sha256 = certificate->fingerprint_sha256;
    facts->signatures_per_hour = file->signatures_per_hour_per_peer;
    facts->crl_validity_s = file->crl_validity_seconds > 0 ? file->crl_validity_seconds
                                                           : CRL_VALIDITY_USUAL_S;
    facts->ocsp_validity_s = file->ocsp_validity_seconds > 0 ? file->ocsp_validity_seconds
                                                             : OCSP_VALIDITY_USUAL_S;
    return facts;
}

struct ca_facts *ca_facts_from_json(TALLOC_CTX *ctx, struct bytes json, const struct key *key,
                                    int64_t default_leaf_days, struct fault *fault)
{
    AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
    struct facts_file file = {.max_leaf_days = default_leaf_days};
    struct fault member = {0};
    unsigned ekus = EKU_SERVER_AUTH | EKU_CLIENT_AUTH;
    AUTO(json_t) *object = json_parse_object(json, SIGNER_MESSAGE, "facts", fault);

    if (!object || !check_known(object, fault))
        return NULL;
    if (!json_decode(kept, object, members, &file, &member))
        return fault_set(fault, SIGNER_MESSAGE, "facts", "facts: %s", member.detail);
    if (!check_file(&file, fault))
        return NULL;
    if (json_object_get(object, "allowed_ekus") && !read_ekus(&file.allowed_ekus, &ekus, fault))
        return NULL;
    const struct certificate *certificate = read_certificate(kept, file.ca_certificate, key, fault);
    if (!certificate)
        return NULL;
    struct ca_facts *facts = make_facts(ctx, &file, certificate, key);
    facts->issuer.allowed_ekus = ekus;
    talloc_steal(facts, TAKE(kept));
    return facts;
}

char *ca_facts_closed(TALLOC_CTX *ctx, struct bytes json, struct fault *fault)
{
    AUTO(json_t) *object = json_parse_object(json, SIGNER_KEY, "facts", fault);

    if (!object)
        return NULL;
    json_set_bool(object, "retired", true);
    return json_to_text(ctx, object);
}
