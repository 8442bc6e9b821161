/* lib/db/query.c: one statement, one round trip, and when to try again (05 sections 1.2, 2.2).
 *
 * A first use is PREPARE and EXECUTE in one pipeline, so it costs one round trip as well. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "db/db_private.h"

#include "core/banned.h"

#define TRIES 3

/* Parameters as libpq takes them. */
struct wire {
    const char **values;
    int *lengths;
    int *formats;
    int count;
};

/* One item of an array literal: always quoted, so that NULL and {} are texts like any other. */
static char *put_quoted(char *to, const char *item)
{
    *to++ = '"';
    for (; *item; item++) {
        if (*item == '"' || *item == '\\')
            *to++ = '\\';
        *to++ = *item;
    }
    *to++ = '"';
    return to;
}

/* Into one buffer, since a list may be megabytes and appending would copy it for each item. */
static const char *array_literal(TALLOC_CTX *ctx, const struct text_list *texts)
{
    size_t size = sizeof "{}";

    if (!texts)
        return NULL;
    for (size_t i = 0; i < texts->count; i++)
        size += 2 * strlen(texts->items[i]) + sizeof "\"\",";
    char *literal = mem_array(ctx, char, size);
    char *to = literal;
    for (size_t i = 0; i < texts->count; i++) {
        *to++ = i == 0 ? '{' : ',';
        to = put_quoted(to, texts->items[i]);
    }
    (void)snprintf(to, 3, texts->count == 0 ? "{}" : "}");
    return literal;
}

static const char *param_text(TALLOC_CTX *ctx, const struct db_param *param)
{
    switch (param->kind) {
    case DB_NULL:
    case DB_BYTES:
        return NULL;
    case DB_TEXT:
        return param->text;
    case DB_INTEGER:
        return mem_printf(ctx, "%" PRId64, param->integer);
    case DB_BOOL:
        return param->boolean ? "t" : "f";
    case DB_TEXTS:
        return array_literal(ctx, param->texts);
    case DB_TIME:
        return param->integer ? time_to_rfc3339(ctx, param->integer) : NULL;
    }
    return NULL;
}

static struct wire wire_params(TALLOC_CTX *ctx, const struct db_param *params, size_t count)
{
    const struct wire wire = {mem_array(ctx, const char *, count), mem_array(ctx, int, count),
                              mem_array(ctx, int, count), (int)count /* a handful */};
    for (size_t i = 0; i < count; i++) {
        if (params[i].kind != DB_BYTES) {
            wire.values[i] = param_text(ctx, &params[i]);
            continue;
        }
        /* libpq takes octets as char *; a value never reaches 2 GiB. */
        wire.values[i] = (const char *)params[i].bytes.data;
        wire.lengths[i] = (int)params[i].bytes.size;
        wire.formats[i] = 1;
    }
    return wire;
}

static bool is_prepared(const struct db *db, const struct statement *statement)
{
    for (size_t i = 0; i < db->prepared_count; i++)
        if (db->prepared[i] == statement)
            return true;
    return false;
}

static void note_prepared(struct db *db, const struct statement *statement)
{
    db->prepared = mem_resize(db, db->prepared, const struct statement *, db->prepared_count + 1);
    db->prepared[db->prepared_count++] = statement;
}

static PGresult *worse(PGresult *kept, PGresult *next)
{
    if (!kept)
        return next;
    PGresult *loser = db_result_good(kept) && !db_result_good(next) ? kept : next;
    PQclear(loser);
    return loser == kept ? next : kept;
}

PGresult *db_receive(PGconn *connection)
{
    PGresult *kept = NULL;
    PGresult *next;
    while ((next = PQgetResult(connection)))
        kept = worse(kept, next);
    return kept;
}

PGresult *db_command(struct db *db, const char *sql)
{
    db->counts.round_trips++;
    if (PQsendQuery(db->connection, sql) != 1)
        return NULL;
    return db_receive(db->connection);
}

/* The results of a pipeline of two, up to its end. After an error the second is "aborted", which
 * never replaces the first. *ret_prepared: the first went well. */
static PGresult *receive_pipeline(PGconn *connection, bool *ret_prepared)
{
    PGresult *kept = NULL;
    for (int step = 0; step < 4;) { /* each command ends with a NULL, the pipeline with a sync */
        PGresult *next = PQgetResult(connection);
        if (!next && PQstatus(connection) != CONNECTION_OK)
            break;
        if (!next) {
            step++;
        } else if (PQresultStatus(next) == PGRES_PIPELINE_SYNC) {
            PQclear(next);
            return kept;
        } else if (step == 0 && db_result_good(next)) {
            *ret_prepared = true;
            PQclear(next);
        } else {
            kept = worse(kept, next);
        }
    }
    return kept;
}

static PGresult *prepare_and_execute(struct db *db, const struct statement *statement,
                                     const struct wire *wire)
{
    PGconn *connection = db->connection;
    if (PQenterPipelineMode(connection) != 1 ||
        PQsendPrepare(connection, statement->name, statement->sql, 0, NULL) != 1 ||
        PQsendQueryPrepared(connection, statement->name, wire->count, wire->values, wire->lengths,
                            wire->formats, 0) != 1 ||
        PQpipelineSync(connection) != 1)
        return NULL;

    bool prepared = false;
    PGresult *result = receive_pipeline(connection, &prepared);
    if (prepared)
        note_prepared(db, statement);
    if (PQexitPipelineMode(connection) != 1) { /* only where the connection is lost or confused */
        PQclear(result);
        return NULL;
    }
    return result;
}

