/* lib/resource/options.c: what a list is asked for, read by the tables (05 section 2.8). */
#include <inttypes.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "resource/resource_private.h"

#include "core/banned.h"

#define VALUE_MAX 1024

/* One query string on its way into the options. */
struct reading {
    TALLOC_CTX *ctx;
    const struct resource *resource;
    const struct query *query;
    struct list_options *options;
};

char *snake_case(TALLOC_CTX *ctx, const char *name)
{
    char *text = mem_text(ctx, "");

    for (; *name; name++) {
        const bool capital = *name >= 'A' && *name <= 'Z';
        text = mem_append(text, "%s%c", capital ? "_" : "",
                          capital ? (char)(*name - 'A' + 'a') : *name);
    }
    return text;
}

/* The first of the closed set that the value is, whatever its case; NULL: none. */
static const char *choice_of(TALLOC_CTX *ctx, const char *choices, const char *value)
{
    const struct text_list list = text_split(ctx, choices, '|');

    for (size_t i = 0; i < list.count; i++)
        if (text_equal_nocase(list.items[i], value))
            return list.items[i];
    return NULL;
}

/* RFC 3339 with an offset, or a day, which begins at midnight UTC. On ctx; NULL: neither. */
static const char *time_value(TALLOC_CTX *ctx, const char *value)
{
    int64_t unix_s;
    const char *instant = strlen(value) == strlen("2026-04-01")
                              ? mem_printf(ctx, "%sT00:00:00Z", value)
                              : value;

    return time_from_rfc3339(instant, &unix_s) ? time_to_rfc3339(ctx, unix_s) : NULL;
}

static const char *bool_value(const char *value)
{
    if (text_equal_nocase(value, "true") || text_equal(value, "1"))
        return "true";
    return text_equal_nocase(value, "false") || text_equal(value, "0") ? "false" : NULL;
}

static bool filter_refused(const struct resource_filter *filter, struct fault *fault)
{
    switch (filter->kind) {
    case FILTER_CHOICE:
        return fault_set(fault, INPUT_INVALID, filter->name, "`%s` must be one of %s", filter->name,
                         filter->choices);
    case FILTER_TIME:
        return fault_set(fault, INPUT_INVALID, filter->name,
                         "`%s` must be RFC3339 (e.g. 2026-04-01T00:00:00Z)", filter->name);
    case FILTER_BOOL:
        return fault_set(fault, INPUT_INVALID, filter->name, "`%s` must be true or false",
                         filter->name);
    case FILTER_TEXT:
    case FILTER_ID:
    case FILTER_MAP:
        break;
    }
    return fault_set(fault, INPUT_INVALID, filter->name, "`%s` is invalid", filter->name);
}

/* Into the form that the statement takes; NULL: refused. An empty value does not filter. */
static const char *filter_value(TALLOC_CTX *ctx, const struct resource_filter *filter,
                                const char *value)
{
    switch (filter->kind) {
    case FILTER_TEXT:
        return strlen(value) <= VALUE_MAX ? value : NULL;
    case FILTER_ID:
        return id_valid(value) ? value : NULL;
    case FILTER_CHOICE:
        return choice_of(ctx, filter->choices, value);
    case FILTER_TIME:
        return time_value(ctx, value);
    case FILTER_BOOL:
        return bool_value(value);
    case FILTER_MAP:
        break;
    }
    return NULL;
}

/* "tag.env=prod": the key behind the filter's name and a dot; NULL: another parameter. */
static const char *map_key(const struct resource_filter *filter, const char *parameter)
{
    const size_t length = strlen(filter->name);

    if (filter->kind != FILTER_MAP || strncmp(parameter, filter->name, length) != 0 ||
        parameter[length] != '.')
        return NULL;
    return parameter + length + 1;
}

static bool map_read(struct reading *reading, size_t index, struct fault *fault)
{
    const struct resource_filter *filter = &reading->resource->filters[index];
    AUTO(json_t) *wanted = json_object();

    for (size_t i = 0; i < reading->query->count; i++) {
        const char *key = map_key(filter, reading->query->items[i].name);
        const char *value = reading->query->items[i].value;
        if (!key)
            continue;
        if (*key == '\0' || strlen(key) > 128 || strlen(value) > VALUE_MAX)
            return filter_refused(filter, fault);
        json_set_text(wanted, key, value);
    }
    if (json_object_size(wanted) > 0)
        reading->options->values[index] = json_to_text(reading->ctx, wanted);
    return true;
}

static bool filters_read(struct reading *reading, struct fault *fault)
{
    for (size_t i = 0; i < reading->resource->filter_count; i++) {
        const struct resource_filter *filter = &reading->resource->filters[i];
        const char *value = query_value(reading->query, filter->name);
        if (filter->kind == FILTER_MAP) {
            if (!map_read(reading, i, fault))
                return false;
        } else if (value && *value) {
            reading->options->values[i] = filter_value(reading->ctx, filter, value);
            if (!reading->options->values[i])
                return filter_refused(filter, fault);
        }
    }
    return true;
}

