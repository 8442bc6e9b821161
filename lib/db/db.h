/* lib/db/db.h: one libpq connection, prepared statements, transactions, waking jobs.
 *
 * A process has one struct db, opened on first use as the role of its binary. Statements are
 * declared beside their only user and prepared on first use (job binaries: sent unnamed, so that
 * a pooler in transaction mode serves them). Outside db_begin each query is a transaction of its
 * own. Serialisation failures, deadlocks and a connection that was lost before anything was sent
 * are retried in here; an uncertain commit is DATABASE_COMMIT_UNKNOWN. */
#ifndef CERTCTL_DB_DB_H
#define CERTCTL_DB_DB_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/text.h"

struct db;

/* Range of schema versions that this build serves: the number of the last migration. */
#define DB_SCHEMA_LEAST 1
#define DB_SCHEMA_MOST  1

struct statement {
    const char *name;
    const char *sql;
} __attribute__((aligned(16)));

/* Keeps the linker from dropping a statement that only the list knows (--gc-sections). */
#if __has_attribute(retain)
#    define STATEMENT_KEPT used, retain
#else
#    define STATEMENT_KEPT used
#endif

/* Declares a statement and registers it in this binary's list (section certctl_sql). The
 * identifier is its name on the server too, so it must be the only one in its binary. */
#define STATEMENT(identifier, text)                                                                \
    static const struct statement identifier                                                       \
        __attribute__((STATEMENT_KEPT, section("certctl_sql"), aligned(16))) = {#identifier, text}

/* This binary's statements, for the check of grants and columns. */
const struct statement *statements(size_t *ret_count);

enum db_param_kind { DB_NULL, DB_TEXT, DB_INTEGER, DB_BOOL, DB_BYTES, DB_TEXTS, DB_TIME };
struct db_param {
    enum db_param_kind kind;
    union {
        const char *text;
        int64_t integer;
        bool boolean;
        struct bytes bytes;
        const struct text_list *texts;
    };
};
#define TEXT(value)    ((struct db_param){.kind = DB_TEXT, .text = (value)}) /* NULL: SQL NULL */
#define INTEGER(value) ((struct db_param){.kind = DB_INTEGER, .integer = (value)})
#define BOOLEAN(value) ((struct db_param){.kind = DB_BOOL, .boolean = (value)})
#define BYTEA(value)   ((struct db_param){.kind = DB_BYTES, .bytes = (value)}) /* data NULL: NULL */
#define TEXTS(value)   ((struct db_param){.kind = DB_TEXTS, .texts = (value)}) /* text[] */
/* Unix seconds as timestamptz; 0 is SQL NULL. */
#define INSTANT(value) ((struct db_param){.kind = DB_TIME, .integer = (value)})

struct db_options {
    const char *url;              /* libpq URL or key=value; may name several hosts */
    const char *role;             /* user where the URL names none, e.g. "certctl_acme" */
    const char *application_name; /* the binary */
    int64_t statement_timeout_ms;
    int64_t connect_timeout_s; /* 0: five; libpq takes two at least */
    bool checks_schema;        /* each connection, before its first statement: SCHEMA_MISMATCH */
    bool unnamed_statements;   /* jobs: nothing is prepared by name */
    const char *wake_dir;      /* where the wake sockets are; NULL: nobody is woken */
};

/* Whether the URL, or the environment where the URL is silent, names unix sockets by their paths
 * alone. False also for what only the connection itself would find out. */
bool db_is_local(const char *url);

/* Never fails: the connection is opened by the first query. Freeing it closes. */
struct db *db_new(TALLOC_CTX *ctx, const struct db_options *options);
/* Opens it now; checks the schema version. */
bool db_connect(struct db *db, struct fault *fault);
/* From here to db_close what hangs on the session (an advisory lock, a role) is relied on: a lost
 * connection is a fault for every later call, never opened anew behind the caller's back. */
bool db_pin(struct db *db, struct fault *fault);
/* Gives the connection back, e.g. after 60 s without work; the next query opens it anew. */
void db_close(struct db *db);

/* The rows of one result; hang on the ctx of the query and own their texts. */
struct rows {
    size_t count;
    int64_t affected; /* of INSERT, UPDATE, DELETE */
    void *result;     /* PGresult, adopted */
};

/* Returns rows, perhaps none; NULL with the fault on failure. */
struct rows *db_query_params(TALLOC_CTX *ctx, struct db *db, const struct statement *statement,
                             struct fault *fault, const struct db_param *params, size_t count);
#define db_query(ctx, db, statement, fault, ...)                                                   \
    db_query_params((ctx), (db), (statement), (fault), (const struct db_param[]){__VA_ARGS__},     \
                    sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param))

