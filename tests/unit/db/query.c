/* tests/unit/db/query.c: parameters, faults, retries and what a statement costs. */
#include <criterion/criterion.h>
#include <signal.h>

#include "core/auto.h"
#include "core/memory.h"
#include "db/db.h"
#include "fixture.h"

#include "core/banned.h"

static const struct statement every_kind = {
    "every_kind", "SELECT $1::text AS text, $2::bigint AS integer, $3::boolean AS boolean,"
                  " $4::bytea AS bytes, $5::text[] AS texts, $6::timestamptz AS time"};

Test(db_query, every_kind_of_parameter_comes_back)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    struct fault fault = {0};
    static const uint8_t octets[] = {0, '\\', 0xff, '\'', 0};
    static const char *const items[] = {"plain",   "",     "with \"quotes\"", "back\\slash", "a,b",
                                        "{brace}", "NULL", " space ",         "dreißig"};
    struct text_list texts = {NULL, 0};
    for (size_t i = 0; i < ARRAY_SIZE(items); i++)
        text_list_add(ctx, &texts, items[i]);

    for (int use = 1; use <= 2; use++) { /* first by pipeline, then prepared */
        const struct rows *rows = db_query(
            ctx, db, &every_kind, &fault, TEXT("it's"), INTEGER(INT64_MIN), BOOLEAN(true),
            BYTEA(BYTES_OF(octets)), TEXTS(&texts), INSTANT(1700000000));
        cr_assert_not_null(rows, "%s %s", fault.detail, fault.cause);
        cr_expect_eq(rows->count, 1);
        cr_expect_str_eq(row_text(rows, 0, "text"), "it's");
        cr_expect_eq(row_integer(rows, 0, "integer"), INT64_MIN);
        cr_expect(row_bool(rows, 0, "boolean"));
        cr_expect(bytes_equal(row_bytes(ctx, rows, 0, "bytes"), (struct bytes)BYTES_OF(octets)));
        cr_expect_eq(row_time(rows, 0, "time"), 1700000000);
        const struct text_list read = row_texts(ctx, rows, 0, "texts");
        cr_assert_eq(read.count, texts.count);
        for (size_t i = 0; i < read.count; i++)
            cr_expect_str_eq(read.items[i], items[i]);
    }
}

Test(db_query, null_is_null_and_empty_is_not)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    struct fault fault = {0};
    static const char *const columns[] = {"text", "integer", "boolean", "bytes", "texts", "time"};

    const struct rows *rows = db_query(ctx, db, &every_kind, &fault, TEXT(NULL),
                                       (struct db_param){.kind = DB_NULL},
                                       (struct db_param){.kind = DB_NULL},
                                       BYTEA(((struct bytes){NULL, 0})), TEXTS(NULL), INSTANT(0));
    cr_assert_not_null(rows, "%s", fault.cause);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        cr_expect(row_null(rows, 0, columns[i]), "%s", columns[i]);
    cr_expect_null(row_text(rows, 0, "text"));
    cr_expect_eq(row_integer(rows, 0, "integer"), 0);
    cr_expect_not(row_bool(rows, 0, "boolean"));
    cr_expect_null(row_bytes(ctx, rows, 0, "bytes").data);
    cr_expect_eq(row_texts(ctx, rows, 0, "texts").count, 0);
    cr_expect_eq(row_time(rows, 0, "time"), 0);

    const struct text_list none = {NULL, 0};
    rows = db_query(ctx, db, &every_kind, &fault, TEXT(""), INTEGER(0), BOOLEAN(false),
                    BYTEA(bytes_of_text("")), TEXTS(&none), INSTANT(-1));
    cr_assert_not_null(rows, "%s", fault.cause);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        cr_expect_not(row_null(rows, 0, columns[i]), "%s", columns[i]);
    cr_expect_not_null(row_bytes(ctx, rows, 0, "bytes").data);
    cr_expect_eq(row_bytes(ctx, rows, 0, "bytes").size, 0);
    cr_expect_eq(row_time(rows, 0, "time"), -1);
}

