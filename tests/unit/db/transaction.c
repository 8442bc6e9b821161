/* tests/unit/db/transaction.c: explicit transactions, and wakes that wait for their commit. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/auto.h"
#include "core/memory.h"
#include "db/db.h"
#include "fixture.h"

#include "core/banned.h"

static const struct statement insert = {"insert", "INSERT INTO t VALUES ($1::int)"};
static const struct statement suicide = {
    "suicide", "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(10)"};

static const char *database_with_table(TALLOC_CTX *ctx)
{
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database,
                "CREATE TABLE t (n integer PRIMARY KEY);"
                "CREATE TABLE late (n integer REFERENCES t"
                "                   DEFERRABLE INITIALLY DEFERRED)");
    return database;
}

static void expect_rows(TALLOC_CTX *ctx, const char *database, const char *count)
{
    cr_expect_str_eq(fixture_sql(ctx, database, "SELECT count(*) FROM t"), count);
}

Test(db_transaction, keeps_or_undoes_everything)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = database_with_table(ctx);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    cr_assert(db_begin(db, &fault), "%s", fault.cause);
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)), "%s", fault.cause);
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(2)), "%s", fault.cause);
    expect_rows(ctx, database, "0");
    cr_assert(db_commit(db, &fault), "%s", fault.cause);
    expect_rows(ctx, database, "2");
    cr_expect_eq(db_counts(db).round_trips, 4);
    cr_expect_eq(db_counts(db).commits, 1);

    cr_assert(db_begin(db, &fault));
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(3)), "%s", fault.cause);
    db_rollback(db);
    db_rollback(db); /* nothing is open: nothing happens */
    expect_rows(ctx, database, "2");
    cr_expect_eq(db_counts(db).commits, 1);
}

Test(db_transaction, wants_one_begin_for_one_commit)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, database_with_table(ctx), NULL);
    struct fault fault = {0};
    cr_expect_not(db_commit(db, &fault));
    cr_expect_eq(fault.reason, INTERNAL);
    cr_assert(db_begin(db, &fault));
    cr_expect_not(db_begin(db, &fault));
    cr_expect(db_commit(db, &fault), "the first one is open still");
}

/* PostgreSQL answers such a COMMIT with ROLLBACK and without an error. */
Test(db_transaction, does_not_commit_after_a_failure)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = database_with_table(ctx);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    cr_assert(db_begin(db, &fault));
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_not(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_eq(fault.reason, DATABASE_DUPLICATE);
    cr_expect_not(db_commit(db, &fault));
    cr_expect_eq(fault.reason, DATABASE_FAILED);
    expect_rows(ctx, database, "0");
    cr_expect_eq(db_counts(db).commits, 0);
    cr_expect(db_query(ctx, db, &insert, &fault, INTEGER(1)), "%s", fault.cause);
}

Test(db_transaction, meets_deferred_constraints_at_the_commit)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, database_with_table(ctx), NULL);
    struct fault fault = {0};
    const struct statement dangling = {"dangling", "INSERT INTO late VALUES (7)"};
    cr_assert(db_begin(db, &fault));
    cr_expect(db_query_params(ctx, db, &dangling, &fault, NULL, 0), "%s", fault.cause);
    cr_expect_not(db_commit(db, &fault));
    cr_expect_eq(fault.reason, DATABASE_REFERENCE, "%s", fault.cause);
}

/* Nothing of it can have been committed, so this is no unknown commit; and what follows must not
 * run on a new connection, as if it were the same transaction. */
Test(db_transaction, is_undone_where_its_connection_is_lost)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = database_with_table(ctx);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    cr_assert(db_begin(db, &fault));
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_not(db_query_params(ctx, db, &suicide, &fault, NULL, 0));
    cr_expect_eq(fault.reason, DATABASE_UNREACHABLE, "%s", fault.cause);
    cr_expect_not(db_query(ctx, db, &insert, &fault, INTEGER(2)));
    cr_expect_eq(fault.reason, DATABASE_UNREACHABLE);
    cr_expect_not(db_commit(db, &fault));
    cr_expect_eq(fault.reason, DATABASE_UNREACHABLE);
    expect_rows(ctx, database, "0");
    cr_expect(db_query(ctx, db, &insert, &fault, INTEGER(3)), "%s", fault.cause);
    expect_rows(ctx, database, "1");
}

/* A deferred trigger runs inside COMMIT, so the server dies while it commits. */
Test(db_transaction, a_commit_lost_in_flight_is_unknown)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = database_with_table(ctx);
    fixture_sql(ctx, database,
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10);"
                " RETURN NULL; END $$;"
                "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION die()");
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};
    cr_assert(db_begin(db, &fault));
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_not(db_commit(db, &fault));
    cr_expect_eq(fault.reason, DATABASE_COMMIT_UNKNOWN, "%s", fault.cause);
    cr_expect_eq(db_counts(db).commits, 0);
}

Test(db_enclosed, keeps_or_undoes_all_transactions_together)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = database_with_table(ctx);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};

    for (unsigned kept = 0; kept < 2; kept++) {
        cr_assert(db_enclose(db, &fault), "%s", fault.cause);
        cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)), "%s", fault.cause);
        cr_assert(db_begin(db, &fault), "%s", fault.cause);
        cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(2)), "%s", fault.cause);
        cr_assert(db_commit(db, &fault), "%s", fault.cause);
        expect_rows(ctx, database, "0");
        cr_expect_eq(db_counts(db).commits, 0);
        if (kept)
            cr_assert(db_enclosed_commit(db, &fault), "%s", fault.cause);
        else
            db_enclosed_rollback(db);
        expect_rows(ctx, database, kept ? "2" : "0");
    }
    cr_expect_eq(db_counts(db).commits, 1);
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(3)), "%s", fault.cause);
    expect_rows(ctx, database, "3");
}

