/* lib/web/query.c: the parameters of a query string, 05 section 1.5. */
#include "web/query.h"

#include "core/memory.h"
#include "core/text.h"
#include "web/web_private.h"

#include "core/banned.h"

static const char *text_flaw(const char *text)
{
    for (const char *at = text; *at; at++)
        if ((*at > 0 && *at < 0x20) || *at == 0x7f)
            return "control character";
    return text_utf8_valid(text, strlen(text)) ? NULL : "invalid UTF-8";
}

/* A copy, decoded once; NULL where it is in no order. */
static char *decode(TALLOC_CTX *ctx, const char *from, size_t length, const char **ret_flaw)
{
    char *text = mem_text_n(ctx, from, length);

    for (char *at = text; *at; at++)
        if (*at == '+')
            *at = ' ';
    *ret_flaw = web_percent_decode(text) ? text_flaw(text) : "bad escape";
    return *ret_flaw ? NULL : text;
}

static bool malformed(struct fault *fault, const char *flaw)
{
    return fault_set(fault, INPUT_MALFORMED, NULL, "malformed query string: %s", flaw);
}

static bool parameter_add(TALLOC_CTX *ctx, struct query *query, const char *from, size_t length,
                          struct fault *fault)
{
    const char *equals = memchr(from, '=', length);
    const size_t name_length = equals ? (size_t)(equals - from) : length;
    const char *flaw = NULL;
    const char *name = decode(ctx, from, name_length, &flaw);
    const char *value = "";

    if (!name)
        return malformed(fault, flaw);
    if (equals)
        value = decode(ctx, equals + 1, length - name_length - 1, &flaw);
    if (!value)
        return malformed(fault, flaw);
    if (*name == '\0')
        return malformed(fault, "a parameter without a name");
    if (query_value(query, name)) {
        fault_set(fault, INPUT_MALFORMED, NULL, "duplicate query parameter");
        return fault_cause(fault, "parameter %zu", query->count + 1);
    }
    if (query->count == QUERY_PARAMETERS_MAX)
        return malformed(fault, "more than 64 parameters");
    query->items[query->count].name = name;
    query->items[query->count++].value = value;
    return true;
}

bool query_parse(TALLOC_CTX *ctx, const char *text, struct query *ret_query, struct fault *fault)
{
    struct query query = {0};

    while (*text) {
        const size_t length = strcspn(text, "&");
        if (length > 0 && !parameter_add(ctx, &query, text, length, fault))
            return false;
        text += length + (text[length] == '&');
    }
    *ret_query = query;
    return true;
}

const char *query_value(const struct query *query, const char *name)
{
    for (size_t i = 0; i < query->count; i++)
        if (text_equal(query->items[i].name, name))
            return query->items[i].value;
    return NULL;
}

static char *append_escaped(char *text, const char *value)
{
    static const char unreserved[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    while (*value) {
        const size_t plain = strspn(value, unreserved);
        text = mem_append(text, "%.*s", (int)plain, value); /* far below 2 GiB */
        value += plain;
        if (*value)
            text = mem_append(text, "%%%02X", (unsigned)(uint8_t)*value++);
    }
    return text;
}

char *query_append(char *text, const char *name, const char *value)
{
    text = mem_append(text, "%s", strchr(text, '?') ? "&" : "?");
    text = append_escaped(text, name);
    text = mem_append(text, "=");
    return append_escaped(text, value);
}