static const struct {
    const char *about;
    const char *sql;
    int64_t unix_s;
} times[] = {
    {"a fraction is dropped",               "SELECT timestamptz '1970-01-01 00:00:01.75+00' AS t", 1        },
    {"another zone",                        "SELECT timestamptz '1970-01-01 01:00:00+01' AS t",    0        },
    {"before 1970",                         "SELECT timestamptz '1969-12-31 23:59:59+00' AS t",    -1       },
    {"last second of RFC 5280's no expiry", "SELECT timestamptz '9999-12-31 23:59:59+00' AS t",
     253402300799                                                                                           },
    {"never",                               "SELECT timestamptz 'infinity' AS t",                  INT64_MAX},
    {"always",                              "SELECT timestamptz '-infinity' AS t",                 INT64_MIN},
};

Test(db_query, reads_times)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        struct fault fault = {0};
        const struct statement statement = {mem_printf(ctx, "t%zu", i), times[i].sql};
        const struct rows *rows = db_query_params(ctx, db, &statement, &fault, NULL, 0);
        cr_assert_not_null(rows, "%s: %s", times[i].about, fault.cause);
        cr_expect_eq(row_time(rows, 0, "t"), times[i].unix_s, "%s", times[i].about);
    }
}

static const struct statement one = {"one", "SELECT 1 AS one"};

Test(db_query, an_unknown_column_is_a_bug, .signal = SIGABRT)
{
    TALLOC_CTX *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    struct fault fault = {0};
    const struct rows *rows = db_query_params(ctx, db, &one, &fault, NULL, 0);
    (void)row_integer(rows, 0, "two");
}

Test(db_query, says_how_many_rows_changed)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database, "CREATE TABLE t (n integer)");
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    const struct statement insert = {"i", "INSERT INTO t SELECT generate_series(1, $1::int)"};
    const struct rows *rows = db_query(ctx, db, &insert, &fault, INTEGER(3));
    cr_assert_not_null(rows, "%s", fault.cause);
    cr_expect_eq(rows->count, 0);
    cr_expect_eq(rows->affected, 3);
}

static const char fault_schema[] =
    "CREATE TABLE t (id integer PRIMARY KEY, parent integer REFERENCES t,"
    "                short varchar(2), small integer CONSTRAINT t_small CHECK (small < 10));"
    "CREATE TABLE late (parent integer REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
    "INSERT INTO t VALUES (1);"
    "CREATE FUNCTION fails(code text) RETURNS integer LANGUAGE plpgsql AS"
    "  $$ BEGIN RAISE EXCEPTION 'told to fail' USING ERRCODE = code; END $$;";

static const struct {
    const char *about;
    const char *sql;
    const char *value;
    enum fault_reason reason;
    const char *cause; /* what the log must hold */
    unsigned retry_after_s;
} refusals[] = {
    {"unique",                                "INSERT INTO t VALUES ($1::text::int)",              "1",     DATABASE_DUPLICATE,   "t_pkey",           0},
    {"foreign key",                           "INSERT INTO t VALUES (2, $1::text::int)",           "7",     DATABASE_REFERENCE,
     "t_parent_fkey",                                                                                                                                 0},
    {"foreign key at the commit",             "INSERT INTO late VALUES ($1::text::int)",           "7",
     DATABASE_REFERENCE,                                                                                                          "late_parent_fkey", 0},
    {"check",                                 "INSERT INTO t VALUES (2, NULL, '', $1::text::int)", "10",    DATABASE_VALUE,       "t_small",
     0                                                                                                                                                 },
    {"too long",                              "INSERT INTO t VALUES (2, NULL, $1)",                "abc",   DATABASE_VALUE,       "22001",            0},
    {"not a number",                          "SELECT $1::text::int",                              "abc",   DATABASE_VALUE,       "22P02",            0},
    {"not UTF-8",                             "SELECT $1::text",                                   "\xff",  DATABASE_VALUE,       "22021",            0},
    {"lock not available",                    "SELECT fails($1)",                                  "55P03", DATABASE_BUSY,        "55P03",            5},
    {"cancelled",                             "SELECT fails($1)",                                  "57014", DATABASE_BUSY,        "57014",            5},
    {"disk full",                             "SELECT fails($1)",                                  "53100", DATABASE_BUSY,        "53100",            5},
    {"connection failure told by the server", "SELECT fails($1)",                                  "08006", DATABASE_UNREACHABLE,
     "08006",                                                                                                                                         5},
    {"shutting down",                         "SELECT fails($1)",                                  "57P01", DATABASE_UNREACHABLE, "57P01",            5},
    {"wrong state",                           "SELECT fails($1)",                                  "CT001", RESOURCE_STATE,       "told to fail",     0},
    {"decided on old rows",                   "SELECT fails($1)",                                  "CT002", ISSUANCE_STALE,       "CT002",            0},
    {"no such table",                         "SELECT $1::text FROM nowhere",                      "",      DATABASE_FAILED,      "42P01",            0},
    {"division",                              "SELECT 1 / $1::text::int",                          "0",     DATABASE_FAILED,      "22012",            0},
};

