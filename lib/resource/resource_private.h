/* lib/resource/resource_private.h: what the files of this room share. */
#ifndef CERTCTL_RESOURCE_RESOURCE_PRIVATE_H
#define CERTCTL_RESOURCE_RESOURCE_PRIVATE_H

#include "resource/field.h"
#include "resource/resource.h"
#include "web/query.h"

#define PER_PAGE_DEFAULT 50
#define PER_PAGE_MAX     500
#define DEPTH_MAX        1000000 /* page × per_page */

/* Where a walk by cursor stands. Texts are the client's word, checked for their form. */
struct cursor {
    const char *key; /* the last sort value; NULL: the walk begins */
    const char *id;
    int64_t total;
};

/* One list, as the query string asks for it. Texts hang on the ctx of the reader. */
struct list_options {
    bool strict;
    size_t sort;
    bool descending;
    int64_t page;
    int64_t per_page;
    bool by_cursor;
    struct cursor cursor;
    bool sparse;
    struct text_list fields;                  /* where sparse: members of doc, id among them */
    const char *values[RESOURCE_FILTERS_MAX]; /* by filter; NULL: does not filter */
    struct text_list ignored;                 /* parameters that nobody knows */
};

/* Reads the parameters by the tables of the resource. `strict`: what would be ignored or put right
 * is refused. Reasons INPUT_MALFORMED and INPUT_INVALID, with the parameter's name as field. */
bool list_options_read(TALLOC_CTX *ctx, const struct resource *resource, const struct query *query,
                       bool strict, struct list_options *ret_options, struct fault *fault);

/* The text of a cursor behind the row (key, id), bound to the filters and the sort. On ctx. */
char *cursor_text(TALLOC_CTX *ctx, const struct resource *resource,
                  const struct list_options *options, const struct cursor *cursor);
/* "" begins a walk. The options' sort and filters must have been read. */
bool cursor_read(TALLOC_CTX *ctx, const struct resource *resource,
                 const struct list_options *options, const char *text, struct cursor *ret_cursor,
                 struct fault *fault);

/* "commonName" to "common_name", on ctx. */
char *snake_case(TALLOC_CTX *ctx, const char *name);

/* The statements of one resource. */
struct resource_statements {
    const struct resource *resource;
    struct statement get;
    struct statement page[RESOURCE_SORTS_MAX][2];        /* by sort; descending */
    struct statement next[RESOURCE_SORTS_MAX][2];        /* behind a cursor */
    struct statement lock, read, insert, update, remove; /* where it has a write side */
};

struct resource_set {
    struct resource_statements *items;
    size_t count;
};

/* "($3::text[] IS NULL AND $4::text[] IS NULL OR …)": whether a grant covers the row `alias`. */
char *scope_condition(TALLOC_CTX *ctx, const struct resource *resource, const char *alias,
                      unsigned number);
/* Makes the statements of the write side (write_statements.c). */
void write_statements_make(TALLOC_CTX *ctx, struct resource_statements *made, struct db *db);

/* X-Certctl-Ignored and Preference-Applied. Names of other characters than those of members are
 * left out, since they were a stranger's; after a kilobyte no more are told. */
void ignored_tell(struct request *request, struct response *response,
                  const struct text_list *ignored, bool strict);

/* What the database refused, in the words of the contract (05 section 2.2). */
void write_refusal(const struct resource_change *change, struct fault *fault);

const struct resource_statements *resource_statements_of(const struct resource_set *set,
                                                         const struct resource *resource);

#endif
