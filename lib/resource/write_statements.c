/* lib/resource/write_statements.c: SQL of the write side from const tables, once per process.
 *
 * The row travels as one JSON parameter. jsonb_populate_record gives each member the type of its
 * column, so that no table of ours says it again, and a member that is no column is not read. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "resource/resource_private.h"

#include "core/banned.h"

static const char *column_of(const struct resource_field *field)
{
    return field->column ? field->column : field->name;
}

/* "t.name AS name, …": members that no column has are expressions already. */
static char *stored_columns(TALLOC_CTX *ctx, const struct resource_write *write)
{
    char *sql = mem_text(ctx, "");

    for (size_t i = 0; i < write->field_count; i++) {
        const struct resource_field *field = &write->fields[i];
        sql = mem_append(sql, "%s%s%s AS %s", i > 0 ? ", " : "",
                         field->flags & FIELD_ELSEWHERE ? "" : "t.", column_of(field), field->name);
    }
    return sql;
}

/* What INSERT and UPDATE set: the columns of fields, then those that hooks may add. */
static struct text_list written_columns(TALLOC_CTX *ctx, const struct resource_write *write)
{
    struct text_list columns = {NULL, 0};

    for (size_t i = 0; i < write->field_count; i++)
        if (!(write->fields[i].flags & FIELD_ELSEWHERE))
            text_list_add(ctx, &columns, column_of(&write->fields[i]));
    for (size_t i = 0; write->more_columns && write->more_columns[i]; i++)
        text_list_add(ctx, &columns, write->more_columns[i]);
    return columns;
}

/* The audit row of what `acted` did; the act and its row are one statement, so neither is without
 * the other. $4 … $12 as write.c's audit_parameters gives them. */
static const char audit_sql[] =
    " INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id,"
    " details, event_category, source_ip, request_id)"
    " SELECT $4::text, left($5::text, 255), $6::text, $7::text, $8::text, acted.id::text,"
    " $9::text::jsonb, $10::text, $11::text::inet, $12::text FROM acted";

static char *insert_sql(TALLOC_CTX *ctx, const struct resource_write *write)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list columns = written_columns(scratch, write);
    const char *names = text_list_join(scratch, &columns, ", ");
    const char *values = text_list_join(scratch, &columns, ", n.");

    return mem_printf(ctx,
                      "WITH acted AS (INSERT INTO %s (id, %s) SELECT $1::text, n.%s"
                      " FROM jsonb_populate_record(NULL::%s, $3::text::jsonb) n"
                      " WHERE $2::bigint = 0 RETURNING id)%s",
                      write->table, names, values, write->table, audit_sql);
}

/* The version is counted here too, for what changed in other tables alone: the trigger touch
 * counts one for both. */
static char *update_sql(TALLOC_CTX *ctx, const struct resource_write *write)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list columns = written_columns(scratch, write);
    char *sql = mem_printf(ctx, "WITH acted AS (UPDATE %s t SET ", write->table);

    for (size_t i = 0; i < columns.count; i++)
        sql = mem_append(sql, "%s = n.%s, ", columns.items[i], columns.items[i]);
    return mem_append(sql,
                      "row_version = t.row_version + 1"
                      " FROM jsonb_populate_record(NULL::%s, $3::text::jsonb) n"
                      " WHERE t.id = $1::text AND t.row_version = $2::bigint"
                      " RETURNING t.id)%s",
                      write->table, audit_sql);
}

static char *remove_sql(TALLOC_CTX *ctx, const struct resource_write *write)
{
    char *sql = write->remove ? mem_printf(ctx, "WITH acted AS (%s", write->remove)
                              : mem_printf(ctx, "WITH acted AS (DELETE FROM %s t", write->table);

    return mem_append(sql,
                      " WHERE t.id = $1::text AND t.row_version = $2::bigint"
                      " AND $3::text IS NULL RETURNING t.id)%s",
                      audit_sql);
}

/* Once the lock is held, a new statement sees what its last holder wrote, in other tables too.
 * $1 id, $2 $3 scopes. */
static char *read_sql(TALLOC_CTX *ctx, const struct resource *resource)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const bool scoped = resource->scope_profile || resource->scope_issuer;
    const char *allowed = scoped ? scope_condition(scratch, resource, "v", 2)
                                 : "($2::text[] IS NULL AND $3::text[] IS NULL)";

    return mem_printf(ctx,
                      "SELECT t.id || '.' || t.row_version AS tag, t.row_version, %s AS allowed,"
                      " (SELECT row_to_json(r) FROM (SELECT %s) r)::text AS stored, v.doc"
                      " FROM %s t JOIN %s v ON v.id = t.id WHERE t.id = $1::text",
                      allowed, stored_columns(scratch, resource->write), resource->write->table,
                      resource->view);
}

void write_statements_make(TALLOC_CTX *ctx, struct resource_statements *made, struct db *db)
{
    const struct resource *resource = made->resource;
    const struct resource_write *write = resource->write;
    const struct {
        struct statement *statement;
        const char *verb;
        char *sql;
    } list[] = {
        {&made->lock, "lock",
         mem_printf(ctx,                      "SELECT t.id FROM %s t WHERE t.id = $1::text FOR UPDATE", write->table)},
        {&made->read,           "read",       read_sql(ctx,     resource)                                          },
        {&made->insert,           "insert",     insert_sql(ctx, write)},
        {&made->update,           "update",     update_sql(ctx, write)                                          },
        {&made->remove,           "remove",     remove_sql(ctx, write)},
    };

    if (write->field_count > RESOURCE_FIELDS_MAX)
        abort(); /* a table of ours outgrew its limit */
    for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
        *list[i].statement = (struct statement){
            .name = mem_printf(ctx, "%s_%s", resource->name, list[i].verb),
            .sql = list[i].sql,
        };
        db_statements_add(db, list[i].statement, 1);
    }
}