/* Each is sent twice, first by pipeline, then prepared; a third time unnamed. */
Test(db_query, tells_refusals_by_reason)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database, fault_schema);
    struct db *named = fixture_db(ctx, database, NULL);
    const struct db_options options = {.url = database, .unnamed_statements = true};
    struct db *unnamed = db_new(ctx, &options);

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        const struct statement statement = {mem_printf(ctx, "s%zu", i), refusals[i].sql};
        for (int use = 1; use <= 3; use++) {
            struct fault fault = {0};
            cr_expect_null(db_query(ctx, use < 3 ? named : unnamed, &statement, &fault,
                                    TEXT(refusals[i].value)),
                           "%s, use %d", refusals[i].about, use);
            cr_expect_eq(fault.reason, refusals[i].reason, "%s, use %d: %s %s", refusals[i].about,
                         use, fault_reason_slug(fault.reason), fault.cause);
            cr_expect_not_null(strstr(fault.cause, refusals[i].cause), "%s: %s", refusals[i].about,
                               fault.cause);
            cr_expect_null(strstr(fault.detail, "told"), "%s", refusals[i].about);
            cr_expect_eq(fault.retry_after_s, refusals[i].retry_after_s, "%s", refusals[i].about);
        }
    }
    struct fault fault = {0};
    cr_expect_not_null(db_query_params(ctx, named, &one, &fault, NULL, 0), "the connection lives");
    cr_expect_str_eq(fixture_sql(ctx, database, "SELECT count(*) FROM late"), "0");
}

Test(db_query, is_cut_off_after_the_statement_timeout)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct db_options options = {.url = fixture_database(ctx, false),
                                       .statement_timeout_ms = 50};
    struct db *db = db_new(ctx, &options);
    struct fault fault = {0};
    const struct statement slow = {"slow", "SELECT pg_sleep(10)"};
    cr_expect_null(db_query_params(ctx, db, &slow, &fault, NULL, 0));
    cr_expect_eq(fault.reason, DATABASE_BUSY, "%s", fault.cause);
}

Test(db_query, costs_one_round_trip_also_the_first_time)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    struct fault fault = {0};
    for (unsigned use = 1; use <= 3; use++) {
        cr_assert_not_null(db_query_params(ctx, db, &one, &fault, NULL, 0), "%s", fault.cause);
        cr_expect_eq(db_counts(db).round_trips, use);
        cr_expect_eq(db_counts(db).commits, use);
    }
}

static const struct statement backend_pid = {"backend_pid", "SELECT pg_backend_pid() AS pid"};

static int64_t pid_of(struct db *db)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    const struct rows *rows = db_query_params(ctx, db, &backend_pid, &fault, NULL, 0);
    cr_assert_not_null(rows, "%s %s", fault.detail, fault.cause);
    return row_integer(rows, 0, "pid");
}

static void kill_backend(TALLOC_CTX *ctx, const char *database, int64_t pid)
{
    fixture_sql(ctx, database, mem_printf(ctx, "SELECT pg_terminate_backend(%d, 5000)", (int)pid));
}

Test(db_query, reconnects_silently_where_nothing_was_sent)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    struct db *db = fixture_db(ctx, database, NULL);
    const int64_t first = pid_of(db);
    kill_backend(ctx, database, first);
    const int64_t second = pid_of(db); /* prepared anew as well */
    cr_expect_neq(first, second);
    cr_expect_eq(pid_of(db), second);
    cr_expect_eq(db_counts(db).round_trips, 3);
    db_close(db);
    cr_expect_neq(pid_of(db), second);
}

