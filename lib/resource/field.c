/* lib/resource/field.c: one value against its field, 05 sections 2.7 and 3.3. */
#include "resource/field.h"

#include <inttypes.h>

#include "core/auto.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

static const char *label_of(const struct resource_field *field)
{
    return field->label ? field->label : field->name;
}

static size_t characters_of(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += ((uint8_t)*text & 0xc0U) != 0x80U;
    return count;
}

static bool is_white(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* C0 and DEL; Jansson has refused NUL and what is not UTF-8. */
static bool has_controls(const char *text, bool is_note)
{
    for (; *text; text++)
        if (((uint8_t)*text < 0x20 && !(is_note && (*text == '\n' || *text == '\t'))) ||
            *text == 0x7f)
            return true;
    return false;
}

static void judge_text(const struct resource_field *field, const char *text,
                       struct fault_list *problems)
{
    const char *label = label_of(field);
    const size_t length = strlen(text);

    if (has_controls(text, field->kind == FIELD_NOTE))
        fault_list_add(problems, INPUT_INVALID, field->name, "%s contains control characters",
                       label);
    else if (field->most > 0 && characters_of(text) > (size_t)field->most)
        fault_list_add(problems, INPUT_INVALID, field->name, "%s exceeds %" PRId64 " characters",
                       label, field->most);
    else if (field->kind == FIELD_NAME && length > 0 &&
             (is_white(text[0]) || is_white(text[length - 1])))
        fault_list_add(problems, INPUT_INVALID, field->name,
                       "%s must not begin or end with white space", label);
}

static void judge_id(const struct resource_field *field, const char *text,
                     struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!id_valid(text))
        fault_list_add(problems, INPUT_INVALID, field->name, "%s: %s is not an id", label_of(field),
                       text_quote(scratch, text));
}

static void judge_choice(const struct resource_field *field, const char *text,
                         struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list choices = text_split(scratch, field->choices, '|');
    struct text_list quoted = {NULL, 0};

    if (text_list_has(&choices, text))
        return;
    for (size_t i = 0; i < choices.count; i++)
        text_list_add(scratch, &quoted, text_quote(scratch, choices.items[i]));
    fault_list_add(problems, INPUT_INVALID, field->name, "%s must be %s", label_of(field),
                   text_list_join(scratch, &quoted, " or "));
}

static void judge_integer(const struct resource_field *field, int64_t value,
                          struct fault_list *problems)
{
    if (value >= field->least && value <= field->most)
        return;
    if (value < 0 && field->least == 0 && field->most == INT32_MAX)
        fault_list_add(problems, INPUT_INVALID, field->name, "%s cannot be negative",
                       label_of(field));
    else
        fault_list_add(problems, INPUT_INVALID, field->name,
                       "%s must be between %" PRId64 " and %" PRId64 ", got %" PRId64,
                       label_of(field), field->least, field->most, value);
}

static void judge_items(const struct resource_field *field, const json_t *value,
                        struct fault_list *problems)
{
    const size_t count = json_array_size(value);

    if (field->most > 0 && count > (size_t)field->most) {
        fault_list_add(problems, INPUT_INVALID, field->name,
                       "%s has %zu items; at most %" PRId64 " are allowed", label_of(field), count,
                       field->most);
        return;
    }
    for (size_t i = 0; i < count && field->kind == FIELD_TEXTS; i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (!text)
            fault_list_add(problems, INPUT_INVALID, field->name, "%s[%zu] must be a string",
                           label_of(field), i);
        else if (has_controls(text, false))
            fault_list_add(problems, INPUT_INVALID, field->name,
                           "%s[%zu] contains control characters", label_of(field), i);
    }
}

/* What a value must be, where it is not: the words. */
static const char *type_words(const struct resource_field *field, const json_t *value)
{
    static const struct {
        json_type type;
        const char *words;
    } kinds[] = {
        [FIELD_NAME] = {JSON_STRING,  "a string"           },
        [FIELD_TEXT] = {JSON_STRING,  "a string"           },
        [FIELD_NOTE] = {JSON_STRING,  "a string"           },
        [FIELD_ID] = {JSON_STRING,  "a string"           },
        [FIELD_CHOICE] = {JSON_STRING,  "a string"           },
        [FIELD_BOOLEAN] = {JSON_TRUE,    "true or false"      },
        [FIELD_INTEGER] = {JSON_INTEGER, "an integer"         },
        [FIELD_TEXTS] = {JSON_ARRAY,   "an array of strings"},
        [FIELD_ARRAY] = {JSON_ARRAY,   "an array"           },
        [FIELD_OBJECT] = {JSON_OBJECT,  "an object"          },
    };
    const json_type type = json_is_false(value) ? JSON_TRUE : json_typeof(value);

    return type == kinds[field->kind].type ? NULL : kinds[field->kind].words;
}

static void judge_limits(const struct resource_field *field, const json_t *value,
                         struct fault_list *problems)
{
    switch (field->kind) {
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_NOTE:
        judge_text(field, json_string_value(value), problems);
        break;
    case FIELD_ID:
        judge_id(field, json_string_value(value), problems);
        break;
    case FIELD_CHOICE:
        judge_choice(field, json_string_value(value), problems);
        break;
    case FIELD_INTEGER:
        judge_integer(field, json_integer_value(value), problems);
        break;
    case FIELD_TEXTS:
    case FIELD_ARRAY:
        judge_items(field, value, problems);
        break;
    case FIELD_BOOLEAN:
    case FIELD_OBJECT:
        break;
    }
}

static bool is_empty_text(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) == 0;
}

