/* lib/resource/field.h: a body held against the fields of a resource, without a database. */
#ifndef CERTCTL_RESOURCE_FIELD_H
#define CERTCTL_RESOURCE_FIELD_H

#include "core/text.h"
#include "resource/write.h"

/* How a body says what it wants. */
enum body_manner {
    BODY_NEW,   /* POST: silence is the fallback */
    BODY_PUT,   /* silence and null keep what is stored */
    BODY_PATCH, /* RFC 7396: silence keeps, null clears */
};

/* Judges one value: its type, then its limits, then its own check. */
void field_judge(const struct resource_field *field, const json_t *value,
                 struct fault_list *problems);

/* The row that the body makes of `stored` (NULL: there is none). Every refusal is in `problems`,
 * and values that were refused are not in the row. A new reference. */
json_t *fields_merge(const struct resource_write *write, enum body_manner manner,
                     const json_t *stored, const json_t *body, struct fault_list *problems);

/* Whether the body may set the member, in that manner. */
bool field_is_written(const struct resource_write *write, enum body_manner manner,
                      const char *name);

/* [{"field","before","after"}] of what differs; either may be NULL. A new reference. */
json_t *fields_diff(const struct resource_write *write, const json_t *stored, const json_t *row);

/* The JSON Merge Patch of RFC 7396 section 2. A new reference. */
json_t *merge_patch(const json_t *target, json_t *patch);

#endif
