/* lib/pki/profile_names.c: which names a profile lets into a certificate (04 section 7.4). */
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/profile_private.h"
#include "pki/spiffe.h"

#include "core/banned.h"

#define PATTERN_MAX_BYTES 512
#define PATTERN_MATCH_MAX 10000
#define PATTERN_DEPTH_MAX 250

/* Without a list of types: what cannot be mistaken for a Windows account (UPN). */
#define USUAL_TYPES (1u << NAME_DNS | 1u << NAME_IP | 1u << NAME_EMAIL | 1u << NAME_URI)
/* Intune's strong mapping; the SID is behind it. */
#define SID_TAG "tag:microsoft.com,2022-09-14:sid:"

AUTO_DEFINE(pcre2_code, pcre2_code_free)
AUTO_DEFINE(pcre2_match_data, pcre2_match_data_free)
AUTO_DEFINE(pcre2_match_context, pcre2_match_context_free)

struct san_pattern {
    pcre2_code *code;
};

/* --- the columns --- */

static pcre2_code *compile(const char *pattern, int *ret_error, PCRE2_SIZE *ret_offset)
{
    return pcre2_compile((PCRE2_SPTR)pattern, /* the same octets, as PCRE2 names them */
                         PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED, ret_error,
                         ret_offset, NULL);
}

static pcre2_code *compile_short(const char *pattern)
{
    int error = 0;
    PCRE2_SIZE offset = 0;

    return strlen(pattern) <= PATTERN_MAX_BYTES ? compile(pattern, &error, &offset) : NULL;
}

const char *profile_pattern_problem(TALLOC_CTX *ctx, const char *pattern)
{
    int error = 0;
    PCRE2_SIZE offset = 0;
    PCRE2_UCHAR words[128] = {0};

    if (strlen(pattern) > PATTERN_MAX_BYTES)
        return mem_printf(ctx, "longer than %d bytes", PATTERN_MAX_BYTES);
    AUTO(pcre2_code) *code = compile(pattern, &error, &offset);
    if (code)
        return NULL;
    (void)pcre2_get_error_message(error, words, sizeof(words));
    return mem_printf(ctx, "%s at offset %zu", (const char *)words, offset); /* octets as text */
}

/* NULL with the fault; on ctx, the texts too. */
static struct san_pattern *compile_all(TALLOC_CTX *ctx, const char *json, const char *field,
                                       struct text_list *ret_texts, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *array = profile_array(json, field, fault);
    struct text_list texts = {0};
    if (!array)
        return NULL;

    const size_t count = json_array_size(array);
    struct san_pattern *compiled = mem_array(scratch, struct san_pattern, count);
    for (size_t i = 0; i < count; i++) {
        const char *pattern = json_string_value(json_array_get(array, i));
        pcre2_code *code = pattern ? compile_short(pattern) : NULL;
        if (!code)
            return fault_set(fault, PROFILE_UNAVAILABLE, field, "invalid %s[%zu]: %s", field, i,
                             pattern ? profile_pattern_problem(scratch, pattern) : "no text");
        compiled[i].code = mem_adopt(compiled, code, pcre2_code_free);
        text_list_add(compiled, &texts, pattern);
    }
    *ret_texts = texts;
    return talloc_steal(ctx, compiled);
}

bool profile_set_san_patterns(struct profile *profile, const char *json, struct fault *fault)
{
    struct san_pattern *compiled = compile_all(profile, json, "required_san_patterns",
                                               &profile->san_patterns, fault);
    if (compiled)
        profile->san_compiled = compiled;
    return compiled;
}

bool profile_set_uri_patterns(struct profile *profile, const char *json, struct fault *fault)
{
    struct san_pattern *compiled = compile_all(profile, json, "allowed_uri_patterns",
                                               &profile->uri_patterns, fault);
    if (compiled)
        profile->uri_compiled = compiled;
    return compiled;
}

bool profile_set_spiffe_pattern(struct profile *profile, const char *pattern, struct fault *fault)
{
    const char *problem = pattern && *pattern ? spiffe_pattern_problem(pattern) : NULL;

    if (problem)
        return profile_unavailable(fault, "spiffe_uri_pattern", problem);
    profile->spiffe_pattern = mem_text(profile, pattern);
    return true;
}

bool profile_set_san_types(struct profile *profile, const struct text_list *types,
                           struct fault *fault)
{
    unsigned found = 0;

    for (size_t i = 0; i < types->count; i++) {
        unsigned kind = NAME_DNS;
        while (kind < NAME_OTHER &&
               !text_equal(name_kind_text((enum name_kind)kind), types->items[i]))
            kind++;
        if (kind == NAME_OTHER)
            return profile_unavailable(fault, "allowed_san_types", "names an unknown type");
        found |= 1u << kind;
    }
    profile->san_types = found;
    return true;
}

/* --- one name --- */

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

static bool text_matches(const char *pattern, const char *text)
{
    AUTO(pcre2_code) *code = compile_short(pattern);

    return code && code_matches(code, text);
}

static bool one_matches(const struct text_list *patterns, const struct san_pattern *compiled,
                        const char *text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (compiled ? code_matches(compiled[i].code, text)
                     : text_matches(patterns->items[i], text))
            return true;
    return false;
}

static bool rejected(const struct profile *profile, const char *value, const char *rule,
                     struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return fault_set(fault, CSR_NAME_REJECTED, NULL, "%s %s of profile %s",
                     text_quote(scratch, value), rule, text_quote(scratch, profile->name));
}