Test(db_query, a_pinned_session_is_never_replaced)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    cr_assert(db_pin(db, &fault), "%s", fault.cause);
    kill_backend(ctx, database, pid_of(db));
    for (int try = 1; try <= 2; try++) {
        cr_expect_null(db_query_params(ctx, db, &one, &fault, NULL, 0));
        cr_expect_eq(fault.reason, DATABASE_UNREACHABLE);
    }
    cr_expect_not(db_begin(db, &fault));
    db_close(db);
    cr_expect_not_null(db_query_params(ctx, db, &one, &fault, NULL, 0), "%s", fault.cause);
}

/* The server is killed while it works, so nobody can know whether it had committed. */
Test(db_query, a_loss_in_flight_is_an_unknown_commit)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    const struct statement suicide = {
        "suicide", "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(10)"};
    for (int use = 1; use <= 2; use++) {
        struct fault fault = {0};
        cr_expect_null(db_query_params(ctx, db, &suicide, &fault, NULL, 0));
        cr_expect_eq(fault.reason, DATABASE_COMMIT_UNKNOWN, "%s", fault.cause);
        cr_expect_eq(fault_reason_kind(fault.reason), KIND_UNAVAILABLE);
        cr_expect_eq(fault.retry_after_s, 5);
        cr_expect_eq(db_counts(db).round_trips, use, "it was not sent again");
    }
    struct fault fault = {0};
    cr_expect_not_null(db_query_params(ctx, db, &one, &fault, NULL, 0), "the next one reconnects");
}

/* A sequence is not rolled back, so the function can count the tries that were undone. */
static const char collision_schema[] =
    "CREATE SEQUENCE tries;"
    "CREATE FUNCTION collide(times integer, code text) RETURNS bigint LANGUAGE plpgsql AS $$"
    "  DECLARE n bigint := nextval('tries');"
    "  BEGIN IF n <= times THEN RAISE EXCEPTION 'again' USING ERRCODE = code; END IF;"
    "  RETURN n; END $$;";

static const struct {
    const char *about;
    int64_t collisions;
    const char *sqlstate;
    bool good;
    uint64_t tries;
} collisions[] = {
    {"none",                         0, "40001", true,  1},
    {"two serialisation failures",   2, "40001", true,  3},
    {"two deadlocks",                2, "40P01", true,  3},
    {"three serialisation failures", 3, "40001", false, 3},
    {"three deadlocks",              3, "40P01", false, 3},
    {"another failure",              1, "XX000", false, 1},
};

Test(db_query, tries_three_times_where_transactions_collide)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database, collision_schema);
    const struct statement collide = {"collide", "SELECT collide($1::int, $2) AS n"};
    for (size_t i = 0; i < ARRAY_SIZE(collisions); i++) {
        struct db *db = fixture_db(ctx, database, NULL);
        struct fault fault = {0};
        fixture_sql(ctx, database, "ALTER SEQUENCE tries RESTART");
        const struct rows *rows = db_query(ctx, db, &collide, &fault,
                                           INTEGER(collisions[i].collisions),
                                           TEXT(collisions[i].sqlstate));
        cr_expect_eq(rows != NULL, collisions[i].good, "%s: %s", collisions[i].about, fault.cause);
        cr_expect_eq(db_counts(db).round_trips, collisions[i].tries, "%s", collisions[i].about);
        if (!rows && collisions[i].tries == 3)
            cr_expect_eq(fault.reason, DATABASE_BUSY, "%s", collisions[i].about);
    }
}

Test(db_query, does_not_repeat_a_part_of_a_transaction)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database, collision_schema);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    const struct statement collide = {"collide", "SELECT collide(1, '40001') AS n"};
    cr_assert(db_begin(db, &fault));
    cr_expect_null(db_query_params(ctx, db, &collide, &fault, NULL, 0));
    cr_expect_eq(fault.reason, DATABASE_BUSY);
    db_rollback(db);
    cr_expect_eq(db_counts(db).round_trips, 3, "begin, statement, rollback");
}

