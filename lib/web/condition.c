/* lib/web/condition.c: If-None-Match and Prefer, 05 sections 2.5 and 2.7. */
#include "web/condition.h"

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

/* entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE (RFC 9110 section 8.8.3): commas may be inside. Tags
 * with obs-text are none that we gave, and the database would refuse what is not UTF-8. Nor is "*",
 * a tag like any other, which the list would take for the * without quotes. */
static struct text_list tags_of(TALLOC_CTX *ctx, const char *at, bool with_weak)
{
    struct text_list tags = {NULL, 0};

    if (!at)
        return tags;
    if (text_equal(at, "*")) {
        text_list_add(ctx, &tags, "*");
        return tags;
    }
    for (at += strspn(at, " \t,"); *at; at += strspn(at, " \t,")) {
        const bool weak = text_starts(at, "W/");
        at += weak ? 2 : 0;
        const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
        if (!end)
            break;
        const char *tag = mem_text_n(ctx, at + 1, (size_t)(end - at - 1));
        if (text_ascii(tag) && !text_equal(tag, "*") && (with_weak || !weak))
            text_list_add(ctx, &tags, tag);
        at = end + 1;
    }
    return tags;
}

struct text_list condition_none_match(const struct request *request, TALLOC_CTX *ctx)
{
    return tags_of(ctx, request_header(request, "If-None-Match"), true);
}

bool condition_if_match(const struct request *request, const char *tag, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *header = request_header(request, "If-Match");
    const struct text_list tags = tags_of(scratch, header, false);

    if (!header || condition_matches(&tags, tag))
        return true;
    return fault_set(fault, PRECONDITION_FAILED, NULL,
                     "Resource was changed by someone else; current version is \"%s\"", tag);
}

bool condition_matches(const struct text_list *tags, const char *tag)
{
    return text_list_has(tags, tag) || (tags->count == 1 && text_equal(tags->items[0], "*"));
}

void condition_etag(struct response *response, const char *tag)
{
    response_header(response, "ETag", "\"%s\"", tag);
    response_header(response, "Cache-Control", "private, no-cache");
    /* Added, never replaced: CORS may have said Origin. */
    response_header_add(response, "Vary", "Authorization, Cookie");
}

bool preference_strict(const struct request *request)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *header = request_header(request, "Prefer");

    if (!header)
        return false;
    const struct text_list preferences = text_split(scratch, header, ',');
    for (size_t i = 0; i < preferences.count; i++)
        if (text_equal_nocase(preferences.items[i], "handling=strict") ||
            text_equal_nocase(preferences.items[i], "handling=\"strict\""))
            return true;
    return false;
}
