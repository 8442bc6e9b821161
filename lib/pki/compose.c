/* lib/pki/compose.c: certificate_compose: a wish held against the facts of a CA, then written as a
 * TBSCertificate (RFC 5280 section 4.1, 04 sections 4.0, 6.5 and 6.6). */
#include "pki/compose.h"

#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/constraint.h"
#include "pki/extension.h"
#include "pki/key.h"

#include "core/banned.h"

#define TBS_USUAL_SIZE 2048

unsigned eku_from_text(const char *text)
{
    static const struct {
        const char *text;
        unsigned bit;
    } known[] = {
        {"serverAuth",      EKU_SERVER_AUTH     },
        {"clientAuth",      EKU_CLIENT_AUTH     },
        {"codeSigning",     EKU_CODE_SIGNING    },
        {"emailProtection", EKU_EMAIL_PROTECTION},
        {"timeStamping",    EKU_TIME_STAMPING   },
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (text_equal(known[i].text, text))
            return known[i].bit;
    return 0;
}

bool signature_algorithm_from_text(const char *text, enum signature_algorithm *ret)
{
    static const struct {
        const char *text;
        enum signature_algorithm algorithm;
    } known[] = {
        {"RSA-2048",   SIGNATURE_RSA_SHA256  },
        {"RSA-3072",   SIGNATURE_RSA_SHA256  },
        {"RSA-4096",   SIGNATURE_RSA_SHA256  },
        {"ECDSA-P256", SIGNATURE_ECDSA_SHA256},
        {"ECDSA-P384", SIGNATURE_ECDSA_SHA384},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (text_equal(known[i].text, text)) {
            *ret = known[i].algorithm;
            return true;
        }
    }
    return false;
}

static void *refuse(struct fault *fault, const char *field, const char *rule)
{
    return fault_set(fault, SIGNER_REFUSED, field, "%s", rule);
}

static void *refuse_value(struct fault *fault, const char *field, const char *value,
                          const char *rule)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return fault_set(fault, SIGNER_REFUSED, field, "%s %s", text_quote(scratch, value), rule);
}

