/* lib/core/json.c: JSON (RFC 8259) in by tables of members, out in order of insertion. */

#include "core/json.h"

#include <inttypes.h>
#include <string.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

/* What the bytes look like before anything is built from them. */
struct outline {
    size_t depth;
    size_t commas[JSON_DEPTH_MAX];
    bool in_text;
    bool escaped;
    bool too_deep;
    bool too_wide;
};

static void outline_open(struct outline *outline)
{
    if (outline->depth == JSON_DEPTH_MAX)
        outline->too_deep = true;
    else
        outline->commas[outline->depth++] = 0;
}

static void outline_structure(struct outline *outline, uint8_t byte)
{
    if (byte == '"')
        outline->in_text = true;
    else if (byte == '{' || byte == '[')
        outline_open(outline);
    else if ((byte == '}' || byte == ']') && outline->depth > 0)
        outline->depth--;
    else if (byte == ',' && outline->depth > 0)
        outline->too_wide |= ++outline->commas[outline->depth - 1] >= JSON_CONTAINER_MAX;
}

static void outline_text(struct outline *outline, uint8_t byte)
{
    if (outline->escaped)
        outline->escaped = false;
    else if (byte == '\\')
        outline->escaped = true;
    else if (byte == '"')
        outline->in_text = false;
}

/* Jansson would recurse 2,048 levels and fill hash tables of any size first. */
static bool outline_acceptable(struct bytes text, enum fault_reason reason, const char *what,
                               struct fault *fault)
{
    struct outline outline = {0};

    for (size_t i = 0; i < text.size && !outline.too_deep && !outline.too_wide; i++) {
        if (outline.in_text)
            outline_text(&outline, text.data[i]);
        else
            outline_structure(&outline, text.data[i]);
    }
    if (outline.too_deep)
        return fault_set(fault, reason, NULL, "%s: nesting deeper than %d levels", what,
                         JSON_DEPTH_MAX);
    if (outline.too_wide)
        return fault_set(fault, reason, NULL, "%s: more than %d members in one container", what,
                         JSON_CONTAINER_MAX);
    return true;
}

/* Jansson's own words quote a stranger's bytes, so they are not passed on. */
static const char *error_words(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        return "a member name appears twice";
    case json_error_invalid_utf8:
        return "not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "U+0000 is not accepted";
    case json_error_end_of_input_expected:
        return "something follows the JSON text";
    case json_error_premature_end_of_input:
        return "the JSON text is incomplete";
    case json_error_numeric_overflow:
        return "a number is out of range";
    case json_error_unknown:
    case json_error_out_of_memory:
    case json_error_stack_overflow:
    case json_error_cannot_open_file:
    case json_error_invalid_argument:
    case json_error_invalid_syntax:
    case json_error_invalid_format:
    case json_error_wrong_type:
    case json_error_null_value:
    case json_error_item_not_found:
    case json_error_index_out_of_range:
        break;
    }
    return "not JSON (RFC 8259)";
}

json_t *json_parse_object(struct bytes text, enum fault_reason reason, const char *what,
                          struct fault *fault)
{
    json_error_t error;

    if (!outline_acceptable(text, reason, what, fault))
        return NULL;
    /* Jansson takes a NULL buffer for a caller's mistake, but an empty body has no buffer. */
    AUTO(json_t) *parsed = json_loadb(text.size > 0 ? (const char *)text.data : "", text.size,
                                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!parsed) {
        fault_set(fault, reason, NULL, "%s: %s at line %d, column %d", what, error_words(&error),
                  error.line, error.column);
        return NULL;
    }
    if (!json_is_object(parsed))
        return fault_set(fault, reason, NULL, "%s must be a JSON object", what);
    return TAKE(parsed);
}

/* Room for a value that is read only to see whether it can be. */
union place {
    const char *text;
    bool boolean;
    int64_t integer;
    struct bytes bytes;
    struct text_list texts;
    json_t *json;
};

static bool read_texts(TALLOC_CTX *ctx, const json_t *value, struct text_list *into)
{
    struct text_list list = {0};
    size_t index;
    json_t *item;

    if (!json_is_array(value))
        return false;
    json_array_foreach (value, index, item) {
        if (!json_is_string(item))
            return false;
    }
    list.items = mem_array(ctx, char *, json_array_size(value));
    json_array_foreach (value, index, item)
        list.items[list.count++] = mem_text(list.items, json_string_value(item));
    *into = list;
    return true;
}