static PGresult *execute(struct db *db, const struct statement *statement, const struct wire *wire)
{
    PGconn *connection = db->connection;
    db->counts.round_trips++;
    if (db->options.unnamed_statements) {
        if (PQsendQueryParams(connection, statement->sql, wire->count, NULL, wire->values,
                              wire->lengths, wire->formats, 0) != 1)
            return NULL;
        return db_receive(connection);
    }
    if (!is_prepared(db, statement))
        return prepare_and_execute(db, statement, wire);
    if (PQsendQueryPrepared(connection, statement->name, wire->count, wire->values, wire->lengths,
                            wire->formats, 0) != 1)
        return NULL;
    return db_receive(connection);
}

/* 10 to 50 ms, so that those who collided do not collide again. */
static void pause_with_jitter(void)
{
    uint8_t random_byte;
    random_bytes(&random_byte, 1);
    const struct timespec pause = {.tv_nsec = 10000000L + random_byte * 40000000L / 255};
    (void)nanosleep(&pause, NULL);
}

/* Whether the failure says that the whole statement was undone and may simply be sent again. */
static bool worth_another_try(struct db *db, const PGresult *result, unsigned tries)
{
    if (db->in_transaction || !result || PQstatus(db->connection) != CONNECTION_OK)
        return false;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (text_equal(sqlstate, "40001") || text_equal(sqlstate, "40P01")) {
        if (tries < TRIES)
            pause_with_jitter();
        return tries < TRIES;
    }
    /* A migration changed the columns of a prepared statement, or a pooler forgot the statement:
     * a fresh connection knows nothing of either. */
    if (tries == 1 && !db->pinned && db->prepared_count > 0 &&
        (text_equal(sqlstate, "0A000") || text_equal(sqlstate, "26000"))) {
        db_drop(db);
        return true;
    }
    return false;
}

/* The good result, after as many tries as it takes and is worth; NULL with the fault. */
static PGresult *execute_patiently(struct db *db, const struct statement *statement,
                                   const struct wire *wire, struct fault *fault)
{
    for (unsigned tries = 1;; tries++) {
        if (!db_ready(db, fault))
            return NULL;
        PGresult *result = execute(db, statement, wire);
        if (result && db_result_good(result))
            return result;
        const bool again = worth_another_try(db, result, tries);
        if (!again)
            db_result_fault(db, result, statement->name, fault);
        PQclear(result);
        if (!again)
            return NULL;
    }
}

static struct rows *rows_of(TALLOC_CTX *ctx, PGresult *result)
{
    struct rows *rows = mem_new(ctx, struct rows);
    rows->result = mem_adopt(rows, result, PQclear);
    rows->count = (size_t)PQntuples(result); /* never negative */
    int64_t affected;
    if (text_to_integer(PQcmdTuples(result), 0, INT64_MAX, &affected))
        rows->affected = affected;
    return rows;
}

static struct rows *query(TALLOC_CTX *ctx, struct db *db, const struct statement *statement,
                          struct fault *fault, const struct db_param *params, size_t count)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct wire wire = wire_params(scratch, params, count);
    db->refusal = (struct db_refusal){.sqlstate = ""};

    PGresult *result = execute_patiently(db, statement, &wire, fault);
    if (!result)
        return NULL;
    db->counts.commits += !db->in_transaction;
    return rows_of(ctx, result);
}

struct rows *db_query_params(TALLOC_CTX *ctx, struct db *db, const struct statement *statement,
                             struct fault *fault, const struct db_param *params, size_t count)
{
    if (!db->enclosed || db->in_transaction)
        return query(ctx, db, statement, fault, params, count);
    if (!db_begin(db, fault))
        return NULL;
    struct rows *rows = query(ctx, db, statement, fault, params, count);
    if (rows && db_commit(db, fault))
        return rows;
    db_rollback(db);
    TALLOC_FREE(rows);
    return NULL;
}

/* What the server sends until the statement is over. An end of rows is a result without rows. */
static bool take_each(struct db *db, const struct statement *statement,
                      bool (*take)(void *arg, const struct rows *row, struct fault *fault),
                      void *arg, struct fault *fault)
{
    for (;;) {
        AUTO(PGresult) *result = PQgetResult(db->connection);
        if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
            const struct rows row = {.count = 1, .result = result};
            if (!take(arg, &row, fault))
                return false;
        } else if (result && PQresultStatus(result) == PGRES_TUPLES_OK) {
            return true;
        } else {
            return db_result_fault(db, result, statement->name, fault);
        }
    }
}

bool db_each_params(struct db *db, const struct statement *statement,
                    bool (*take)(void *arg, const struct rows *row, struct fault *fault), void *arg,
                    struct fault *fault, const struct db_param *params, size_t count)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct wire wire = wire_params(scratch, params, count);

    if (!db->in_transaction)
        return fault_set(fault, INTERNAL, NULL, "rows one at a time need a transaction");
    if (!db_ready(db, fault))
        return false;
    db->counts.round_trips++;
    if (PQsendQueryParams(db->connection, statement->sql, wire.count, NULL, wire.values,
                          wire.lengths, wire.formats, 0) != 1 ||
        PQsetSingleRowMode(db->connection) != 1)
        return db_result_fault(db, NULL, statement->name, fault);
    if (!take_each(db, statement, take, arg, fault)) {
        if (db->connection)
            db_drop(db); /* cheaper than reading the rest of what nobody wants */
        return false;
    }
    PQclear(db_receive(db->connection));
    return true;
}