static bool is_printable_string(const char *text)
{
    for (; *text; text++) {
        const bool alphanumeric = (*text >= 'a' && *text <= 'z') ||
                                  (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9');
        if (!alphanumeric && !strchr(" '()+,-./:=?", *text))
            return false;
    }
    return true;
}

static bool is_ia5_text(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

static bool is_utf8_text(const char *text)
{
    for (const char *at = text; *at; at++)
        if ((*at >= 0 && *at < ' ') || *at == 0x7f)
            return false;
    return text_utf8_valid(text, strlen(text));
}

static bool rdn_encodable(const struct rdn *rdn)
{
    switch (rdn->string) {
    case RDN_UTF8:
        return is_utf8_text(rdn->value);
    case RDN_PRINTABLE:
        return is_printable_string(rdn->value);
    case RDN_IA5:
        return is_ia5_text(rdn->value);
    }
    return false;
}

static size_t count_characters(const char *utf8)
{
    size_t count = 0;
    for (; *utf8; utf8++)
        count += (*utf8 & 0xc0) != 0x80;
    return count;
}

/* Upper bounds of RFC 5280 appendix A.1; what is not listed gets the largest of them. */
static size_t rdn_bound(const char *oid)
{
    static const struct {
        const char *oid;
        size_t bound;
    } bounds[] = {
        {"2.5.4.3",  64 }, /* commonName */
        {"2.5.4.5",  64 }, /* serialNumber */
        {"2.5.4.6",  2  }, /* countryName */
        {"2.5.4.7",  128}, /* localityName */
        {"2.5.4.8",  128}, /* stateOrProvinceName */
        {"2.5.4.10", 64 }, /* organizationName */
        {"2.5.4.11", 64 }, /* organizationalUnitName */
        {"2.5.4.12", 64 }, /* title */
    };
    for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
        if (text_equal(bounds[i].oid, oid))
            return bounds[i].bound;
    return 255;
}

static bool check_subject(const struct rdn *rdns, size_t count, struct fault *fault)
{
    if (count > CERTIFICATE_SUBJECT_MAX)
        return refuse(fault, "subject", "subject has more than 32 attributes");
    for (size_t i = 0; i < count; i++) {
        const struct rdn *rdn = &rdns[i];
        if (!der_oid_valid(rdn->oid))
            return refuse_value(fault, "subject", rdn->oid ? rdn->oid : "", "is no OID");
        if (!rdn->value || rdn->value[0] == '\0')
            return refuse_value(fault, "subject", rdn->oid, "has no value");
        if (!rdn_encodable(rdn))
            return refuse_value(fault, "subject", rdn->value,
                                "cannot be written in the string type wished for it");
        if (count_characters(rdn->value) > rdn_bound(rdn->oid))
            return refuse_value(fault, "subject", rdn->value,
                                "is too long for its attribute (RFC 5280 appendix A.1)");
        if (text_equal(rdn->oid, "2.5.4.6") && count_characters(rdn->value) != 2)
            return refuse_value(fault, "subject", rdn->value, "is no country code of 2 letters");
    }
    return true;
}

/* A reason of its own: protocols have words for it (04 section 6.2). */
static bool refuse_name(struct fault *fault, const char *field, const char *name, const char *rule)
{
    refuse_value(fault, field, name, rule);
    fault->reason = NAME_CONSTRAINT;
    return false;
}

static bool check_constrained(const struct issuer_facts *facts, const char *field,
                              const struct name *name, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *bound = constraint_kind_text(name->kind);

    if (!constraint_permits(&facts->permitted_dns, name))
        return refuse_name(fault, field, name->value,
                           mem_printf(scratch, "is outside the CA's permitted %s", bound));
    return !constraint_excludes(&facts->excluded_dns, name) ||
           refuse_name(fault, field, name->value,
                       mem_printf(scratch, "is inside the CA's excluded %s", bound));
}

static bool check_names(const struct issuer_facts *facts, const struct name_list *names,
                        struct fault *fault)
{
    if (names->count > CERTIFICATE_NAMES_MAX)
        return refuse(fault, "names", "more than 1000 names");
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->items[i];
        const char *broken = name_rule_broken(name);
        if (broken)
            return fault_set(fault, SIGNER_REFUSED, "names", "%s", broken);
        if (!check_constrained(facts, "names", name, fault))
            return false;
    }
    return true;
}

/* What could be meant as the name of a host, partial wildcards and underscores included: clients
 * read more than a subjectAltName may say. */
static bool is_host_like(const char *text)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*";

    return strchr(text, '.') && text[strspn(text, host)] == '\0';
}

/* What cannot be judged is refused where there is something to hold it against. */
static bool check_subject_name(const struct issuer_facts *facts, const struct name *name,
                               struct fault *fault)
{
    if (!name_rule_broken(name))
        return check_constrained(facts, "subject", name, fault);
    return (!constraint_list_has_kind(&facts->permitted_dns, name->kind) &&
            !constraint_list_has_kind(&facts->excluded_dns, name->kind)) ||
           refuse_name(fault, "subject", name->value,
                       "cannot be held against the CA's name constraints");
}

/* Old clients read a common name as a DNS name, so one that could be meant so must be permitted
 * too, whatever the subjectAltName says; and constraints of mailboxes bind emailAddress (RFC 5280
 * section 4.2.1.10). */
static bool check_subject_names(const struct issuer_facts *facts,
                                const struct certificate_wish *wish, struct fault *fault)
{
    for (size_t i = 0; i < wish->subject_count; i++) {
        const struct rdn *rdn = &wish->subject[i];
        const bool mailbox = text_equal(rdn->oid, "1.2.840.113549.1.9.1");
        const bool host = text_equal(rdn->oid, "2.5.4.3") && is_host_like(rdn->value);
        const struct name name = {mailbox ? NAME_EMAIL : NAME_DNS, rdn->value};
        if ((mailbox || host) && !check_subject_name(facts, &name, fault))
            return false;
    }
    return true;
}

