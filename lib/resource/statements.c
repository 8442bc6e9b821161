/* lib/resource/statements.c: SQL from const tables, once per process (05 section 9).
 *
 * The parameters of a list, in this order: the filters, the two scopes where the resource (or its
 * parent) has any, the parent's id where there is one, rows per page, offset (page) or key and id
 * (next), fields. list.c sends them in the same order. */
#include <stdio.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "resource/resource_private.h"

#include "core/banned.h"

/* A statement in the making: `next` is the number of the next parameter. */
struct maker {
    const struct resource *resource;
    const struct resource_sort *sort;
    const char *direction;
    const char *conditions;
    const char *allowed; /* the parent's columns, or "" */
    unsigned next;
};

static const char *cast_of(enum filter_kind kind)
{
    switch (kind) {
    case FILTER_TEXT:
    case FILTER_ID:
    case FILTER_CHOICE:
        return "text";
    case FILTER_TIME:
        return "timestamptz";
    case FILTER_BOOL:
        return "boolean";
    case FILTER_MAP:
        return "jsonb";
    }
    return "text";
}

/* "($3::text IS NULL OR v.status = $3::text)" */
static char *append_filter(char *sql, const struct resource_filter *filter, unsigned number)
{
    const char *cast = cast_of(filter->kind);
    const char *mark = strchr(filter->sql, '$');

    if (!mark) /* a table of ours without its place for the value */
        abort();
    return mem_append(sql, "%s($%u::%s IS NULL OR %.*s$%u::%s%s)", *sql ? " AND " : "", number,
                      cast, (int)(mark - filter->sql), filter->sql, number, cast, mark + 1);
}

static bool has_scope(const struct resource *resource)
{
    return resource->scope_profile || resource->scope_issuer;
}

/* Both parameters are NULL where the grant is global, else arrays, perhaps empty. */
char *scope_condition(TALLOC_CTX *ctx, const struct resource *resource, const char *alias,
                      unsigned number)
{
    char *sql = mem_printf(ctx, "($%u::text[] IS NULL AND $%u::text[] IS NULL", number, number + 1);

    if (resource->scope_profile)
        sql = mem_append(sql, " OR coalesce(%s.%s = ANY ($%u::text[]), false)", alias,
                         resource->scope_profile, number);
    if (resource->scope_issuer)
        sql = mem_append(sql, " OR coalesce(%s.%s = ANY ($%u::text[]), false)", alias,
                         resource->scope_issuer, number + 1);
    return mem_append(sql, ")");
}

static char *conditions_of(TALLOC_CTX *ctx, struct maker *maker)
{
    const struct resource *resource = maker->resource;
    char *sql = mem_text(ctx, "");

    for (size_t i = 0; i < resource->filter_count; i++)
        sql = append_filter(sql, &resource->filters[i], maker->next++);
    if (has_scope(resource)) {
        const char *scope = scope_condition(ctx, resource, "v", maker->next);
        sql = mem_append(sql, "%s%s", *sql ? " AND " : "", scope);
        maker->next += 2;
    }
    return sql;
}

/* Whether the parent is there and may be read: two columns of the one row. */
static char *parent_columns(TALLOC_CTX *ctx, struct maker *maker)
{
    const struct resource *parent = maker->resource->parent;
    const char *allowed = "true";
    unsigned number = maker->next;

    if (!parent)
        return mem_text(ctx, "true AS found, true AS allowed");
    if (has_scope(parent)) {
        allowed = scope_condition(ctx, parent, "o", number);
        number += 2;
    }
    maker->next = number + 1;
    return mem_printf(ctx,
                      "EXISTS (SELECT 1 FROM %s o WHERE o.id = $%u::text) AS found,"
                      " EXISTS (SELECT 1 FROM %s o WHERE o.id = $%u::text AND %s) AS allowed",
                      parent->view, number, parent->view, number, allowed);
}

static char *with_parent(TALLOC_CTX *ctx, const struct maker *maker, char *conditions)
{
    if (maker->resource->parent)
        conditions = mem_append(conditions, "%sv.%s = $%u::text", *conditions ? " AND " : "",
                                maker->resource->parent_column, maker->next - 1);
    return *conditions ? conditions : mem_text(ctx, "true");
}

/* `found` takes one row more than the page has: whether there is a next page. doc is made for the
 * rows of the page alone, since a view's column is only computed where it is read. */
