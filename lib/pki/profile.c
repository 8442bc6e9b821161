/* lib/pki/profile.c: keys, usages and validity of a profile (04 sections 6.5, 6.7 and 7.3). */
#include "pki/profile_private.h"

#include <jansson.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define VALIDITY_LEAST_S   60
#define VALIDITY_DAYS_MOST 36600
#define DAY_S              86400

void *profile_unavailable(struct fault *fault, const char *field, const char *rule)
{
    return fault_set(fault, PROFILE_UNAVAILABLE, field, "profile %s %s", field, rule);
}

/* The column's array; no text means an empty one. */
json_t *profile_array(const char *json, const char *field, struct fault *fault)
{
    json_t *array = json ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : json_array();
    if (json_is_array(array))
        return array;
    json_decref(array);
    return profile_unavailable(fault, field, "is no JSON array");
}

static bool key_kind_from_text(const char *text, enum key_kind *ret)
{
    static const struct {
        const char *text;
        enum key_kind kind;
    } known[] = {
        {"RSA",     KEY_RSA    },
        {"ECDSA",   KEY_ECDSA  },
        {"Ed25519", KEY_ED25519},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (text_equal(known[i].text, text)) {
            *ret = known[i].kind;
            return true;
        }
    }
    return false;
}

static const char *key_kind_text(enum key_kind kind)
{
    switch (kind) {
    case KEY_RSA:
        return "RSA";
    case KEY_ECDSA:
        return "ECDSA";
    case KEY_ED25519:
        break;
    }
    return "Ed25519";
}

bool profile_set_key_rules(struct profile *profile, const char *json, struct fault *fault)
{
    AUTO(json_t) *array = profile_array(json, "allowed_key_algorithms", fault);
    if (!array)
        return false;

    const size_t count = json_array_size(array);
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct key_rule *rules = mem_array(scratch, struct key_rule, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *rule = json_array_get(array, i);
        const json_t *size = json_object_get(rule, "min_size");
        const json_int_t bits = json_integer_value(size);
        if (!key_kind_from_text(json_string_value(json_object_get(rule, "algorithm")),
                                &rules[i].kind) ||
            (size && !json_is_integer(size)) || bits < 0 || bits > 65536)
            return profile_unavailable(fault, "allowed_key_algorithms",
                                       "names no algorithm and size");
        rules[i].min_bits = (int)bits; /* at most 65536 */
    }
    profile->key_rules = talloc_steal(profile, rules);
    profile->key_rule_count = count;
    return true;
}

bool profile_set_ekus(struct profile *profile, const char *json, struct fault *fault)
{
    AUTO(json_t) *array = profile_array(json, "allowed_ekus", fault);
    unsigned ekus = 0;
    if (!array)
        return false;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const unsigned eku = eku_from_text(json_string_value(json_array_get(array, i)));
        if (!eku)
            return profile_unavailable(fault, "allowed_ekus", "names an unknown EKU");
        ekus |= eku;
    }
    if (ekus & EKU_TIME_STAMPING && ekus != EKU_TIME_STAMPING)
        return profile_unavailable(fault, "allowed_ekus",
                                   "has timeStamping beside others (RFC 3161 section 2.3)");
    profile->ekus = ekus ? ekus : EKU_SERVER_AUTH | EKU_CLIENT_AUTH;
    return true;
}

static bool rule_accepts(const struct key_rule *rule, const struct key_facts *key)
{
    return rule->kind == key->kind && key->bits >= rule->min_bits;
}

static char *describe_rules(TALLOC_CTX *ctx, const struct profile *profile)
{
    char *text = mem_text(ctx, "");
    for (size_t i = 0; i < profile->key_rule_count; i++)
        text = mem_append(text, "%s%s>=%d", i ? " " : "", key_kind_text(profile->key_rules[i].kind),
                          profile->key_rules[i].min_bits);
    return text;
}

bool profile_check_key(const struct profile *profile, const struct key_facts *key,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < profile->key_rule_count; i++)
        if (rule_accepts(&profile->key_rules[i], key))
            return true;
    if (profile->key_rule_count == 0)
        return true;
    return fault_set(fault, CSR_KEY_POLICY, "csr",
                     "CSR key (%s %d-bit) does not match any allowed algorithm in profile %s: [%s]",
                     key->algorithm, key->bits, text_quote(scratch, profile->name),
                     describe_rules(scratch, profile));
}

bool profile_is_short_lived(const struct profile *profile)
{
    return profile->allow_short_lived && profile->max_ttl_s > 0 &&
           profile->max_ttl_s < SHORT_LIVED_BELOW_S;
}

unsigned profile_key_usage(const struct profile *profile, const struct key_facts *key)
{
    const unsigned ekus = profile->ekus ? profile->ekus : EKU_SERVER_AUTH | EKU_CLIENT_AUTH;
    unsigned usage = USAGE_DIGITAL_SIGNATURE;

    if (ekus & EKU_EMAIL_PROTECTION)
        usage |= USAGE_CONTENT_COMMITMENT;
    /* RFC 8813 section 3: never on EC keys. */
    if (key->kind == KEY_RSA && ekus & (EKU_SERVER_AUTH | EKU_CLIENT_AUTH | EKU_EMAIL_PROTECTION))
        usage |= USAGE_KEY_ENCIPHERMENT;
    return usage;
}

/* An end that was wished for stays where it can: then the backdate gives way. */
static void life_cut(struct validity *life, int64_t most_s, int64_t now_s, struct validity wished)
{
    if (life->not_after == wished.not_after && !wished.not_before &&
        life->not_after - most_s <= now_s)
        life->not_before = life->not_after - most_s;
    else
        life->not_after = life->not_before + most_s;
}

bool profile_validity(const struct profile *profile, int64_t issuer_validity_days,
                      int64_t backdate_s, int64_t now_s, struct validity wished,
                      struct validity *ret, struct fault *fault)
{
    const int64_t days = profile->default_validity_days > 0 ? profile->default_validity_days
                                                            : issuer_validity_days;
    struct validity life = {.not_before = now_s - backdate_s};

    if (days <= 0)
        return fault_set(fault, VALIDITY_EMPTY, NULL, "neither profile nor issuer sets a validity");
    life.not_after = now_s + least(days, (int64_t)VALIDITY_DAYS_MOST) * DAY_S;
    /* A wish only ever narrows. */
    if (wished.not_before)
        life.not_before = most(life.not_before, wished.not_before);
    if (wished.not_after)
        life.not_after = least(life.not_after, wished.not_after);
    /* Compared by subtraction of what is between now and a hundred years, so nothing overflows. */
    if (profile->max_ttl_s > 0 && life.not_after > life.not_before &&
        life.not_after - life.not_before > profile->max_ttl_s)
        life_cut(&life, profile->max_ttl_s, now_s, wished);
    /* What lies before now is of no use to anybody. */
    const int64_t begin = most(life.not_before, now_s);
    if (life.not_after < begin || life.not_after - begin < VALIDITY_LEAST_S)
        return fault_set(fault, VALIDITY_EMPTY, "notAfter", "less than 60 s of validity are left");
    *ret = life;
    return true;
}