static bool check_usages(const struct issuer_facts *facts, const struct certificate_wish *wish,
                         struct fault *fault)
{
    if (wish->key_usage == 0 || wish->key_usage & ~USAGE_ALL_LEAF)
        return refuse(fault, "key_usage", "key usage is empty or none of a leaf");
    if (wish->ekus == 0 || wish->ekus & ~EKU_ALL_LEAF)
        return refuse(fault, "ekus", "extended key usage is empty or none of a leaf");
    if (wish->ekus & ~facts->allowed_ekus)
        return refuse(fault, "ekus", "this CA may not give that extended key usage");
    return true;
}

static bool check_policies(const struct issuer_facts *facts, const struct text_list *policies,
                           struct fault *fault)
{
    for (size_t i = 0; i < policies->count; i++) {
        if (!der_oid_valid(policies->items[i]))
            return refuse_value(fault, "policies", policies->items[i], "is no OID");
        if (facts->allowed_policies.count > 0 &&
            !text_list_has(&facts->allowed_policies, policies->items[i]))
            return refuse_value(fault, "policies", policies->items[i],
                                "is no policy that this CA may give");
    }
    return true;
}

static bool check_key(struct bytes spki, struct key_facts *ret_key, struct fault *fault)
{
    struct fault inner = {0};
    if (!key_facts_from_spki(spki, ret_key, &inner))
        return fault_set(fault, SIGNER_REFUSED, "spki", "%s", inner.detail);
    return true;
}

static bool check_urls(const struct text_list *urls, struct fault *fault)
{
    for (size_t i = 0; i < urls->count; i++) {
        const struct name url = {NAME_URI, urls->items[i]};
        if (name_rule_broken(&url))
            return refuse_value(fault, "facts", urls->items[i], "is no URL to put anywhere");
    }
    return true;
}

static bool check_facts(const struct issuer_facts *facts, struct fault *fault)
{
    struct bytes subject = facts->subject_der;

    if (!der_read_tag(&subject, DER_SEQUENCE, NULL) || subject.size != 0)
        return refuse(fault, "facts", "the CA's subject is no Name");
    if (facts->ski.size == 0)
        return refuse(fault, "facts", "the CA has no subject key identifier");
    return check_urls(&facts->ocsp_urls, fault) && check_urls(&facts->ca_issuers_urls, fault) &&
           check_urls(&facts->crl_urls, fault);
}

static bool check_serial(const uint8_t serial[CERTIFICATE_SERIAL_SIZE], struct fault *fault)
{
    static const uint8_t zero[CERTIFICATE_SERIAL_SIZE];

    if (serial[0] & 0x80 || memcmp(serial, zero, sizeof zero) == 0)
        return refuse(fault, "serial", "serial is negative or zero (RFC 5280 section 4.1.2.2)");
    return true;
}

struct life {
    int64_t not_before;
    int64_t not_after;
};

/* Within the CA's own life, if there is a CA, and within what DER and our clock can say. */
static bool cut_life(const struct issuer_facts *facts, struct life wished, struct life *ret_life,
                     struct fault *fault)
{
    struct life life = wished;
    if (facts) {
        life.not_before = most(life.not_before, facts->not_before);
        life.not_after = least(life.not_after, facts->not_after);
    }
    if (life.not_before >= life.not_after)
        return fault_set(fault, VALIDITY_EMPTY, "not_after", "nothing is left of the validity");
    if (life.not_before < 0 || life.not_after > DER_TIME_MAX)
        return refuse(fault, "not_after", "validity begins before 1970 or ends after 9999");
    *ret_life = life;
    return true;
}

static bool cut_leaf_life(const struct issuer_facts *facts, const struct certificate_wish *wish,
                          struct life *ret_life, struct fault *fault)
{
    struct life life = {wish->not_before, wish->not_after};

