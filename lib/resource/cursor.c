/* lib/resource/cursor.c: where a walk stands, as a text for the client to keep (05 section 2.8).
 *
 * base64url of [1, sort, direction, last value, last id, total, hash], the hash over the filters.
 * It is no secret and no promise: what it says is checked for its form and then only compared. */
#include <inttypes.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "resource/resource_private.h"

#include "core/banned.h"

#define CURSOR_VERSION 1
#define CURSOR_ITEMS   7
#define HASH_DIGITS    16

static char *hash_of(TALLOC_CTX *ctx, const struct resource *resource,
                     const struct list_options *options)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *text = mem_text(scratch, resource->name);

    for (size_t i = 0; i < resource->filter_count; i++)
        if (options->values[i])
            text = mem_append(text, "\n%s=%zu:%s", resource->filters[i].name,
                              strlen(options->values[i]), options->values[i]);
    return mem_text_n(ctx, digest_sha256_hex(scratch, bytes_of_text(text)), HASH_DIGITS);
}

char *cursor_text(TALLOC_CTX *ctx, const struct resource *resource,
                  const struct list_options *options, const struct cursor *cursor)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *items = json_array();

    json_add_new(items, json_integer(CURSOR_VERSION));
    json_add_text(items, resource->sorts[options->sort].name);
    json_add_text(items, options->descending ? "desc" : "asc");
    json_add_text(items, cursor->key);
    json_add_text(items, cursor->id);
    json_add_new(items, json_integer(cursor->total));
    json_add_text(items, hash_of(scratch, resource, options));
    return base64url_from_bytes(ctx, bytes_of_text(json_to_text(scratch, items)));
}

static bool invalid(struct fault *fault)
{
    return fault_set(fault, INPUT_MALFORMED, "cursor", "invalid cursor");
}

static const char *text_item(const json_t *items, size_t index)
{
    return json_string_value(json_array_get(items, index));
}

static bool key_valid(const struct resource_sort *sort, const char *key)
{
    int64_t unix_s;

    return sort->kind == SORT_TEXT || text_equal(key, "infinity") ||
           (text_ends(key, "Z") && time_from_rfc3339(key, &unix_s));
}

static json_t *items_from(TALLOC_CTX *ctx, const char *text)
{
    struct bytes octets = {0};

    if (!base64url_to_bytes(ctx, text, strlen(text), &octets))
        return NULL;
    return json_loadb((const char *)octets.data, octets.size, JSON_REJECT_DUPLICATES, NULL);
}

static bool form_valid(const json_t *items)
{
    if (!json_is_array(items) || json_array_size(items) != CURSOR_ITEMS ||
        json_integer_value(json_array_get(items, 0)) != CURSOR_VERSION)
        return false;
    for (size_t i = 1; i < CURSOR_ITEMS; i++)
        if (i == 5 ? !json_is_integer(json_array_get(items, i)) : !text_item(items, i))
            return false;
    return json_integer_value(json_array_get(items, 5)) >= 0 && id_valid(text_item(items, 4));
}

bool cursor_read(TALLOC_CTX *ctx, const struct resource *resource,
                 const struct list_options *options, const char *text, struct cursor *ret_cursor,
                 struct fault *fault)
{
    const struct resource_sort *sort = &resource->sorts[options->sort];
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (*text == '\0') {
        *ret_cursor = (struct cursor){0};
        return true;
    }
    AUTO(json_t) *items = items_from(scratch, text);
    if (!form_valid(items))
        return invalid(fault);
    if (!text_equal(text_item(items, 1), sort->name) ||
        !text_equal(text_item(items, 2), options->descending ? "desc" : "asc") ||
        !text_equal(text_item(items, 6), hash_of(scratch, resource, options)))
        return fault_set(fault, INPUT_MALFORMED, "cursor", "cursor does not match this query");
    if (!key_valid(sort, text_item(items, 3)))
        return invalid(fault);
    *ret_cursor = (struct cursor){
        .key = mem_text(ctx, text_item(items, 3)),
        .id = mem_text(ctx, text_item(items, 4)),
        .total = json_integer_value(json_array_get(items, 5)),
    };
    return true;
}
