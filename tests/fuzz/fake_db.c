/* tests/fuzz/fake_db.c: lib/db without a database. */
#include "fake_db.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

struct db {
    struct db_counts counts;
};

const struct fake_column *fake_columns;
size_t fake_column_count;
const char *const *fake_empty;

struct db *fake_db_new(TALLOC_CTX *ctx)
{
    return mem_new(ctx, struct db);
}

/* Of who opens a connection by itself, as for the check at start. */
struct db *db_new(TALLOC_CTX *ctx, const struct db_options *options)
{
    (void)options;
    return fake_db_new(ctx);
}

static void give_up(const char *what, const char *name)
{
    (void)fprintf(stderr, "fake_db: %s %s\n", what, name);
    abort();
}

/* 22021: a text that is not UTF-8 is refused by the server, which makes a 500 of a bad request. */
static void check_text(const char *statement, const char *text)
{
    if (text && !text_utf8_valid(text, strlen(text)))
        give_up("a parameter that is not UTF-8 in", statement);
}

static void check_param(const char *statement, const struct db_param *param)
{
    if (param->kind == DB_TEXT)
        check_text(statement, param->text);
    for (size_t i = 0; param->kind == DB_TEXTS && param->texts && i < param->texts->count; i++)
        check_text(statement, param->texts->items[i]);
}

struct rows *db_query_params(TALLOC_CTX *ctx, struct db *db, const struct statement *statement,
                             struct fault *fault, const struct db_param *params, size_t count)
{
    struct rows *rows = mem_new(ctx, struct rows);

    (void)fault;
    for (size_t i = 0; i < count; i++)
        check_param(statement->name, &params[i]);
    db->counts.round_trips++;
    rows->count = 1;
    for (const char *const *name = fake_empty; name && *name; name++)
        if (text_equal(*name, statement->name))
            rows->count = 0;
    rows->affected = (int64_t)rows->count; /* 0 or 1 */
    return rows;
}

static const char *value_of(const char *column)
{
    for (size_t i = 0; i < fake_column_count; i++)
        if (text_equal(fake_columns[i].name, column))
            return fake_columns[i].value;
    give_up("no column", column);
    return NULL;
}

bool row_null(const struct rows *rows, size_t row, const char *column)
{
    return row >= rows->count || !value_of(column);
}

const char *row_text(const struct rows *rows, size_t row, const char *column)
{
    return row < rows->count ? value_of(column) : NULL;
}

int64_t row_integer(const struct rows *rows, size_t row, const char *column)
{
    const char *value = row_text(rows, row, column);
    int64_t number = 0;

    if (value && !text_to_integer(value, INT64_MIN, INT64_MAX, &number))
        give_up("no number in", column);
    return number;
}

bool row_bool(const struct rows *rows, size_t row, const char *column)
{
    return text_equal(row_text(rows, row, column), "t");
}

struct bytes row_bytes(TALLOC_CTX *ctx, const struct rows *rows, size_t row, const char *column)
{
    const char *value = row_text(rows, row, column);
    struct bytes octets = {0};

    if (value && !hex_to_bytes(ctx, value, &octets))
        give_up("no hex in", column);
    return octets;
}

/* Seconds from now. */
int64_t row_time(const struct rows *rows, size_t row, const char *column)
{
    const char *value = row_text(rows, row, column);

    return value ? clock_now_s() + row_integer(rows, row, column) : 0;
}

struct text_list row_texts(TALLOC_CTX *ctx, const struct rows *rows, size_t row, const char *column)
{
    const char *value = row_text(rows, row, column);

    return text_split(ctx, value ? value : "", '\n');
}

void db_wake(struct db *db, const char *job)
{
    (void)db;
    (void)job;
}

void db_statements_add(struct db *db, const struct statement *list, size_t count)
{
    (void)db;
    (void)list;
    (void)count;
}

const struct db_refusal *db_refusal(const struct db *db)
{
    static const struct db_refusal none;

    (void)db;
    return &none;
}

bool db_begin(struct db *db, struct fault *fault)
{
    (void)db;
    (void)fault;
    return true;
}

bool db_commit(struct db *db, struct fault *fault)
{
    (void)fault;
    db->counts.commits++;
    return true;
}

void db_rollback(struct db *db)
{
    (void)db;
}

bool db_enclose(struct db *db, struct fault *fault)
{
    (void)db;
    (void)fault;
    return true;
}

bool db_enclosed_commit(struct db *db, struct fault *fault)
{
    return db_commit(db, fault);
}

void db_enclosed_rollback(struct db *db)
{
    (void)db;
}

bool db_is_enclosed(const struct db *db)
{
    (void)db;
    return false;
}

struct db_counts db_counts(const struct db *db)
{
    return db->counts;
}