    if (!cut_life(facts, life, &life, fault))
        return false;
    if (facts->ceiling_s <= 0)
        return fault_set(fault, VALIDITY_EMPTY, "not_after", "this CA's ceiling allows no leaf");
    if (life.not_after - life.not_before > facts->ceiling_s)
        life.not_after = life.not_before + facts->ceiling_s;
    if (wish->short_lived && life.not_after - life.not_before >= SHORT_LIVED_BELOW_S)
        return refuse(fault, "short_lived", "a life of one hour or more is not short");
    *ret_life = life;
    return true;
}

static void put_validity(struct der_writer *to, struct life life)
{
    const size_t mark = der_mark(to);
    der_put_time(to, life.not_after);
    der_put_time(to, life.not_before);
    der_wrap(to, DER_SEQUENCE, mark);
}

/* [0] version v3, and the serial. */
static void put_version_and_serial(struct der_writer *to,
                                   const uint8_t serial[CERTIFICATE_SERIAL_SIZE])
{
    static const uint8_t version_3[] = {0xa0, 3, DER_INTEGER, 1, 2};

    der_put_unsigned(to, (struct bytes){serial, CERTIFICATE_SERIAL_SIZE});
    der_put(to, BYTES_OF(version_3));
}

static void wrap_extensions(struct der_writer *to)
{
    der_wrap(to, DER_SEQUENCE, 0);
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(3), 0);
}

/* The table of 04 section 6.6 from its last row to its first. */
static void put_leaf_extensions(struct der_writer *to, const struct issuer_facts *facts,
                                const struct certificate_wish *wish)
{
    static const struct text_list none;
    uint8_t key_id[KEY_ID_SIZE];

    put_policies(to, &wish->policies);
    if (wish->short_lived)
        put_no_rev_avail(to);
    if (wish->must_staple && !wish->short_lived)
        put_must_staple(to);
    if (!wish->short_lived)
        put_crl_points(to, &facts->crl_urls);
    put_authority_info(to, wish->short_lived ? &none : &facts->ocsp_urls, &facts->ca_issuers_urls);
    put_names(to, &wish->names, wish->subject_count == 0);
    put_authority_key_id(to, facts->ski);
    key_identifier(wish->spki, key_id);
    put_subject_key_id(to, BYTES_OF(key_id));
    put_ekus(to, wish->ekus);
    put_key_usage(to, wish->key_usage);
    put_basic_constraints(to, false, -1);
    wrap_extensions(to);
}

bool certificate_compose(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                         const struct certificate_wish *wish,
                         const uint8_t serial[CERTIFICATE_SERIAL_SIZE], struct bytes *ret_tbs,
                         struct fault *fault)
{
    struct key_facts key;
    struct life life = {0};

    if (wish->names.count == 0 && wish->subject_count == 0)
        return refuse(fault, "names", "no name at all");
    if (!check_facts(facts, fault) || !check_serial(serial, fault) ||
        !check_subject(wish->subject, wish->subject_count, fault) ||
        !check_names(facts, &wish->names, fault) || !check_subject_names(facts, wish, fault) ||
        !check_usages(facts, wish, fault) || !check_policies(facts, &wish->policies, fault) ||
        !check_key(wish->spki, &key, fault) || !cut_leaf_life(facts, wish, &life, fault))
        return false;

    struct der_writer to;
    der_start(&to, ctx, TBS_USUAL_SIZE);
    put_leaf_extensions(&to, facts, wish);
    der_put(&to, wish->spki);
    put_name(&to, wish->subject, wish->subject_count);
    put_validity(&to, life);
    der_put(&to, facts->subject_der);
    put_signature_algorithm(&to, facts->algorithm);
    put_version_and_serial(&to, serial);
    der_wrap(&to, DER_SEQUENCE, 0);
    *ret_tbs = der_finish(&to, ctx);
    return true;
}