static bool sort_find(const struct reading *reading, const char *name, size_t *ret_index)
{
    const char *snake = snake_case(reading->ctx, name);

    for (size_t i = 0; i < reading->resource->sort_count; i++) {
        const struct resource_sort *sort = &reading->resource->sorts[i];
        if (text_equal(sort->name, snake) || text_equal(sort->alias, name)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static bool sort_read(struct reading *reading, struct fault *fault)
{
    const char *sort = query_value(reading->query, "sort");
    const char *down = query_value(reading->query, "sort_desc");
    const char *descending = down && *down ? bool_value(down) : "false";

    if (!descending)
        return fault_set(fault, INPUT_INVALID, "sort_desc", "`sort_desc` must be true or false");
    reading->options->descending = text_equal(descending, "true");
    if (!sort || *sort == '\0') {
        if (!down)
            reading->options->descending = reading->resource->newest_first;
        return true;
    }
    if (*sort == '-')
        reading->options->descending = true;
    if (sort_find(reading, sort + (*sort == '-'), &reading->options->sort))
        return true;
    return fault_set(fault, INPUT_INVALID, "sort", "invalid sort field");
}

static const char *member_find(const struct reading *reading, const char *name)
{
    const struct resource *resource = reading->resource;
    const char *snake = snake_case(reading->ctx, name);

    for (size_t i = 0; i < resource->alias_count; i++)
        if (text_equal(resource->aliases[i].alias, name))
            return resource->aliases[i].member;
    for (const char *const *member = resource->members; *member; member++)
        if (text_equal(*member, snake))
            return *member;
    return NULL;
}

static bool fields_read(struct reading *reading, struct fault *fault)
{
    struct list_options *options = reading->options;
    const char *fields = query_value(reading->query, "fields");

    if (!fields || *fields == '\0')
        return true;
    const struct text_list names = text_split(reading->ctx, fields, ',');
    options->sparse = true;
    text_list_add(reading->ctx, &options->fields, "id");
    for (size_t i = 0; i < names.count; i++) {
        const char *member = member_find(reading, names.items[i]);
        if (!member && options->strict)
            return fault_set(fault, INPUT_INVALID, "fields", "there is no field %s",
                             text_quote(reading->ctx, names.items[i]));
        if (member && !text_list_has(&options->fields, member))
            text_list_add(reading->ctx, &options->fields, member);
    }
    return true;
}

/* A number from 1 on; what is none is the fallback, what is above the most is the most, but where
 * the client is strict. */
static bool number_read(const struct reading *reading, const char *name, int64_t most_value,
                        int64_t *value, struct fault *fault)
{
    const char *text = query_value(reading->query, name);
    int64_t number;

    if (!text)
        return true;
    if (text_to_integer(text, 1, most_value, &number)) {
        *value = number;
        return true;
    }
    if (reading->options->strict)
        return fault_set(fault, INPUT_INVALID, name, "`%s` must be 1 to %" PRId64, name,
                         most_value);
    if (text_to_integer(text, most_value, INT64_MAX, &number))
        *value = most_value;
    return true;
}

static bool paging_read(struct reading *reading, struct fault *fault)
{
    static const char *const sizes[] = {"per_page", "limit", "page_size"}; /* the last one wins */
    struct list_options *options = reading->options;

    options->page = 1;
    options->per_page = PER_PAGE_DEFAULT;
    if (!number_read(reading, "page", INT64_C(1) << 40, &options->page, fault))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        if (!number_read(reading, sizes[i], PER_PAGE_MAX, &options->per_page, fault))
            return false;
    if (reading->resource->catalogue)
        options->per_page = PER_PAGE_MAX;
    if (options->page * options->per_page > DEPTH_MAX && !options->by_cursor)
        return fault_set(fault, INPUT_INVALID, "page", "page too deep; use cursor pagination");
    return true;
}

static bool parameter_known(const struct reading *reading, const char *name)
{
    static const char *const everywhere[] = {"page",      "per_page", "page_size", "limit",
                                             "sort_desc", "sort",     "fields"};

    for (size_t i = 0; i < ARRAY_SIZE(everywhere); i++)
        if (text_equal(everywhere[i], name))
            return true;
    if (reading->resource->cursor && text_equal(name, "cursor"))
        return true;
    for (size_t i = 0; i < reading->resource->filter_count; i++) {
        const struct resource_filter *filter = &reading->resource->filters[i];
        if (filter->kind == FILTER_MAP ? map_key(filter, name) != NULL
                                       : text_equal(filter->name, name))
            return true;
    }
    return false;
}

static bool unknown_read(struct reading *reading, struct fault *fault)
{
    for (size_t i = 0; i < reading->query->count; i++) {
        const char *name = reading->query->items[i].name;
        if (parameter_known(reading, name))
            continue;
        if (reading->options->strict)
            return fault_set(fault, INPUT_INVALID, "query", "unknown query parameter %s",
                             text_quote(reading->ctx, name));
        text_list_add(reading->ctx, &reading->options->ignored, name);
    }
    return true;
}

static bool cursor_option(struct reading *reading, struct fault *fault)
{
    struct list_options *options = reading->options;

    if (!options->by_cursor)
        return true;
    return cursor_read(reading->ctx, reading->resource, options,
                       query_value(reading->query, "cursor"), &options->cursor, fault);
}

bool list_options_read(TALLOC_CTX *ctx, const struct resource *resource, const struct query *query,
                       bool strict, struct list_options *ret_options, struct fault *fault)
{
    struct list_options options = {.strict = strict};
    struct reading reading = {ctx, resource, query, &options};

    options.by_cursor = resource->cursor && query_value(query, "cursor");
    if (!unknown_read(&reading, fault) || !filters_read(&reading, fault) ||
        !sort_read(&reading, fault) || !fields_read(&reading, fault) ||
        !paging_read(&reading, fault) || !cursor_option(&reading, fault))
        return false;
    *ret_options = options;
    return true;
}