Test(db_query, survives_a_migration_under_its_feet)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database, "CREATE TABLE t (a integer); INSERT INTO t VALUES (1)");
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    const struct statement all = {"all", "SELECT * FROM t"};
    cr_assert_not_null(db_query_params(ctx, db, &all, &fault, NULL, 0), "%s", fault.cause);
    fixture_sql(ctx, database, "ALTER TABLE t ADD COLUMN b integer DEFAULT 2");
    const struct rows *rows = db_query_params(ctx, db, &all, &fault, NULL, 0);
    cr_assert_not_null(rows, "%s", fault.cause);
    cr_expect_eq(row_integer(rows, 0, "b"), 2);
}

Test(db_query, unnamed_statements_leave_nothing_on_the_server)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct db_options options = {.url = fixture_database(ctx, false),
                                       .unnamed_statements = true};
    struct db *db = db_new(ctx, &options);
    struct fault fault = {0};
    const struct statement named = {"named", "SELECT count(*) AS n FROM pg_prepared_statements"};
    for (int use = 1; use <= 2; use++) {
        const struct rows *rows = db_query_params(ctx, db, &named, &fault, NULL, 0);
        cr_assert_not_null(rows, "%s", fault.cause);
        cr_expect_eq(row_integer(rows, 0, "n"), 0);
    }
}

static const struct statement many_rows = {
    "many_rows", "SELECT i, 100 / (CASE WHEN i = $2::bigint THEN 0 ELSE 1 END) AS part"
                 " FROM generate_series(1, $1::bigint) AS i"};

struct sum {
    int64_t rows;
    int64_t total;
    int64_t stop_at;
};

static bool add_up(void *arg, const struct rows *row, struct fault *fault)
{
    struct sum *sum = arg;

    cr_assert_eq(row->count, 1);
    sum->rows++;
    sum->total += row_integer(row, 0, "i");
    return sum->rows != sum->stop_at || fault_set(fault, RESOURCE_STATE, NULL, "enough");
}

Test(db_query, rows_come_one_at_a_time)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    struct fault fault = {0};
    struct sum sum = {0};

    cr_expect_not(db_each(db, &many_rows, add_up, &sum, &fault, INTEGER(1), INTEGER(0)));
    cr_expect_eq(fault.reason, INTERNAL, "outside a transaction it could be sent twice");
    cr_assert(db_begin_snapshot(db, &fault));
    cr_expect(db_each(db, &many_rows, add_up, &sum, &fault, INTEGER(0), INTEGER(0)));
    cr_expect_eq(sum.rows, 0);
    cr_expect(db_each(db, &many_rows, add_up, &sum, &fault, INTEGER(100000), INTEGER(0)), "%s",
              fault.cause);
    cr_expect_eq(sum.rows, 100000);
    cr_expect_eq(sum.total, INT64_C(5000050000));
    cr_expect(db_each(db, &many_rows, add_up, &sum, &fault, INTEGER(1), INTEGER(0)), "again");
    cr_expect(db_commit(db, &fault), "%s", fault.cause);
}

Test(db_query, rows_end_where_the_server_or_their_reader_fails)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, fixture_database(ctx, false), NULL);
    struct fault fault = {0};
    struct sum fails = {0};
    struct sum stops = {.stop_at = 7};

    cr_assert(db_begin(db, &fault));
    cr_expect_not(db_each(db, &many_rows, add_up, &fails, &fault, INTEGER(9), INTEGER(5)));
    cr_expect_eq(fault.reason, DATABASE_FAILED, "%s", fault.detail);
    cr_expect_eq(fails.rows, 4);
    db_rollback(db);
    cr_assert(db_begin(db, &fault));
    cr_expect_not(db_each(db, &many_rows, add_up, &stops, &fault, INTEGER(9), INTEGER(0)));
    cr_expect_eq(fault.reason, RESOURCE_STATE);
    cr_expect_not(db_commit(db, &fault), "the transaction is lost");
    db_rollback(db);
    cr_expect(db_begin(db, &fault) && db_commit(db, &fault), "and the next one works");
}