static bool check_constraints(const struct text_list *bases, struct fault *fault)
{
    for (size_t i = 0; i < bases->count; i++) {
        const char *broken = constraint_rule_broken(bases->items[i]);
        if (broken)
            return refuse_value(fault, "name_constraints", bases->items[i], broken);
    }
    return true;
}

/* A CA must be able to make the signatures that we know. */
static bool check_ca_key(const struct ca_wish *wish, bool self_signed,
                         enum signature_algorithm algorithm, struct fault *fault)
{
    struct key_facts key;

    if (!check_key(wish->spki, &key, fault))
        return false;
    if (key.kind == KEY_ED25519 || (key.kind == KEY_ECDSA && key.bits > 384))
        return refuse(fault, "spki", "a CA key is RSA, P-256 or P-384");
    const enum signature_algorithm own = key.kind == KEY_RSA ? SIGNATURE_RSA_SHA256
                                         : key.bits == 256   ? SIGNATURE_ECDSA_SHA256
                                                             : SIGNATURE_ECDSA_SHA384;
    if (self_signed && own != algorithm)
        return refuse(fault, "spki", "the key cannot make the signature that was asked");
    return true;
}

static bool check_path_len(const struct ca_wish *wish, struct fault *fault)
{
    return (wish->path_len >= -1 && wish->path_len <= 100) ||
           refuse(fault, "path_len", "path length is not -1 to 100");
}

static void put_ca_extensions(struct der_writer *to, const struct issuer_facts *facts,
                              const struct ca_wish *wish)
{
    uint8_t key_id[KEY_ID_SIZE];

    key_identifier(wish->spki, key_id);
    put_name_constraints(to, &wish->permitted_dns, &wish->excluded_dns);
    if (facts) {
        put_crl_points(to, &facts->crl_urls);
        put_authority_info(to, &facts->ocsp_urls, &facts->ca_issuers_urls);
    }
    put_authority_key_id(to, facts ? facts->ski : BYTES_OF(key_id));
    put_subject_key_id(to, BYTES_OF(key_id));
    put_key_usage(to, USAGE_KEY_CERT_SIGN | USAGE_CRL_SIGN);
    put_basic_constraints(to, true, wish->path_len);
    wrap_extensions(to);
}

bool certificate_compose_ca(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                            const struct ca_wish *wish, enum signature_algorithm algorithm,
                            const uint8_t serial[CERTIFICATE_SERIAL_SIZE], struct bytes *ret_tbs,
                            struct fault *fault)
{
    struct life life = {wish->not_before, wish->not_after};

    if (wish->subject_count == 0)
        return refuse(fault, "subject", "a CA has a subject (RFC 5280 section 4.1.2.6)");
    if (!check_path_len(wish, fault))
        return false;
    if ((facts && !check_facts(facts, fault)) || !check_serial(serial, fault) ||
        !check_subject(wish->subject, wish->subject_count, fault) ||
        !check_constraints(&wish->permitted_dns, fault) ||
        !check_constraints(&wish->excluded_dns, fault) ||
        !check_ca_key(wish, facts == NULL, algorithm, fault) ||
        !cut_life(facts, life, &life, fault))
        return false;

    struct der_writer to;
    der_start(&to, ctx, TBS_USUAL_SIZE);
    put_ca_extensions(&to, facts, wish);
    der_put(&to, wish->spki);
    put_name(&to, wish->subject, wish->subject_count);
    put_validity(&to, life);
    if (facts)
        der_put(&to, facts->subject_der);
    else
        put_name(&to, wish->subject, wish->subject_count);
    put_signature_algorithm(&to, facts ? facts->algorithm : algorithm);
    put_version_and_serial(&to, serial);
    der_wrap(&to, DER_SEQUENCE, 0);
    *ret_tbs = der_finish(&to, ctx);
    return true;
}

