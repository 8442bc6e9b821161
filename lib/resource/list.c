/* lib/resource/list.c: one list in one query, 05 section 2.8. */
#include <inttypes.h>

#include "core/digest.h"
#include "core/id.h"
#include "core/memory.h"
#include "resource/resource_private.h"
#include "web/condition.h"

#include "core/banned.h"

/* Filters, two scopes, parent, rows, key and id, fields. */
#define PARAMETERS_MAX (RESOURCE_FILTERS_MAX + 7)

/* Bytes of what grows with the request. Apache takes 8192 for a header line, and nginx 16384 for
 * all (fastcgi_buffer_size): a longer head would be a 502 for what was done. */
#define LINK_MAX    4096
#define IGNORED_MAX 1024

struct parameters {
    struct db_param items[PARAMETERS_MAX];
    size_t count;
};

static void add(struct parameters *parameters, struct db_param param)
{
    parameters->items[parameters->count++] = param;
}

static struct db_param map_or_plain(const struct list_options *options, size_t index)
{
    return TEXT(options->values[index]);
}

/* In the order of statements.c. */
static struct parameters parameters_of(const struct request *request,
                                       const struct resource *resource,
                                       const struct list_options *options,
                                       const struct permission_scope *scope)
{
    const struct resource *scoped = resource->parent ? resource->parent : resource;
    struct parameters list = {.count = 0};

    for (size_t i = 0; i < resource->filter_count; i++)
        add(&list, map_or_plain(options, i));
    if (scoped->scope_profile || scoped->scope_issuer) {
        add(&list, TEXTS(scope->everything ? NULL : &scope->profiles));
        add(&list, TEXTS(scope->everything ? NULL : &scope->issuers));
    }
    if (resource->parent)
        add(&list, TEXT(request_captured(request, "id")));
    add(&list, INTEGER(options->per_page));
    if (options->cursor.key) {
        add(&list, TEXT(options->cursor.key));
        add(&list, TEXT(options->cursor.id));
    } else {
        add(&list, INTEGER(options->by_cursor ? 0 : (options->page - 1) * options->per_page));
    }
    add(&list, TEXTS(options->sparse ? &options->fields : NULL));
    return list;
}

static struct rows *find(struct request *request, const struct resource_set *set,
                         const struct resource *resource, const struct list_options *options,
                         const struct permission_scope *scope, struct fault *fault)
{
    const struct resource_statements *made = resource_statements_of(set, resource);
    const struct parameters parameters = parameters_of(request, resource, options, scope);
    const struct statement *statement = options->cursor.key
                                            ? &made->next[options->sort][options->descending]
                                            : &made->page[options->sort][options->descending];
    struct rows *rows = db_query_params(request, request->db, statement, fault, parameters.items,
                                        parameters.count);

    if (!rows && fault->reason == DATABASE_VALUE && options->cursor.key)
        fault_set(fault, INPUT_MALFORMED, "cursor", "invalid cursor");
    return rows;
}

static bool parent_check(const struct resource *resource, const struct rows *rows,
                         struct fault *fault)
{
    if (!row_bool(rows, 0, "found"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "%s not found", resource->parent->label);
    if (!row_bool(rows, 0, "allowed"))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    return true;
}

/* The same question with another page or cursor; nothing of it is as the client wrote it. Left out
 * where it would outgrow what a web server takes: body and cursor say the same. */
static void link_next(struct request *request, struct response *response, const struct query *query,
                      const char *name, const char *value)
{
    char *target = mem_text(request, "/");

    target = mem_append(target, "%s", request->segments[0]);
    for (size_t i = 1; i < request->segment_count; i++)
        target = mem_append(target, "/%s", request->segments[i]);
    for (size_t i = 0; i < query->count; i++)
        if (!text_equal(query->items[i].name, name))
            target = query_append(target, query->items[i].name, query->items[i].value);
    target = query_append(target, name, value);
    if (strlen(target) <= LINK_MAX)
        response_header(response, "Link", "<%s>; rel=\"next\"", target);
}

static const char *page_body(struct request *request, struct response *response,
                             const struct query *query, const struct list_options *options,
                             const struct rows *rows)
{
    const char *data = row_text(rows, 0, "data");

    if (row_bool(rows, 0, "more"))
        link_next(request, response, query, "page",
                  mem_printf(request, "%" PRId64, options->page + 1));
    return mem_printf(
        request,
        "{\"data\":[%s],\"total\":%" PRId64 ",\"page\":%" PRId64 ",\"per_page\":%" PRId64 "}",
        data ? data : "", row_integer(rows, 0, "total"), options->page, options->per_page);
}

static const char *cursor_body(struct request *request, struct response *response,
                               const struct resource *resource, const struct query *query,
                               const struct list_options *options, const struct rows *rows)
{
    const char *data = row_text(rows, 0, "data");
    const struct cursor next = {
        .key = row_text(rows, 0, "last_key"),
        .id = row_text(rows, 0, "last_id"),
        .total = options->cursor.key ? options->cursor.total : row_integer(rows, 0, "total"),
    };
    char *text = mem_printf(request, "{\"data\":[%s],\"total\":%" PRId64, data ? data : "",
                            next.total);

    if (row_bool(rows, 0, "more")) {
        const char *cursor = cursor_text(request, resource, options, &next);
        link_next(request, response, query, "cursor", cursor);
        text = mem_append(text, ",\"next_cursor\":\"%s\"", cursor);
    }
    return mem_append(text, ",\"page_size\":%" PRId64 "}", options->per_page);
}

void ignored_tell(struct request *request, struct response *response,
                  const struct text_list *ignored, bool strict)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    struct text_list names = {NULL, 0};
    size_t length = 0;

    for (size_t i = 0; i < ignored->count && length < IGNORED_MAX; i++) {
        const char *name = ignored->items[i];
        if (strlen(name) > 64 || name[strspn(name, allowed)] != '\0')
            continue;
        text_list_add(request, &names, name);
        length += strlen(name) + strlen(", ");
    }
    if (names.count > 0)
        response_header(response, "X-Certctl-Ignored", "%s", text_list_join(request, &names, ", "));
    if (strict)
        response_header(response, "Preference-Applied", "handling=strict");
}

/* The tag is over the bytes that are sent, the newline included. */
static bool answer(struct request *request, struct response *response,
                   const struct resource *resource, const char *body)
{
    (void)response_json_text(response, 200, body);
    if (!resource->list_etag)
        return true;
    const char *tag = digest_sha256_hex(request, response->body);
    const struct text_list tags = condition_none_match(request, request);
    condition_etag(response, tag);
    return condition_matches(&tags, tag) ? response_empty(response, 304) : true;
}

bool resource_list(struct request *request, struct response *response,
                   const struct resource_set *set, const struct resource *resource,
                   const struct permission_scope *scope, struct fault *fault)
{
    struct query query = {0};
    struct list_options options = {0};

    if (resource->parent && !id_valid(request_captured(request, "id")))
        return fault_set(fault, INPUT_INVALID, "id", "%s ID is invalid", resource->parent->label);
    if (!query_parse(request, request->query, &query, fault) ||
        !list_options_read(request, resource, &query, preference_strict(request), &options, fault))
        return false;
    const struct rows *rows = find(request, set, resource, &options, scope, fault);
    if (!rows || !parent_check(resource, rows, fault))
        return false;
    ignored_tell(request, response, &options.ignored, options.strict);
    return answer(request, response, resource,
                  options.by_cursor
                      ? cursor_body(request, response, resource, &query, &options, rows)
                      : page_body(request, response, &query, &options, rows));
}
