/* lib/db/check.c: has the server check every statement of this binary under its own role. */
#include <stdio.h>

#include "core/memory.h"
#include "db/db_private.h"

#include "core/banned.h"

/* Made by the linker from the section; absent where a binary declares no statement. */
extern const struct statement list_start[] __asm__("__start_certctl_sql") __attribute__((weak));
extern const struct statement list_stop[] __asm__("__stop_certctl_sql") __attribute__((weak));

const struct statement *statements(size_t *ret_count)
{
    const struct statement *first = list_start;
    *ret_count = first ? (size_t)(list_stop - list_start) : 0;
    return first;
}

/* "EXPLAIN EXECUTE \"name\"(NULL, NULL)" */
static char *explain_command(TALLOC_CTX *ctx, const char *name, int parameters)
{
    char *sql = mem_printf(ctx, "EXPLAIN EXECUTE \"%s\"", name);
    for (int i = 0; i < parameters; i++)
        sql = mem_append(sql, i == 0 ? "(NULL" : ", NULL");
    return parameters > 0 ? mem_append(sql, ")") : sql;
}

static bool say_if_bad(const char *name, const PGresult *result)
{
    if (result && db_result_good(result))
        return true;
    (void)fprintf(stderr, "statement %s: %s", name,
                  result ? PQresultErrorMessage(result) : "connection lost\n");
    return false;
}

static bool statement_good(struct db *db, const struct statement *statement)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    if (PQsendPrepare(db->connection, statement->name, statement->sql, 0, NULL) != 1)
        return say_if_bad(statement->name, NULL);
    AUTO(PGresult) *prepared = db_receive(db->connection);
    if (!say_if_bad(statement->name, prepared))
        return false;

    AUTO(PGresult) *described = PQdescribePrepared(db->connection, statement->name);
    if (!say_if_bad(statement->name, described))
        return false;
    AUTO(PGresult) *explained = db_command(
        db, explain_command(scratch, statement->name, PQnparams(described)));
    return say_if_bad(statement->name, explained);
}

/* A generic plan keeps the parameters, so nothing is folded away before its grants are checked. */
static bool statement_check(struct db *db, const struct statement *statement, struct fault *fault)
{
    if (!db_begin(db, fault))
        return false;
    AUTO(PGresult) *generic = db_command(db, "SET LOCAL plan_cache_mode = force_generic_plan");
    const bool good = say_if_bad(statement->name, generic) && statement_good(db, statement);
    db_rollback(db);
    if (!good)
        fault_set(fault, DATABASE_FAILED, NULL, "a statement does not fit the schema or grants");
    return good;
}

static bool statements_check(struct db *db, const struct statement *list, size_t count,
                             struct fault *fault)
{
    bool good = true;

    for (size_t i = 0; i < count; i++)
        good = statement_check(db, &list[i], fault) && good;
    return good;
}

bool db_check_statements(struct db *db, struct fault *fault)
{
    size_t count;
    const struct statement *list = statements(&count);
    db_drop(db);
    if (!db_ready(db, fault))
        return false;
    /* Opening may have prepared the schema check: every name must be free. */
    AUTO(PGresult) *freed = db_command(db, "DEALLOCATE ALL");
    bool good = say_if_bad("DEALLOCATE ALL", freed);
    good = statements_check(db, list, count, fault) && good;
    for (size_t i = 0; i < db->added_count; i++)
        good = statements_check(db, db->added[i].list, db->added[i].count, fault) && good;
    db_drop(db); /* what was prepared here is unknown to db_query */
    return good;
}

void db_statements_add(struct db *db, const struct statement *list, size_t count)
{
    db->added = mem_resize(db, db->added, struct added_statements, db->added_count + 1);
    db->added[db->added_count++] = (struct added_statements){list, count};
}