/* The last common name of a Name, as text on ctx, or NULL: other string types are not taken. */
static const char *common_name_of(TALLOC_CTX *ctx, struct bytes name)
{
    static const uint8_t oid_common_name[] = {0x55, 0x04, 0x03};
    struct bytes set;
    struct bytes attribute;
    struct bytes oid;
    struct bytes value;
    const char *found = NULL;
    uint8_t tag = 0;

    (void)der_read_tag(&name, DER_SEQUENCE, &name);
    while (der_read_tag(&name, DER_SET, &set))
        while (der_read_tag(&set, DER_SEQUENCE, &attribute))
            if (der_read_tag(&attribute, DER_OID, &oid) &&
                der_read(&attribute, &tag, &value, NULL) &&
                bytes_equal(oid, BYTES_OF(oid_common_name)) &&
                (tag == DER_UTF8 || tag == DER_PRINTABLE || tag == DER_IA5) &&
                !memchr(value.data, 0, value.size))
                found = mem_text_n(ctx, (const char *)value.data, value.size);
    return found && is_utf8_text(found) ? found : NULL;
}

/* "OCSP Responder for " and the CA's common name, as much of it as 64 characters hold. */
static const char *responder_name(TALLOC_CTX *ctx, struct bytes ca_subject)
{
    const char *ca = common_name_of(ctx, ca_subject);
    char *name = mem_printf(ctx, "OCSP Responder for %s", ca ? ca : "its CA");
    size_t kept = 0;

    for (size_t i = 0; i < rdn_bound("2.5.4.3") && name[kept]; i++)
        kept += text_utf8_sequence(name + kept, strlen(name + kept));
    name[kept] = '\0';
    return name;
}

static void put_ocsp_extensions(struct der_writer *to, const struct issuer_facts *facts,
                                struct bytes spki)
{
    uint8_t key_id[KEY_ID_SIZE];

    put_authority_key_id(to, facts->ski);
    key_identifier(spki, key_id);
    put_subject_key_id(to, BYTES_OF(key_id));
    put_ocsp_signing(to);
    put_key_usage(to, USAGE_DIGITAL_SIGNATURE);
    put_basic_constraints(to, false, -1);
    wrap_extensions(to);
}

bool certificate_compose_ocsp(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                              const struct ocsp_wish *wish, int64_t life_max_s,
                              const uint8_t serial[CERTIFICATE_SERIAL_SIZE], struct bytes *ret_tbs,
                              struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct rdn subject = {"2.5.4.3", RDN_UTF8, responder_name(scratch, facts->subject_der)};
    struct life life = {wish->not_before, wish->not_after};
    struct key_facts key;

    if (!check_facts(facts, fault) || !check_serial(serial, fault) ||
        !check_key(wish->spki, &key, fault) || !cut_life(facts, life, &life, fault))
        return false;
    if (life.not_after - life.not_before > life_max_s)
        return refuse(fault, "not_after", "an OCSP responder may not live that long");

    struct der_writer to;
    der_start(&to, ctx, TBS_USUAL_SIZE);
    put_ocsp_extensions(&to, facts, wish->spki);
    der_put(&to, wish->spki);
    put_name(&to, &subject, 1);
    put_validity(&to, life);
    der_put(&to, facts->subject_der);
    put_signature_algorithm(&to, facts->algorithm);
    put_version_and_serial(&to, serial);
    der_wrap(&to, DER_SEQUENCE, 0);
    *ret_tbs = der_finish(&to, ctx);
    return true;
}

static bool wider(struct fault *fault, const char *what, const char *base)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return fault_set(fault, SIGNER_REFUSED, "name_constraints",
                     "child name constraints not a subset of parent's: %s %s", what,
                     text_quote(scratch, base));
}

/* The parent's of each kind that the child says nothing of. */
static struct text_list completed(TALLOC_CTX *ctx, const struct text_list *child,
                                  const struct text_list *parent)
{
    struct text_list whole = {0};
    struct constraint one;

    for (size_t i = 0; i < child->count; i++)
        text_list_add(ctx, &whole, child->items[i]);
    for (size_t i = 0; i < parent->count; i++)
        if (!constraint_read(parent->items[i], &one) || !constraint_list_has_kind(child, one.kind))
            text_list_add(ctx, &whole, parent->items[i]);
    return whole;
}