static char *list_sql(TALLOC_CTX *ctx, struct maker *maker, bool behind_cursor)
{
    const struct resource_sort *sort = maker->sort;
    const char *direction = maker->direction;
    const char *view = maker->resource->view;
    const unsigned rows = maker->next++;
    char *sql = mem_printf(ctx, "WITH found AS (SELECT v.id, %s AS key FROM %s v WHERE %s",
                           sort->sql, view, maker->conditions);

    if (behind_cursor) {
        sql = mem_append(sql, " AND (%s, v.id) %s ($%u::%s, $%u::text)", sort->sql,
                         text_equal(direction, "ASC") ? ">" : "<", maker->next,
                         sort->kind == SORT_TIME ? "timestamptz" : "text", maker->next + 1);
        maker->next += 2;
    }
    sql = mem_append(sql, " ORDER BY %s %s, v.id %s LIMIT $%u::bigint + 1", sort->sql, direction,
                     direction, rows);
    if (!behind_cursor)
        sql = mem_append(sql, " OFFSET $%u::bigint", maker->next++);
    sql = mem_append(
        sql,
        "), page AS (SELECT id, key, row_number() OVER (ORDER BY key %s, id %s) AS n FROM found)"
        " SELECT ",
        direction, direction);
    sql = behind_cursor ? mem_append(sql, "NULL::bigint AS total")
                        : mem_append(sql, "(SELECT count(*) FROM %s v WHERE %s) AS total", view,
                                     maker->conditions);
    return mem_append(sql,
                      ", EXISTS (SELECT 1 FROM page WHERE n > $%u::bigint) AS more,"
                      " (SELECT %s FROM page WHERE n = $%u::bigint) AS last_key,"
                      " (SELECT id FROM page WHERE n = $%u::bigint) AS last_id,"
                      " (SELECT string_agg(CASE WHEN $%u::text[] IS NULL THEN d.doc"
                      " ELSE json_pick(d.doc, $%u::text[]) END::text, ',' ORDER BY p.n)"
                      " FROM page p JOIN %s d ON d.id = p.id WHERE p.n <= $%u::bigint) AS data, %s",
                      rows,
                      sort->kind == SORT_TIME
                          ? "CASE WHEN key = 'infinity' THEN 'infinity' ELSE api_time(key) END"
                          : "key",
                      rows, rows, maker->next, maker->next, view, rows, maker->allowed);
}

static struct statement list_statement(TALLOC_CTX *ctx, const struct resource *resource,
                                       size_t sort, bool descending, bool behind_cursor)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct maker maker = {
        .resource = resource,
        .sort = &resource->sorts[sort],
        .direction = descending ? "DESC" : "ASC",
        .next = 1,
    };
    char *conditions = conditions_of(scratch, &maker);

    maker.allowed = parent_columns(scratch, &maker);
    maker.conditions = with_parent(scratch, &maker, conditions);
    return (struct statement){
        .name = mem_printf(ctx, "%s_by_%s_%s_%s", resource->name, maker.sort->name,
                           descending ? "desc" : "asc", behind_cursor ? "next" : "page"),
        .sql = mem_text(ctx, list_sql(scratch, &maker, behind_cursor)),
    };
}

/* $1 id, $2 the tags that the client has, $3 $4 scopes. */
static struct statement get_statement(TALLOC_CTX *ctx, const struct resource *resource)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *allowed = has_scope(resource) ? scope_condition(scratch, resource, "v", 3)
                                              : "($3::text[] IS NULL AND $4::text[] IS NULL)";

    return (struct statement){
        .name = mem_printf(ctx, "%s_by_id", resource->name),
        .sql = mem_printf(ctx,
                          "SELECT v.id || '.' || v.row_version AS tag, %s AS allowed,"
                          " CASE WHEN v.id || '.' || v.row_version = ANY ($2::text[]) THEN NULL"
                          " ELSE v.doc END AS doc FROM %s v WHERE v.id = $1::text",
                          allowed, resource->view),
    };
}

static void make_lists(TALLOC_CTX *ctx, struct resource_statements *made, struct db *db)
{
    const struct resource *resource = made->resource;

    if (resource->sort_count > RESOURCE_SORTS_MAX || resource->filter_count > RESOURCE_FILTERS_MAX)
        abort(); /* a table of ours outgrew its limits */
    for (size_t sort = 0; sort < resource->sort_count; sort++) {
        for (int descending = 0; descending < 2; descending++) {
            made->page[sort][descending] = list_statement(ctx, resource, sort, descending, false);
            made->next[sort][descending] = list_statement(ctx, resource, sort, descending, true);
        }
        db_statements_add(db, made->page[sort], 2);
        if (resource->cursor)
            db_statements_add(db, made->next[sort], 2);
    }
}

struct resource_set *resource_set_new(TALLOC_CTX *ctx, struct db *db,
                                      const struct resource *const *list, size_t count)
{
    struct resource_set *set = mem_new(ctx, struct resource_set);

    set->items = mem_array(set, struct resource_statements, count);
    set->count = count;
    for (size_t i = 0; i < count; i++) {
        struct resource_statements *made = &set->items[i];
        made->resource = list[i];
        make_lists(set, made, db);
        if (list[i]->not_single)
            continue;
        made->get = get_statement(set, list[i]);
        db_statements_add(db, &made->get, 1);
        if (list[i]->write)
            write_statements_make(set, made, db);
    }
    return set;
}

const struct resource_statements *resource_statements_of(const struct resource_set *set,
                                                         const struct resource *resource)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].resource == resource)
            return &set->items[i];
    abort(); /* a route of a resource that was not declared */
}