void field_judge(const struct resource_field *field, const json_t *value,
                 struct fault_list *problems)
{
    const size_t before = problems->count;
    const char *wanted = type_words(field, value);

    if (wanted) {
        fault_list_add(problems, INPUT_INVALID, field->name, "%s must be %s", label_of(field),
                       wanted);
        return;
    }
    if (field->flags & FIELD_REQUIRED && is_empty_text(value)) {
        fault_list_add(problems, INPUT_INVALID, field->name, "%s is required", label_of(field));
        return;
    }
    judge_limits(field, value, problems);
    if (field->check && problems->count == before)
        field->check(field, value, problems);
}

/* What the body says of one field, or NULL where it is silent. Borrowed. */
static json_t *said(const struct resource_field *field, enum body_manner manner, const json_t *body)
{
    json_t *value = json_object_get(body, field->name);

    if (manner != BODY_NEW && field->flags & FIELD_FIXED)
        return NULL;
    if (!value || manner == BODY_PATCH)
        return value;
    if (json_is_null(value) || (field->flags & FIELD_REQUIRED && is_empty_text(value)))
        return NULL;
    if (manner == BODY_NEW && field->flags & FIELD_ZERO_IS_ABSENT && json_is_integer(value) &&
        json_integer_value(value) == 0)
        return NULL;
    return value;
}

/* A literal of a const table. */
static json_t *fallback_of(const struct resource_field *field)
{
    return field->fallback ? json_loads(field->fallback, JSON_DECODE_ANY, NULL) : json_null();
}

/* Where the body is silent. */
static json_t *unsaid(const struct resource_field *field, const json_t *stored,
                      struct fault_list *problems)
{
    if (stored) {
        const json_t *kept = json_object_get(stored, field->name);
        return kept ? json_deep_copy(kept) : json_null();
    }
    if (field->flags & FIELD_REQUIRED && !field->fallback) {
        fault_list_add(problems, INPUT_INVALID, field->name, "%s is required", label_of(field));
        return json_null();
    }
    return fallback_of(field);
}

static json_t *cleared(const struct resource_field *field, struct fault_list *problems)
{
    if (field->flags & FIELD_REQUIRED) {
        fault_list_add(problems, INPUT_INVALID, field->name, "%s is required", label_of(field));
        return json_null();
    }
    return field->flags & FIELD_NULLABLE ? json_null() : fallback_of(field);
}

static json_t *value_of(const struct resource_field *field, enum body_manner manner,
                        const json_t *stored, json_t *value, struct fault_list *problems)
{
    const size_t before = problems->count;

    if (json_is_null(value) || (is_empty_text(value) && field->flags & FIELD_NULLABLE))
        return cleared(field, problems);
    json_t *wanted = manner == BODY_PATCH && field->kind == FIELD_OBJECT
                         ? merge_patch(json_object_get(stored, field->name), value)
                         : json_deep_copy(value);
    field_judge(field, wanted, problems);
    if (problems->count == before)
        return wanted;
    json_decref(wanted);
    return json_null();
}

json_t *fields_merge(const struct resource_write *write, enum body_manner manner,
                     const json_t *stored, const json_t *body, struct fault_list *problems)
{
    AUTO(json_t) *row = json_object();

    for (size_t i = 0; i < write->field_count; i++) {
        const struct resource_field *field = &write->fields[i];
        json_t *value = said(field, manner, body);

        json_set_new(row, field->name,
                     value ? value_of(field, manner, stored, value, problems)
                           : unsaid(field, stored, problems));
    }
    return TAKE(row);
}

bool field_is_written(const struct resource_write *write, enum body_manner manner, const char *name)
{
    for (size_t i = 0; i < write->field_count; i++)
        if (text_equal(write->fields[i].name, name))
            return manner == BODY_NEW || !(write->fields[i].flags & FIELD_FIXED);
    return false;
}

static void diff_add(json_t *diff, const struct resource_field *field, const json_t *before,
                     const json_t *after)
{
    json_t *item = json_object();

    json_set_text(item, "field", field->name);
    if (!(field->flags & FIELD_PRIVATE)) {
        if (before)
            json_set_new(item, "before", json_deep_copy(before));
        if (after)
            json_set_new(item, "after", json_deep_copy(after));
    }
    json_add_new(diff, item);
}

/* A row that is not there differs from one that is in all but nulls. */
static bool same(const json_t *before, const json_t *after)
{
    if (!before || !after)
        return json_is_null(before) || json_is_null(after) || before == after;
    return json_equal(before, after) == 1;
}

json_t *fields_diff(const struct resource_write *write, const json_t *stored, const json_t *row)
{
    json_t *diff = json_array();

    for (size_t i = 0; i < write->field_count; i++) {
        const struct resource_field *field = &write->fields[i];
        const json_t *before = json_object_get(stored, field->name);
        const json_t *after = json_object_get(row, field->name);

        if (!same(before, after))
            diff_add(diff, field, before, after);
    }
    return diff;
}

/* Members of a body nest 32 levels at most, since json_parse_object refuses more. */
json_t *merge_patch(const json_t *target, json_t *patch)
{
    const char *name;
    json_t *value;

    if (!json_is_object(patch))
        return json_deep_copy(patch);
    json_t *merged = json_is_object(target) ? json_deep_copy(target) : json_object();
    json_object_foreach (patch, name, value) {
        if (json_is_null(value))
            (void)json_object_del(merged, name);
        else
            json_set_new(merged, name, merge_patch(json_object_get(merged, name), value));
    }
    return merged;
}