bool ca_wish_constrain(TALLOC_CTX *ctx, const struct text_list *permitted,
                       const struct text_list *excluded, struct ca_wish *wish, struct fault *fault)
{
    const struct text_list within = completed(ctx, &wish->permitted_dns, permitted);
    const struct text_list without = completed(ctx, &wish->excluded_dns, excluded);
    struct constraint one;

    for (size_t i = 0; i < within.count; i++)
        if (constraint_read(within.items[i], &one) &&
            constraint_list_has_kind(permitted, one.kind) &&
            !constraint_within(within.items[i], permitted))
            return wider(fault, "permitted_dns holds", within.items[i]);
    for (size_t i = 0; i < excluded->count; i++)
        if (!constraint_within(excluded->items[i], &without))
            return wider(fault, "excluded_dns lacks", excluded->items[i]);
    wish->permitted_dns = within;
    wish->excluded_dns = without;
    return true;
}

/* Attribute { extensionRequest, { Extensions } } (RFC 2985 section 5.4.2) in a request's [0]. */
static void put_extension_request(struct der_writer *to, const struct ca_wish *wish)
{
    const size_t mark = der_mark(to);
    uint8_t key_id[KEY_ID_SIZE];

    key_identifier(wish->spki, key_id);
    put_subject_key_id(to, BYTES_OF(key_id));
    put_key_usage(to, USAGE_KEY_CERT_SIGN | USAGE_CRL_SIGN);
    put_basic_constraints(to, true, wish->path_len);
    der_wrap(to, DER_SEQUENCE, mark);
    der_wrap(to, DER_SET, mark);
    (void)der_put_oid(to, "1.2.840.113549.1.9.14");
    der_wrap(to, DER_SEQUENCE, mark);
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(0), mark);
}

bool certificate_request_compose_ca(TALLOC_CTX *ctx, const struct ca_wish *wish,
                                    enum signature_algorithm algorithm, struct bytes *ret_info,
                                    struct fault *fault)
{
    if (wish->subject_count == 0)
        return refuse(fault, "subject", "a CA has a subject (RFC 5280 section 4.1.2.6)");
    if (!check_path_len(wish, fault) || !check_subject(wish->subject, wish->subject_count, fault) ||
        !check_ca_key(wish, true, algorithm, fault))
        return false;

    struct der_writer to;
    der_start(&to, ctx, TBS_USUAL_SIZE);
    put_extension_request(&to, wish);
    der_put(&to, wish->spki);
    put_name(&to, wish->subject, wish->subject_count);
    der_put_small(&to, 0);
    der_wrap(&to, DER_SEQUENCE, 0);
    *ret_info = der_finish(&to, ctx);
    return true;
}

static void put_signature(struct der_writer *to, enum signature_algorithm algorithm,
                          struct bytes signature)
{
    const size_t mark = der_mark(to);

    der_put(to, signature);
    der_put_octet(to, 0); /* no unused bits */
    der_wrap(to, DER_BIT_STRING, mark);
    put_signature_algorithm(to, algorithm);
}

struct bytes signed_object_assemble(TALLOC_CTX *ctx, struct bytes tbs,
                                    enum signature_algorithm algorithm, struct bytes signature)
{
    struct der_writer to;

    der_start(&to, ctx, tbs.size + signature.size + 64);
    put_signature(&to, algorithm, signature);
    der_put(&to, tbs);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

void signed_object_frame(TALLOC_CTX *ctx, size_t tbs_size, enum signature_algorithm algorithm,
                         struct bytes signature, struct bytes *ret_before, struct bytes *ret_after)
{
    struct der_writer to;

    der_start(&to, ctx, signature.size + 64);
    put_signature(&to, algorithm, signature);
    *ret_after = der_finish(&to, ctx);
    der_start(&to, ctx, 16);
    der_put_header(&to, DER_SEQUENCE, tbs_size + ret_after->size);
    *ret_before = der_finish(&to, ctx);
}
