/* lib/resource/resource.h: one resource of the REST API as a table of facts (design section 4), and
 * the one implementation of list and get for all of them.
 *
 * A view in sql/functions/api.sql has the columns to filter and sort by and the object itself as
 * `doc`, which is sent as PostgreSQL wrote it. SQL is made of these tables alone, once per process;
 * what a client sends is only ever a parameter of a prepared statement. */
#ifndef CERTCTL_RESOURCE_RESOURCE_H
#define CERTCTL_RESOURCE_RESOURCE_H

#include "auth/permission.h"
#include "db/db.h"
#include "resource/write.h"
#include "web/request.h"
#include "web/response.h"

enum filter_kind {
    FILTER_TEXT,   /* equal */
    FILTER_ID,     /* equal; the grammar of ids */
    FILTER_CHOICE, /* equal to one of `choices`, whatever the case */
    FILTER_TIME,   /* RFC 3339, or a day */
    FILTER_BOOL,
    FILTER_MAP, /* "<name>.<key>=<value>", any number of them: one jsonb object */
};

struct resource_filter {
    const char *name; /* as in the query string */
    enum filter_kind kind;
    const char *sql;     /* a condition on v with one `$` for the value, e.g. "v.status = $" */
    const char *choices; /* FILTER_CHOICE: separated by '|', in the contract's spelling */
};

enum sort_kind { SORT_TEXT, SORT_TIME };

struct resource_sort {
    const char *name;  /* snake_case; its camelCase form is understood too */
    const char *alias; /* one more name, or NULL */
    const char *sql;   /* never NULL in any row, e.g. "v.created_at" */
    enum sort_kind kind;
};

/* A name of the older documents that is no camelCase of ours. */
struct resource_alias {
    const char *alias;
    const char *member;
};

struct resource {
    const char *name;  /* of its statements */
    const char *label; /* in refusals: "Certificate" */
    const char *view;
    enum permission read;
    const char *const *members; /* of doc; ends with NULL */
    const struct resource_alias *aliases;
    size_t alias_count;
    const struct resource_filter *filters;
    size_t filter_count;
    const struct resource_sort *sorts; /* the first is the default */
    size_t sort_count;
    const char *scope_profile; /* the column that a scoped grant compares, or NULL */
    const char *scope_issuer;
    const struct resource *parent; /* listed below one object of it: /parent/{id}/… */
    const char *parent_column;     /* which names that object */
    bool newest_first;             /* the default sort is descending */
    bool catalogue;                /* everything on one page, up to 500 */
    bool cursor;                   /* may be walked by cursor */
    bool list_etag;
    bool not_single;                    /* only lists: no get, no row_version */
    const struct resource_write *write; /* NULL: read only */
};

#define RESOURCE_FILTERS_MAX 24
#define RESOURCE_SORTS_MAX   8

struct resource_set;

/* Makes the statements of each and adds them to the db. Child of ctx, as long as the db lives. */
struct resource_set *resource_set_new(TALLOC_CTX *ctx, struct db *db,
                                      const struct resource *const *list, size_t count);

/* GET of the list: filters, sort, page or cursor, sparse fields, ETag; one query. `scope` is what
 * the caller's permission covers. */
bool resource_list(struct request *request, struct response *response,
                   const struct resource_set *set, const struct resource *resource,
                   const struct permission_scope *scope, struct fault *fault);

/* GET of the one that the route captured as {id}; one query. */
bool resource_get(struct request *request, struct response *response,
                  const struct resource_set *set, const struct resource *resource,
                  const struct permission_scope *scope, struct fault *fault);

#endif
