/* tests/unit/db/fixture.c: databases for tests, in the cluster that with-postgres started. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "db/migrate.h"

#include "core/banned.h"

AUTO_DEFINE(PGconn, PQfinish)
AUTO_DEFINE(PGresult, PQclear)

static const char *cluster(void)
{
    const char *url = getenv("CERTCTL_TEST_DATABASE");
    cr_assert_not_null(url, "run this by tests/unit/db/with-postgres");
    return url;
}

static PGconn *connect_to(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    cr_assert_eq(PQstatus(connection), CONNECTION_OK, "%s", PQerrorMessage(connection));
    return connection;
}

static PGresult *run_sql(PGconn *connection, const char *sql)
{
    PGresult *kept = NULL;
    PGresult *next;
    cr_assert_eq(PQsendQuery(connection, sql), 1, "%s", PQerrorMessage(connection));
    while ((next = PQgetResult(connection))) {
        PQclear(kept);
        kept = next;
    }
    return kept;
}

static bool is_good(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK;
}

const char *fixture_sql(TALLOC_CTX *ctx, const char *database, const char *sql)
{
    AUTO(PGconn) *connection = connect_to(database);
    AUTO(PGresult) *result = run_sql(connection, sql);
    cr_assert(is_good(result), "%s: %s", sql, PQerrorMessage(connection));
    if (PQntuples(result) == 0 || PQgetisnull(result, 0, 0))
        return NULL;
    return mem_text(ctx, PQgetvalue(result, 0, 0));
}

const char *fixture_refusal(TALLOC_CTX *ctx, const char *database, const char *role,
                            const char *sql)
{
    AUTO(PGconn) *connection = connect_to(mem_printf(ctx, "%s user=%s", database, role));
    AUTO(PGresult) *result = run_sql(connection, sql);
    if (is_good(result))
        return "00000";
    return mem_text(ctx, PQresultErrorField(result, PG_DIAG_SQLSTATE));
}

static void silent(const char *line)
{
    (void)line;
}

static void migrate_release(const char *url)
{
    const struct db_options options = {.url = url, .application_name = "fixture"};
    const struct migrate_options migration = {RELEASE_SQL, MIGRATE_UP, silent};
    struct fault fault = {0};
    cr_assert(migrate(&options, &migration, &fault), "%s %s", fault.detail, fault.cause);
}

/* Tests run side by side, each in a process of its own; the first one makes the template. */
static void make_template(TALLOC_CTX *ctx)
{
    const char *postgres = mem_printf(ctx, "%s dbname=postgres", cluster());
    AUTO(PGconn) *lock = connect_to(postgres);
    AUTO(PGresult) *locked = run_sql(lock, "SELECT pg_advisory_lock(1)");
    cr_assert(is_good(locked));
    if (fixture_sql(ctx, postgres, "SELECT 1 FROM pg_database WHERE datname = 'template_done'"))
        return;
    fixture_sql(ctx, postgres, "CREATE DATABASE template_making");
    migrate_release(mem_printf(ctx, "%s dbname=template_making", cluster()));
    fixture_sql(ctx, postgres, "ALTER DATABASE template_making RENAME TO template_done");
}

const char *fixture_database(TALLOC_CTX *ctx, bool migrated)
{
    static unsigned made;
    if (migrated)
        make_template(ctx);
    const char *name = mem_printf(ctx, "test_%d_%u", (int)getpid(), made++);
    fixture_sql(ctx, mem_printf(ctx, "%s dbname=postgres", cluster()),
                mem_printf(ctx, "CREATE DATABASE %s TEMPLATE %s", name,
                           migrated ? "template_done" : "template0"));
    return mem_printf(ctx, "%s dbname=%s", cluster(), name);
}

struct db *fixture_db(TALLOC_CTX *ctx, const char *database, const char *role)
{
    const struct db_options options = {
        .url = role ? mem_printf(ctx, "%s user=%s", database, role) : database,
        .application_name = "unit-db",
        .statement_timeout_ms = 15000,
    };
    return db_new(ctx, &options);
}

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *at)
{
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

static int remove_directory(char *path)
{
    (void)nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

const char *fixture_directory(TALLOC_CTX *ctx)
{
    char *path = mem_text(ctx, "/tmp/certctl-unit.XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    talloc_set_destructor(path, remove_directory);
    return path;
}

void fixture_write(const char *directory, const char *name, const char *text)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *path = mem_printf(scratch, "%s/%s", directory, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    (void)mkdir(path, 0700);
    *slash = '/';
    AUTO(FILE) *file = fopen(path, "we");
    cr_assert_not_null(file, "%s", path);
    cr_assert_geq(fputs(text, file), 0);
}