static bool type_allowed(const struct profile *profile, enum name_kind kind)
{
    const unsigned types = profile->san_types ? profile->san_types : USUAL_TYPES;

    return (types >> kind & 1) != 0;
}

/* "S-1-5-21-…": [MS-DTYP] section 2.4.2.1, decimal. */
static bool sid_valid(const char *text)
{
    if (!text_starts(text, "S-1-") || strlen(text) > 184)
        return false;
    for (text += 4;; text++) {
        const size_t digits = strspn(text, "0123456789");
        if (digits == 0)
            return false;
        text += digits;
        if (*text != '-')
            return *text == '\0';
    }
}

static bool uri_allowed(const struct profile *profile, const char *uri, struct fault *fault)
{
    if (spiffe_is_meant(uri)) {
        const char *problem = spiffe_id_problem(uri);
        if (problem) {
            AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
            return fault_set(fault, CSR_NAME_REJECTED, NULL, "%s is no SPIFFE ID: %s",
                             text_quote(scratch, uri), problem);
        }
        if (profile->spiffe_pattern && *profile->spiffe_pattern &&
            spiffe_pattern_matches(profile->spiffe_pattern, uri))
            return true;
    }
    if (one_matches(&profile->uri_patterns, profile->uri_compiled, uri))
        return true;
    if (profile->ekus & EKU_CLIENT_AUTH && text_starts(uri, SID_TAG) &&
        sid_valid(uri + strlen(SID_TAG)))
        return true;
    return rejected(profile, uri, "matches neither spiffe_uri_pattern nor allowed_uri_patterns",
                    fault);
}

/* DNS names in lower case, since that is how they are compared. */
static bool pattern_allowed(const struct profile *profile, const char *value, bool in_lower_case,
                            struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = in_lower_case ? text_lower(scratch, value) : value;

    if (profile->san_patterns.count == 0 ||
        one_matches(&profile->san_patterns, profile->san_compiled, text))
        return true;
    return rejected(profile, value, "matches no name pattern", fault);
}

static bool wildcard_allowed(const struct profile *profile, const char *value, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (profile->allow_wildcards || !text_starts(value, "*."))
        return true;
    return fault_set(fault, CSR_NAME_REJECTED, NULL,
                     "%s is a wildcard, which profile %s does not allow",
                     text_quote(scratch, value), text_quote(scratch, profile->name));
}

bool profile_check_name(const struct profile *profile, const struct name *name, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!type_allowed(profile, name->kind))
        return fault_set(fault, CSR_NAME_REJECTED, NULL,
                         "%s is of type %s, which profile %s does not allow",
                         text_quote(scratch, name->value), name_kind_text(name->kind),
                         text_quote(scratch, profile->name));
    switch (name->kind) {
    case NAME_DNS:
        return wildcard_allowed(profile, name->value, fault) &&
               pattern_allowed(profile, name->value, true, fault);
    case NAME_EMAIL:
        return pattern_allowed(profile, name->value, false, fault);
    case NAME_URI:
        return uri_allowed(profile, name->value, fault);
    case NAME_IP:
    case NAME_UPN:
    case NAME_OTHER:
        break;
    }
    return true;
}

/* --- all names --- */

static bool is_among(const struct name_list *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].kind == NAME_EMAIL ? text_equal(names->items[i].value, text)
                                               : text_equal_nocase(names->items[i].value, text))
            return true;
    return false;
}

/* One SPIFFE ID is the whole identity (X509-SVID section 2). */
static bool uris_allowed(const struct profile *profile, const struct name_list *names,
                         size_t *ret_count, struct fault *fault)
{
    const char *identity = NULL;

    *ret_count = 0;
    for (size_t i = 0; i < names->count; i++) {
        if (names->items[i].kind != NAME_URI)
            continue;
        ++*ret_count;
        if (spiffe_is_meant(names->items[i].value))
            identity = names->items[i].value;
    }
    if (identity && *ret_count > 1)
        return rejected(profile, identity,
                        "is a SPIFFE ID, beside which there is another URI; exactly one is allowed",
                        fault);
    return true;
}

bool profile_mints(const struct profile *profile, const struct name *name)
{
    return name->kind == NAME_URI && text_equal(profile->spiffe_pattern, name->value) &&
           spiffe_pattern_is_literal(name->value);
}

bool profile_names(TALLOC_CTX *ctx, const struct profile *profile, const struct name_list *asked,
                   const char *common_name, struct name_list *ret_names, struct fault *fault)
{
    struct name_list names = {0};
    size_t uris;

    for (size_t i = 0; i < asked->count; i++)
        if (!profile_check_name(profile, &asked->items[i], fault))
            return false;
    if (common_name && !is_among(asked, common_name) &&
        (!wildcard_allowed(profile, common_name, fault) ||
         !pattern_allowed(profile, common_name, !strchr(common_name, '@'), fault)))
        return false;
    if (!uris_allowed(profile, asked, &uris, fault))
        return false;
    for (size_t i = 0; i < asked->count; i++)
        name_list_add(ctx, &names, asked->items[i].kind, asked->items[i].value);
    if (uris == 0 && profile->spiffe_pattern && *profile->spiffe_pattern &&
        spiffe_pattern_is_literal(profile->spiffe_pattern))
        name_list_add(ctx, &names, NAME_URI, profile->spiffe_pattern);
    *ret_names = names;
    return true;
}
