/* lib/db/rows.c: values of one row by column name, out of libpq's text format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"
#include "db/db_private.h"

#include "core/banned.h"

static _Noreturn void reader_bug(const char *what, const char *column)
{
    (void)fprintf(stderr, "bug: %s: column \"%s\"\n", what, column);
    abort();
}

/* PQfnumber folds case and allocates for each call. */
static int column_index(const struct rows *rows, const char *column)
{
    const int columns = PQnfields(rows->result);
    for (int i = 0; i < columns; i++)
        if (text_equal(PQfname(rows->result, i), column))
            return i;
    reader_bug("no such column in the result", column);
}

bool row_null(const struct rows *rows, size_t row, const char *column)
{
    return !row_text(rows, row, column);
}

const char *row_text(const struct rows *rows, size_t row, const char *column)
{
    const int index = column_index(rows, column);
    if (row >= rows->count)
        reader_bug("no such row in the result", column);
    const int number = (int)row; /* below count, which was an int */
    if (PQgetisnull(rows->result, number, index))
        return NULL;
    return PQgetvalue(rows->result, number, index);
}

int64_t row_integer(const struct rows *rows, size_t row, const char *column)
{
    const char *text = row_text(rows, row, column);
    int64_t value = 0;
    if (text && !text_to_integer(text, INT64_MIN, INT64_MAX, &value))
        reader_bug("not an integer", column);
    return value;
}

bool row_bool(const struct rows *rows, size_t row, const char *column)
{
    return text_equal(row_text(rows, row, column), "t");
}

struct bytes row_bytes(TALLOC_CTX *ctx, const struct rows *rows, size_t row, const char *column)
{
    const char *text = row_text(rows, row, column);
    struct bytes value = {NULL, 0};
    if (!text)
        return value;
    if (!text_starts(text, "\\x") || !hex_to_bytes(ctx, text + 2, &value))
        reader_bug("not of type bytea", column);
    if (!value.data) /* empty is not NULL */
        value.data = mem_copy(ctx, "", 1);
    return value;
}

/* "2026-11-20 17:05:00.25+00", as ISO date style and UTC give it, into RFC 3339. */
int64_t row_time(const struct rows *rows, size_t row, const char *column)
{
    const char *text = row_text(rows, row, column);
    if (!text)
        return 0;
    if (text_equal(text, "infinity"))
        return INT64_MAX;
    if (text_equal(text, "-infinity"))
        return INT64_MIN;

    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *instant = mem_text(scratch, text);
    char *space = strchr(instant, ' ');
    char *zone = space ? strchr(space, '+') : NULL;
    if (!zone)
        reader_bug("not of type timestamptz", column);
    *space = 'T';
    *zone = '\0';
    int64_t unix_s = 0;
    if (!time_from_rfc3339(mem_append(instant, "Z"), &unix_s))
        reader_bug("a time outside years 1 to 9999", column);
    return unix_s;
}

/* Reads one item of an array literal up to its delimiter and returns where it ends. */
static const char *array_item(char *into, const char *text, bool *ret_null)
{
    const bool quoted = *text == '"';
    const char *start = text;
    size_t length = 0;
    if (quoted)
        text++;
    while (quoted ? *text != '"' : *text != ',' && *text != '}') {
        if (*text == '\\')
            text++;
        into[length++] = *text++;
    }
    into[length] = '\0';
    *ret_null = !quoted && strncmp(start, "NULL", 4) == 0 && length == 4;
    return quoted ? text + 1 : text;
}

struct text_list row_texts(TALLOC_CTX *ctx, const struct rows *rows, size_t row, const char *column)
{
    const char *text = row_text(rows, row, column);
    struct text_list list = {NULL, 0};
    if (!text)
        return list;
    if (text[0] != '{')
        reader_bug("not of type text[]", column);

    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *item = mem_text(scratch, text); /* room for the longest item */
    for (text++; *text != '}'; text += *text == ',') {
        bool null;
        text = array_item(item, text, &null);
        text_list_add(ctx, &list, null ? "" : item);
    }
    return list;
}