/* One row at a time, for results that should not be in memory as a whole: take(arg, row, fault) is
 * called with rows of count 1, which last as long as the call. In a transaction only, since nothing
 * is sent twice. False: the server refused, or take did; then the transaction is lost. */
bool db_each_params(struct db *db, const struct statement *statement,
                    bool (*take)(void *arg, const struct rows *row, struct fault *fault), void *arg,
                    struct fault *fault, const struct db_param *params, size_t count);
#define db_each(db, statement, take, arg, fault, ...)                                              \
    db_each_params((db), (statement), (take), (arg), (fault),                                      \
                   (const struct db_param[]){__VA_ARGS__},                                         \
                   sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param))

/* Values of one row by column name. An unknown column aborts: the statement and its reader stand
 * side by side, so it is a bug that the first test meets. row_text: NULL for SQL NULL; the others
 * give 0, false, {NULL, 0}. row_time: Unix seconds. */
bool row_null(const struct rows *rows, size_t row, const char *column);
const char *row_text(const struct rows *rows, size_t row, const char *column);
int64_t row_integer(const struct rows *rows, size_t row, const char *column);
bool row_bool(const struct rows *rows, size_t row, const char *column);
struct bytes row_bytes(TALLOC_CTX *ctx, const struct rows *rows, size_t row, const char *column);
/* For columns of type timestamptz. */
int64_t row_time(const struct rows *rows, size_t row, const char *column);
struct text_list row_texts(TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                           const char *column);

/* What the server said of the statement that it refused last; "" where it said nothing. Valid until
 * the next query. For contracts whose words depend on the constraint. */
struct db_refusal {
    char sqlstate[6];
    char constraint[64]; /* an identifier of PostgreSQL is never longer */
};
const struct db_refusal *db_refusal(const struct db *db);

/* Statements that are no STATEMENT because they are made from tables at start, or belong to another
 * role than the binary's own. db_check_statements looks at them too. Nothing is copied: the array
 * and its texts must outlive the db, and their names must differ from all others. */
void db_statements_add(struct db *db, const struct statement *list, size_t count);

/* An explicit transaction, for jobs and tools. db_commit sends the wakes that were asked for. */
bool db_begin(struct db *db, struct fault *fault);
/* The same with one view of the data for all of its statements (REPEATABLE READ), taken by the
 * first of them. */
bool db_begin_snapshot(struct db *db, struct fault *fault);
bool db_commit(struct db *db, struct fault *fault);
void db_rollback(struct db *db);

/* One transaction around all that follows: until its end db_begin, db_commit and db_rollback are a
 * savepoint's, and a query outside of them has one of its own, so that each still fails alone. What
 * is asked for is done when the whole is committed, wakes among it; deferred constraints are met
 * there as well. No snapshot inside, no second one. */
bool db_enclose(struct db *db, struct fault *fault);
bool db_enclosed_commit(struct db *db, struct fault *fault);
void db_enclosed_rollback(struct db *db);
/* Whether what was committed since waits for the end of the whole. */
bool db_is_enclosed(const struct db *db);

/* Remembered until the commit (outside a transaction: done at once): one datagram to
 * <wake_dir>/<job>.sock, every error ignored. Named twice, sent once. */
void db_wake(struct db *db, const char *job);

/* Costs since db_new, for tests and the log line of a request. */
struct db_counts {
    uint64_t round_trips;
    uint64_t commits; /* explicit ones and statements that were transactions of their own */
};
struct db_counts db_counts(const struct db *db);

/* Prepares every statement of this binary and every added one, and has the server check columns,
 * types and grants (EXPLAIN EXECUTE runs the permission checks). Prints one line per statement that
 * fails to stderr; true when all are good. */
bool db_check_statements(struct db *db, struct fault *fault);

#endif
