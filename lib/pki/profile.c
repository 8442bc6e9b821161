/* lib/pki/profile.c: what a certificate profile allows, see profile.h (04 sections 6.5, 6.7, 7). */
#include "pki/profile.h"

#include <jansson.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define PATTERN_MAX_BYTES  512
#define PATTERN_MATCH_MAX  10000
#define PATTERN_DEPTH_MAX  250
#define VALIDITY_LEAST_S   60
#define VALIDITY_DAYS_MOST 36600
#define DAY_S              86400

AUTO_DEFINE(pcre2_code, pcre2_code_free)
AUTO_DEFINE(pcre2_match_data, pcre2_match_data_free)
AUTO_DEFINE(pcre2_match_context, pcre2_match_context_free)

struct san_pattern {
    pcre2_code *code;
};

static void *unavailable(struct fault *fault, const char *field, const char *rule)
{
    return fault_set(fault, PROFILE_UNAVAILABLE, field, "profile %s %s", field, rule);
}

/* The column's array; no text means an empty one. */
static json_t *parse_array(const char *json, const char *field, struct fault *fault)
{
    json_t *array = json ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : json_array();
    if (json_is_array(array))
        return array;
    json_decref(array);
    return unavailable(fault, field, "is no JSON array");
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
    AUTO(json_t) *array = parse_array(json, "allowed_key_algorithms", fault);
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
            return unavailable(fault, "allowed_key_algorithms", "names no algorithm and size");
        rules[i].min_bits = (int)bits; /* at most 65536 */
    }
    profile->key_rules = talloc_steal(profile, rules);
    profile->key_rule_count = count;
    return true;
}

bool profile_set_ekus(struct profile *profile, const char *json, struct fault *fault)
{
    AUTO(json_t) *array = parse_array(json, "allowed_ekus", fault);
    unsigned ekus = 0;
    if (!array)
        return false;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const unsigned eku = eku_from_text(json_string_value(json_array_get(array, i)));
        if (!eku)
            return unavailable(fault, "allowed_ekus", "names an unknown EKU");
        ekus |= eku;
    }
    if (ekus & EKU_TIME_STAMPING && ekus != EKU_TIME_STAMPING)
        return unavailable(fault, "allowed_ekus",
                           "has timeStamping beside others (RFC 3161 section 2.3)");
    profile->ekus = ekus ? ekus : EKU_SERVER_AUTH | EKU_CLIENT_AUTH;
    return true;
}

static pcre2_code *compile(const char *pattern)
{
    int error = 0;
    PCRE2_SIZE offset = 0;

    if (!pattern || strlen(pattern) > PATTERN_MAX_BYTES)
        return NULL;
    return pcre2_compile((PCRE2_SPTR)pattern, /* the same octets, as PCRE2 names them */
                         PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED, &error, &offset,
                         NULL);
}

const char *profile_pattern_problem(TALLOC_CTX *ctx, const char *pattern)
{
    int error = 0;
    PCRE2_SIZE offset = 0;
    PCRE2_UCHAR words[128] = {0};

    if (strlen(pattern) > PATTERN_MAX_BYTES)
        return mem_printf(ctx, "longer than %d bytes", PATTERN_MAX_BYTES);
    AUTO(pcre2_code) *code = pcre2_compile(
        (PCRE2_SPTR)pattern, /* the same octets */
        PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED, &error, &offset, NULL);
    if (code)
        return NULL;
    (void)pcre2_get_error_message(error, words, sizeof(words));
    return mem_printf(ctx, "%s at offset %zu", (const char *)words, offset);
}

bool profile_set_san_patterns(struct profile *profile, const char *json, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *array = parse_array(json, "required_san_patterns", fault);
    struct text_list patterns = {0};
    if (!array)
        return false;

    const size_t count = json_array_size(array);
    struct san_pattern *compiled = mem_array(scratch, struct san_pattern, count);
    for (size_t i = 0; i < count; i++) {
        const char *pattern = json_string_value(json_array_get(array, i));
        pcre2_code *code = compile(pattern);
        if (!code)
            return fault_set(fault, PROFILE_UNAVAILABLE, "required_san_patterns",
                             "invalid required_san_patterns[%zu]: %s", i,
                             pattern ? text_quote(scratch, pattern) : "no text");
        compiled[i].code = mem_adopt(compiled, code, pcre2_code_free);
        text_list_add(compiled, &patterns, pattern);
    }
    profile->san_patterns = patterns;
    profile->san_compiled = talloc_steal(profile, compiled);
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

/* A pattern that runs into a limit does not match. */
static bool code_matches(const pcre2_code *code, const char *text)
{
    AUTO(pcre2_match_context) *limits = pcre2_match_context_create(NULL);
    AUTO(pcre2_match_data) *data = pcre2_match_data_create(1, NULL);
    if (!limits || !data)
        mem_exhausted(0, "pcre2");

    (void)pcre2_set_match_limit(limits, PATTERN_MATCH_MAX);
    (void)pcre2_set_depth_limit(limits, PATTERN_DEPTH_MAX);
    /* 0 means that it matched and that the groups do not fit, which nobody asks for. */
    return pcre2_match(code, (PCRE2_SPTR)text, /* the same octets */
                       strlen(text), 0, 0, data, limits) >= 0;
}

static bool pattern_matches(const struct profile *profile, size_t index, const char *text)
{
    if (profile->san_compiled)
        return code_matches(profile->san_compiled[index].code, text);
    AUTO(pcre2_code) *code = compile(profile->san_patterns.items[index]);
    return code && code_matches(code, text);
}

bool profile_check_name(const struct profile *profile, const struct name *name, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (name->kind == NAME_DNS && text_starts(name->value, "*.") && !profile->allow_wildcards)
        return fault_set(fault, CSR_NAME_REJECTED, NULL,
                         "%s is a wildcard, which profile %s does "
                         "not allow",
                         text_quote(scratch, name->value), text_quote(scratch, profile->name));
    if (profile->san_patterns.count == 0 || (name->kind != NAME_DNS && name->kind != NAME_EMAIL))
        return true;
    const char *text = name->kind == NAME_DNS ? text_lower(scratch, name->value) : name->value;
    for (size_t i = 0; i < profile->san_patterns.count; i++)
        if (pattern_matches(profile, i, text))
            return true;
    return fault_set(fault, CSR_NAME_REJECTED, NULL, "%s matches no name pattern of profile %s",
                     text_quote(scratch, name->value), text_quote(scratch, profile->name));
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
        life.not_after = life.not_before + profile->max_ttl_s;
    /* What lies before now is of no use to anybody. */
    const int64_t begin = most(life.not_before, now_s);
    if (life.not_after < begin || life.not_after - begin < VALIDITY_LEAST_S)
        return fault_set(fault, VALIDITY_EMPTY, "notAfter", "less than 60 s of validity are left");
    *ret = life;
    return true;
}