static bool read_value(TALLOC_CTX *ctx, enum member_kind kind, json_t *value, void *into)
{
    const char *text = json_string_value(value);

    switch (kind) {
    case MEMBER_TEXT:
        *(const char **)into = mem_text(ctx, text);
        return text;
    case MEMBER_BOOLEAN:
        *(bool *)into = json_is_true(value);
        return json_is_boolean(value);
    case MEMBER_INTEGER:
        *(int64_t *)into = json_integer_value(value);
        return json_is_integer(value);
    case MEMBER_BASE64URL:
        return text && base64url_to_bytes(ctx, text, json_string_length(value), into);
    case MEMBER_RFC3339:
        return text && time_from_rfc3339(text, into);
    case MEMBER_TEXTS:
        return read_texts(ctx, value, into);
    case MEMBER_OBJECT:
        *(json_t **)into = value;
        return json_is_object(value);
    case MEMBER_ARRAY:
        *(json_t **)into = value;
        return json_is_array(value);
    }
    return false;
}

static const char *kind_words(enum member_kind kind)
{
    switch (kind) {
    case MEMBER_TEXT:
        return "a string";
    case MEMBER_BOOLEAN:
        return "true or false";
    case MEMBER_INTEGER:
        return "an integer";
    case MEMBER_BASE64URL:
        return "base64url without padding (RFC 7515 section 2)";
    case MEMBER_RFC3339:
        return "a time as in RFC 3339";
    case MEMBER_TEXTS:
        return "an array of strings";
    case MEMBER_OBJECT:
        return "an object";
    case MEMBER_ARRAY:
        return "an array";
    }
    return "something else";
}

/* NULL: absent, or null, which means the same here. */
static json_t *member_value(json_t *object, const struct member *member)
{
    json_t *value = json_object_get(object, member->name);

    return json_is_null(value) ? NULL : value;
}

static bool member_acceptable(json_t *object, const struct member *member, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    union place place;
    json_t *value = member_value(object, member);

    if (!value && member->need == REQUIRED)
        return fault_set(fault, INPUT_INVALID, member->name, "%s is required", member->name);
    if (value && !read_value(scratch, member->kind, value, &place))
        return fault_set(fault, INPUT_INVALID, member->name, "%s must be %s", member->name,
                         kind_words(member->kind));
    return true;
}

/* All are tried before the first is kept, so that a refusal leaves *into and ctx as they were. */
bool json_decode_members(TALLOC_CTX *ctx, json_t *object, const struct member *members,
                         size_t count, void *into, struct fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        if (!member_acceptable(object, &members[i], fault))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        json_t *value = member_value(object, &members[i]);
        if (value)
            (void)read_value(ctx, members[i].kind, value, (char *)into + members[i].offset);
    }
    return true;
}

void json_set_new(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        mem_exhausted(0, name);
}

void json_add_new(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        mem_exhausted(0, "a JSON array");
}

/* Jansson refuses what is not UTF-8. A text that a stranger spoilt must not end the process. */
static json_t *new_text(const char *value)
{
    if (text_utf8_valid(value, strlen(value)))
        return json_string(value);
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return json_string(text_utf8_repair(scratch, value));
}

void json_set_text(json_t *object, const char *name, const char *value)
{
    if (value)
        json_set_new(object, name, new_text(value));
}

void json_set_integer(json_t *object, const char *name, int64_t value)
{
    json_set_new(object, name, json_integer(value));
}

void json_set_bool(json_t *object, const char *name, bool value)
{
    json_set_new(object, name, json_boolean(value));
}

void json_add_text(json_t *array, const char *value)
{
    if (value)
        json_add_new(array, new_text(value));
}

struct growing {
    char *text;
    size_t used;
    size_t room;
};

/* Jansson's own dump returns memory of malloc, which nothing of ours frees. */
static int grow(const char *piece, size_t size, void *data)
{
    struct growing *growing = data;

    if (growing->used + size >= growing->room) {
        growing->room = most(growing->room * 2, growing->used + size + 1);
        growing->text = mem_resize(NULL, growing->text, char, growing->room);
    }
    memcpy(growing->text + growing->used, piece, size);
    growing->used += size;
    return 0;
}

char *json_to_text(TALLOC_CTX *ctx, const json_t *value)
{
    struct growing growing = {.text = mem_array(ctx, char, 512), .room = 512};

    if (json_dump_callback(value, grow, &growing, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        mem_exhausted(0, "a JSON text");
    growing.text[growing.used] = '\0';
    return growing.text;
}

const char *json_text_at(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}