/* As outside: a query, a transaction, a transaction whose COMMIT comes after a failure. */
Test(db_enclosed, what_fails_inside_is_undone_alone)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = database_with_table(ctx);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};

    cr_assert(db_enclose(db, &fault), "%s", fault.cause);
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)), "%s", fault.cause);
    cr_expect_not(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_eq(fault.reason, DATABASE_DUPLICATE);
    cr_expect_str_eq(db_refusal(db)->constraint, "t_pkey");

    cr_assert(db_begin(db, &fault), "%s", fault.cause);
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(2)), "%s", fault.cause);
    db_rollback(db);

    cr_assert(db_begin(db, &fault), "%s", fault.cause);
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(3)), "%s", fault.cause);
    cr_expect_not(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_not(db_commit(db, &fault), "it had failed");

    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(4)), "%s", fault.cause);
    cr_assert(db_enclosed_commit(db, &fault), "%s", fault.cause);
    cr_expect_str_eq(
        fixture_sql(ctx, database, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"), "1 4");
}

Test(db_enclosed, is_undone_where_its_connection_is_lost)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = database_with_table(ctx);
    struct db *db = fixture_db(ctx, database, NULL);
    struct fault fault = {0};

    cr_assert(db_enclose(db, &fault), "%s", fault.cause);
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)), "%s", fault.cause);
    cr_expect_not(db_query_params(ctx, db, &suicide, &fault, NULL, 0));
    cr_expect_eq(fault.reason, DATABASE_UNREACHABLE, "%s", fault.cause);
    cr_expect_not(db_query(ctx, db, &insert, &fault, INTEGER(2)), "over another connection");
    cr_expect_not(db_begin(db, &fault), "over another connection");
    cr_expect_not(db_enclosed_commit(db, &fault));
    cr_expect_eq(fault.reason, DATABASE_UNREACHABLE, "%s", fault.cause);
    expect_rows(ctx, database, "0");
    cr_expect(db_query(ctx, db, &insert, &fault, INTEGER(3)), "%s", fault.cause);
}

Test(db_enclosed, has_one_end_and_no_snapshot)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct db *db = fixture_db(ctx, database_with_table(ctx), NULL);
    struct fault fault = {0};

    cr_expect_not(db_enclosed_commit(db, &fault));
    cr_expect_eq(fault.reason, INTERNAL);
    db_enclosed_rollback(db); /* nothing is open: nothing happens */
    cr_assert(db_enclose(db, &fault), "%s", fault.cause);
    cr_expect_not(db_enclose(db, &fault));
    cr_expect_not(db_begin_snapshot(db, &fault));
    cr_expect_eq(fault.reason, INTERNAL);
    cr_expect(db_enclosed_commit(db, &fault), "%s", fault.cause);
}

struct listener {
    const char *directory;
    int socket;
};

static struct listener listen_for(TALLOC_CTX *ctx, const char *job)
{
    const struct listener listener = {fixture_directory(ctx),
                                      socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", listener.directory,
                   job);
    cr_assert_eq(bind(listener.socket, (struct sockaddr *)&address, sizeof(address)), 0);
    return listener;
}

static int wakes_heard(int socket)
{
    char octet;
    int heard = 0;
    while (recv(socket, &octet, 1, MSG_DONTWAIT) == 1)
        heard++;
    return heard;
}

Test(db_wake, waits_for_the_commit_and_is_sent_once)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct listener listener = listen_for(ctx, "crl-generation");
    const struct db_options options = {.url = database_with_table(ctx),
                                       .wake_dir = listener.directory};
    struct db *db = db_new(ctx, &options);
    struct fault fault = {0};

    cr_assert(db_begin(db, &fault), "%s", fault.cause);
    db_wake(db, "crl-generation");
    db_wake(db, "nobody-lingers");
    db_wake(db, "crl-generation");
    cr_assert(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_eq(wakes_heard(listener.socket), 0);
    cr_assert(db_commit(db, &fault));
    cr_expect_eq(wakes_heard(listener.socket), 1);

    cr_assert(db_begin(db, &fault));
    db_wake(db, "crl-generation");
    db_rollback(db);
    cr_expect_eq(wakes_heard(listener.socket), 0);

    cr_assert(db_begin(db, &fault));
    db_wake(db, "crl-generation");
    cr_expect_not(db_query(ctx, db, &insert, &fault, INTEGER(1)));
    cr_expect_not(db_commit(db, &fault));
    cr_assert(db_begin(db, &fault));
    cr_assert(db_commit(db, &fault));
    cr_expect_eq(wakes_heard(listener.socket), 0, "of a transaction that failed");

    cr_assert(db_enclose(db, &fault));
    cr_assert(db_begin(db, &fault));
    db_wake(db, "crl-generation");
    cr_assert(db_commit(db, &fault));
    db_wake(db, "crl-generation");
    cr_expect_eq(wakes_heard(listener.socket), 0, "before the enclosing commit");
    cr_assert(db_enclosed_commit(db, &fault));
    cr_expect_eq(wakes_heard(listener.socket), 1);

    db_wake(db, "crl-generation");
    cr_expect_eq(wakes_heard(listener.socket), 1, "outside a transaction: at once");
    (void)close(listener.socket);
}
