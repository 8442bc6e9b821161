/* lib/resource/write_refusal.c: what the database refused, in the words of the contract (05 section
 * 2.2). C has judged the values before, so this speaks of other rows: names that are taken, objects
 * that are not there, objects that are still used. */
#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "resource/resource_private.h"

#include "core/banned.h"

static const char *words_of(const struct resource_write *write, const char *constraint)
{
    for (size_t i = 0; i < write->constraint_count; i++)
        if (text_equal(write->constraints[i].name, constraint))
            return write->constraints[i].text;
    return NULL;
}

static void duplicate(const struct resource_change *change, const char *constraint,
                      struct fault *fault)
{
    const struct resource_write *write = change->resource->write;
    const char *words = words_of(write, constraint);

    if (words)
        fault_set(fault, DATABASE_DUPLICATE, NULL, "%s", words);
    else
        fault_set(fault, DATABASE_DUPLICATE, NULL, "A %s with that %s already exists", write->noun,
                  text_ends(constraint, "_pkey") ? "id" : "name");
}

/* PostgreSQL names a foreign key <table>_<column>_fkey where nobody named it. */
static const struct resource_field *field_of(const struct resource_write *write,
                                             const char *constraint)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < write->field_count; i++) {
        const struct resource_field *field = &write->fields[i];
        if (text_equal(constraint, mem_printf(scratch, "%s_%s_fkey", write->table,
                                              field->column ? field->column : field->name)))
            return field;
    }
    return NULL;
}

static void reference(const struct resource_change *change, const char *constraint,
                      struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct resource_field *field = field_of(change->resource->write, constraint);

    if (!field)
        return;
    const char *id = json_text_at(change->row, field->name);
    fault_set(fault, DATABASE_REFERENCE, field->name, "%s: no such %s %s", field->name,
              field->refers ? field->refers : "object", text_quote(scratch, id ? id : ""));
}

static void in_use(const struct resource_change *change, const char *constraint,
                   struct fault *fault)
{
    const struct resource_write *write = change->resource->write;
    const char *words = words_of(write, constraint);

    if (words)
        fault_set(fault, RESOURCE_IN_USE, NULL, "%s", words);
    else
        fault_set(fault, RESOURCE_IN_USE, NULL, "Cannot delete %s: it is still in use",
                  write->noun);
}

void write_refusal(const struct resource_change *change, struct fault *fault)
{
    const struct db_refusal refusal = *db_refusal(change->request->db);
    const struct fault was = *fault;

    if (fault->reason == DATABASE_DUPLICATE)
        duplicate(change, refusal.constraint, fault);
    else if (fault->reason == DATABASE_REFERENCE && change->verb == RESOURCE_DELETE)
        in_use(change, refusal.constraint, fault);
    else if (fault->reason == DATABASE_REFERENCE)
        reference(change, refusal.constraint, fault);
    else if (text_equal(refusal.sqlstate, "55P03"))
        fault_set(fault, RESOURCE_STATE, NULL, "Resource is busy, retry");
    if (fault->reason != REASON_NONE && *fault->cause == '\0')
        fault_cause(fault, "%s", was.cause);
}
