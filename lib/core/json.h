/* lib/core/json.h: JSON in by tables of members, JSON out without surprises (on Jansson).
 *
 * Objects come from json_parse only: duplicate members, NUL, trailing bytes, nesting deeper than
 * 32 levels and integers beyond 64 bits are refused there. */
#ifndef CERTCTL_CORE_JSON_H
#define CERTCTL_CORE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/text.h"

#define JSON_DEPTH_MAX     32
#define JSON_CONTAINER_MAX 20000

/* One JSON object. `reason` is what a refusal carries; `what` names the text in its detail. */
json_t *json_parse_object(struct bytes text, enum fault_reason reason, const char *what,
                          struct fault *fault) MUST_USE;

enum member_kind {
    MEMBER_TEXT,      /* const char *; no NUL inside (Jansson refuses \u0000) */
    MEMBER_BOOLEAN,   /* bool */
    MEMBER_INTEGER,   /* int64_t; 1.0 is no integer */
    MEMBER_BASE64URL, /* struct bytes, strict */
    MEMBER_RFC3339,   /* int64_t Unix seconds */
    MEMBER_TEXTS,     /* struct text_list */
    MEMBER_OBJECT,    /* json_t *, borrowed from the parsed object */
    MEMBER_ARRAY,     /* json_t *, borrowed */
};
enum member_need { OPTIONAL, REQUIRED };

struct member {
    const char *name;
    enum member_kind kind;
    enum member_need need;
    size_t offset;
};

/* Fills *into. Absent and null members leave their place alone; unknown members are ignored.
 * The fault (INPUT_INVALID) names the member. Strings and lists hang on ctx. */
bool json_decode_members(TALLOC_CTX *ctx, json_t *object, const struct member *members,
                         size_t count, void *into, struct fault *fault) MUST_USE;
#define json_decode(ctx, object, members, into, fault)                                             \
    json_decode_members((ctx), (object), (members), ARRAY_SIZE(members), (into), (fault))

/* Setters that abort where Jansson runs out of memory; NULL text sets nothing. */
void json_set_text(json_t *object, const char *name, const char *value);
void json_set_integer(json_t *object, const char *name, int64_t value);
void json_set_bool(json_t *object, const char *name, bool value);
/* Takes over the reference. */
void json_set_new(json_t *object, const char *name, json_t *value);
void json_add_new(json_t *array, json_t *value);
void json_add_text(json_t *array, const char *value);
/* Compact, members in order of insertion, '/' not escaped. */
char *json_to_text(TALLOC_CTX *ctx, const json_t *value);
/* Borrowed; NULL when absent or no string. */
const char *json_text_at(const json_t *object, const char *name);

#endif
