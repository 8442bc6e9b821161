/* tests/unit/db/migrate.c: migrations, what stops them, and the rights that they leave. */
#include "db/migrate.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "fixture.h"

#include "core/banned.h"

/* What migrate reported, one line after the other; a test runs in a process of its own. */
static char reported[8192];

static void on_report(const char *line)
{
    const size_t used = strlen(reported);
    (void)snprintf(reported + used, sizeof(reported) - used, "%s\n", line);
}

static bool run(const char *database, const char *directory, enum migrate_mode mode,
                struct fault *fault)
{
    const struct db_options options = {.url = database, .application_name = "unit-db"};
    const struct migrate_options migration = {directory, mode, on_report};
    reported[0] = '\0';
    *fault = (struct fault){0};
    return migrate(&options, &migration, fault);
}

static bool reports(const char *text)
{
    return strstr(reported, text) != NULL;
}

static const char *state_of(TALLOC_CTX *ctx, const char *database)
{
    return fixture_sql(ctx, database,
                       "SELECT string_agg(version || checksum || applied_at, ' ' ORDER BY version)"
                       "  FROM schema_migrations");
}

Test(db_migrate, a_second_run_of_the_release_changes_nothing)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true); /* the fixture ran it once */
    struct fault fault;
    const char *before = state_of(ctx, database);
    cr_expect(run(database, RELEASE_SQL, MIGRATE_UP, &fault), "%s %s", fault.detail, fault.cause);
    cr_expect_str_eq(reported, "");
    cr_expect_str_eq(state_of(ctx, database), before);

    cr_expect(run(database, RELEASE_SQL, MIGRATE_STATUS, &fault));
    cr_expect(reports("applied 0001_baseline.sql"), "%s", reported);
    cr_expect_not(reports("pending"), "%s", reported);
    cr_expect_str_eq(fixture_sql(ctx, database,
                                 "SELECT count(*) FROM pg_class c JOIN pg_namespace n"
                                 "    ON n.oid = c.relnamespace"
                                 " WHERE n.nspname = 'public'"
                                 "   AND pg_get_userbyid(c.relowner) <> 'certctl_owner'"),
                     "0", "everything belongs to the owner");
}

/* A small release of our own: one table, one function, one seed, one grant. */
static const char *small_release(TALLOC_CTX *ctx)
{
    const char *directory = fixture_directory(ctx);
    fixture_write(directory, "roles.sql", "SELECT 1;\n");
    fixture_write(
        directory, "0001_first.sql",
        "CREATE TABLE schema_migrations (version text PRIMARY KEY, checksum text,"
        " applied_at timestamptz NOT NULL DEFAULT now());\nCREATE TABLE t (n integer);\n");
    fixture_write(directory, "functions/f.sql",
                  "CREATE OR REPLACE FUNCTION partitions_ensure() RETURNS integer"
                  " LANGUAGE plpgsql AS $$ BEGIN RETURN 0; END $$;\n");
    fixture_write(directory, "seeds.sql",
                  "INSERT INTO t SELECT 1 WHERE NOT EXISTS"
                  " (SELECT 1 FROM t);\n");
    fixture_write(directory, "grants/00.sql", "GRANT SELECT ON t TO certctl_app;\n");
    return directory;
}

/* A database whose cluster has our roles and whose schema public is the owner's to fill. */
static const char *small_database(TALLOC_CTX *ctx)
{
    (void)fixture_database(ctx, true);
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database, "GRANT USAGE, CREATE ON SCHEMA public TO certctl_owner");
    return database;
}

Test(db_migrate, applies_what_is_new_and_tells_so)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *directory = small_release(ctx);
    const char *database = small_database(ctx);
    struct fault fault;

    cr_expect(run(database, directory, MIGRATE_DRY_RUN, &fault), "%s", fault.detail);
    cr_expect_str_eq(reported, "pending 0001_first.sql\npending functions, seeds and grants\n");
    cr_expect_null(fixture_sql(ctx, database, "SELECT to_regclass('t')"), "dry means dry");

    cr_assert(run(database, directory, MIGRATE_UP, &fault), "%s %s", fault.detail, fault.cause);
    cr_expect(reports("applied 0001_first.sql ("), "%s", reported);
    cr_expect(reports("applied functions/f.sql\napplied seeds.sql\napplied grants/00.sql\n"));
    cr_expect_str_eq(fixture_sql(ctx, database, "SELECT count(*) FROM t"), "1");

    fixture_write(directory, "0002_second.sql", "ALTER TABLE t ADD COLUMN m integer;\n");
    cr_assert(run(database, directory, MIGRATE_UP, &fault), "%s", fault.detail);
    cr_expect_not(reports("0001"), "%s", reported);
    cr_expect(reports("applied 0002_second.sql ("), "%s", reported);
    cr_expect(reports("applied grants/00.sql"), "a new table may want them");

    fixture_write(directory, "grants/00.sql", "REVOKE ALL ON t FROM certctl_app;\n");
    cr_assert(run(database, directory, MIGRATE_UP, &fault), "%s", fault.detail);
    cr_expect_not(reports("second"), "%s", reported);
    cr_expect(reports("applied grants/00.sql"), "%s", reported);
    cr_expect_str_eq(fixture_refusal(ctx, database, "certctl_probe", "SELECT 1 FROM t"), "42501");
}

static const struct {
    const char *about;
    const char *file;
    const char *text;
    enum fault_reason reason;
    const char *detail;
} stops[] = {
    {"an applied file was changed",          "0001_first.sql", "SELECT 1;\n",                                    SCHEMA_MISMATCH,
     "0001_first.sql was changed after it was applied"                                                                                                                                  },
    {"a number is there twice",              "0001_again.sql", "SELECT 1;\n",                                    FILE_FAILED,
     "0001_again.sql and 0001_first.sql have the same number"                                                                                                                           },
    {"a mistake, by line",                   "0002_bad.sql",   "CREATE TABLE u (n integer);\n\nSELECT wrong;\n",
     DATABASE_FAILED,                                                                                                             "0002_bad.sql line 3: column \"wrong\" does not exist"},
    {"a file that commits",                  "0002_bad.sql",   "CREATE TABLE u (n integer);\nCOMMIT;\n",
     DATABASE_FAILED,                                                                                                             "0002_bad.sql ends its own transaction"               },
    {"two statements without a transaction", "0002_bad.sql",
     "-- no-transaction\nCREATE TABLE u (n integer); SELECT 1;\n",                                               DATABASE_FAILED,
     "0002_bad.sql: cannot insert multiple commands into a prepared statement"                                                                                                          },
    {"a bad grant",                          "grants/99.sql",  "GRANT SELECT ON nothing TO certctl_app;\n",      DATABASE_FAILED,
     "grants/99.sql: relation \"nothing\" does not exist"                                                                                                                               },
};

Test(db_migrate, stops_at_what_is_wrong)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    for (size_t i = 0; i < ARRAY_SIZE(stops); i++) {
        const char *directory = small_release(ctx);
        const char *database = small_database(ctx);
        struct fault fault;
        cr_assert(run(database, directory, MIGRATE_UP, &fault), "%s", fault.detail);
        const char *before = state_of(ctx, database);

        fixture_write(directory, stops[i].file, stops[i].text);
        cr_expect_not(run(database, directory, MIGRATE_UP, &fault), "%s", stops[i].about);
        cr_expect_eq(fault.reason, stops[i].reason, "%s", stops[i].about);
        cr_expect_str_eq(fault.detail, stops[i].detail, "%s: %s", stops[i].about, fault.cause);
        cr_expect_str_eq(state_of(ctx, database), before, "%s", stops[i].about);
    }
}

Test(db_migrate, refuses_a_database_that_is_ahead)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *directory = small_release(ctx);
    const char *database = small_database(ctx);
    struct fault fault;
    cr_assert(run(database, directory, MIGRATE_UP, &fault), "%s", fault.detail);
    fixture_sql(ctx, database, "INSERT INTO schema_migrations VALUES ('0003', 'x')");
    cr_expect_not(run(database, directory, MIGRATE_UP, &fault));
    cr_expect_str_eq(fault.detail,
                     "the database has migration 0003, which this release does not know");
    fixture_write(directory, "0002_second.sql", "SELECT 1;\n");
    fixture_write(directory, "0003_third.sql", "SELECT 1;\n");
    fixture_sql(ctx, database,
                "UPDATE schema_migrations SET checksum ="
                " encode(sha256(E'SELECT 1;\\n'::bytea), 'hex')"
                " WHERE version = '0003'");
    cr_expect_not(run(database, directory, MIGRATE_UP, &fault));
    cr_expect_str_eq(fault.detail, "0003_third.sql is applied, but not the one before it");
}

Test(db_migrate, runs_a_single_statement_outside_a_transaction)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *directory = small_release(ctx);
    const char *database = small_database(ctx);
    struct fault fault;
    fixture_write(directory, "0002_index.sql",
                  "-- no-transaction\nCREATE INDEX CONCURRENTLY t_n ON t (n);\n");
    cr_assert(run(database, directory, MIGRATE_UP, &fault), "%s %s", fault.detail, fault.cause);
    cr_expect_not_null(fixture_sql(ctx, database, "SELECT to_regclass('t_n')"));
    cr_expect_str_eq(
        fixture_sql(ctx, database, "SELECT 1 FROM schema_migrations WHERE version = '0002'"), "1");
}

/* A login that may not create roles is enough once somebody else has made them. */
Test(db_migrate, needs_no_superuser_once_the_roles_are_there)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = small_database(ctx);
    fixture_sql(ctx, database, "CREATE ROLE plain_login LOGIN; GRANT certctl_owner TO plain_login");
    struct fault fault;
    const char *url = mem_printf(ctx, "%s user=plain_login", database);
    cr_expect(run(url, small_release(ctx), MIGRATE_UP, &fault), "%s %s", fault.detail, fault.cause);
    cr_expect(reports("roles.sql left out: plain_login may not create roles"), "%s", reported);
}

static const char *const roles[] = {
    "certctl_probe", "certctl_api",       "certctl_agentapi", "certctl_outbound", "certctl_auth",
    "certctl_acme",  "certctl_est",       "certctl_scep",     "certctl_pki",      "certctl_jobs",
    "certctl_ca",    "certctl_reconcile", "certctl_sealer",
};

static const char *const attacks[] = {
    "UPDATE audit_events SET action = 'x'",
    "DELETE FROM audit_events",
    "TRUNCATE audit_events",
    "TRUNCATE audit_events_default",
    "DELETE FROM audit_events_default",
    "ALTER TABLE audit_events DISABLE TRIGGER ALL",
    "DROP TABLE audit_events",
    "SET ROLE certctl_owner",
    "CREATE TABLE mine (n integer)",
    "UPDATE schema_migrations SET version = '9999'",
};

Test(db_grants, every_process_writes_audit_rows_and_none_changes_one)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true);
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        const char *insert = "INSERT INTO audit_events (id, actor, actor_type, action,"
                             " resource_type) VALUES ('a', 'u', 'System', 'tested', 'test')";
        cr_expect_str_eq(fixture_refusal(ctx, database, roles[i], insert), "00000", "%s", roles[i]);
        for (size_t j = 0; j < ARRAY_SIZE(attacks); j++)
            cr_expect_str_eq(fixture_refusal(ctx, database, roles[i], attacks[j]), "42501",
                             "%s: %s", roles[i], attacks[j]);
    }
    cr_expect_str_eq(fixture_sql(ctx, database, "SELECT count(*) FROM audit_events"), "13");
}

/* The second lock: it holds where grants do not. */
Test(db_grants, the_owner_cannot_change_audit_rows_by_accident)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true);
    /* The second row is of a month that has no partition of its own. */
    fixture_sql(ctx, database,
                "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, timestamp)"
                " SELECT 'a', 'u', 'System', 'tested', 'test', t"
                "   FROM unnest(ARRAY[now(), '2999-01-01']) t");
    for (size_t i = 0; i < 5; i++)
        cr_expect_str_eq(fixture_refusal(ctx, database, "postgres", attacks[i]), "23514", "%s",
                         attacks[i]);
    cr_expect_str_eq(fixture_sql(ctx, database, "SELECT count(*) FROM audit_events"), "2");
}

Test(db_grants, the_fixed_roles_keep_their_permissions)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true);
    cr_expect_str_eq(fixture_sql(ctx, database, "SELECT count(*) FROM permissions"), "84");
    cr_expect_str_eq(fixture_sql(ctx, database,
                                 "SELECT string_agg(permission_id, ' ' ORDER BY permission_id)"
                                 "  FROM role_permissions WHERE role_id = 'r-auditor'"),
                     "p-audit-export p-audit-read");
    cr_expect_str_eq(fixture_refusal(ctx, database, "postgres",
                                     "DELETE FROM role_permissions WHERE role_id = 'r-admin'"),
                     "23514");
    cr_expect_str_eq(fixture_refusal(ctx, database, "postgres",
                                     "INSERT INTO role_permissions (role_id, permission_id)"
                                     " VALUES ('r-auditor', 'p-auth-user-read')"),
                     "23514");
}

static const struct {
    const char *about;
    const char *call;
    int calls; /* before the last one */
    const char *last;
} limits[] = {
    {"exact, below",         "SELECT rl_take('k1', 3, '1 hour')",          2, "0"   },
    {"exact, above",         "SELECT rl_take('k2', 3, '1 hour')",          3, "3600"},
    {"a look takes nothing", "SELECT rl_take('k3', 1, '1 hour', NULL, 0)", 5, "0"   },
    {"no limit",             "SELECT rl_take('k4', 0, '1 hour')",          9, "0"   },
    {"no key",               "SELECT rl_take('', 1, '1 hour')",            9, "0"   },
    {"bucket, below",        "SELECT rl_take('k5', 3600, '1 hour', 2)",    1, "0"   },
    {"bucket, above",        "SELECT rl_take('k6', 3600, '1 hour', 2)",    2, "1"   },
    {"failures, below",      "SELECT rl_fail('k7', 2, '1 min')",           1, "0"   },
    {"failures, above",      "SELECT rl_fail('k8', 2, '1 min')",           2, "60"  },
};

Test(db_functions, limiters_count_to_their_limit)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        for (int call = 0; call < limits[i].calls; call++)
            cr_expect_str_eq(fixture_sql(ctx, database, limits[i].call), "0", "%s",
                             limits[i].about);
        cr_expect_str_eq(fixture_sql(ctx, database, limits[i].call), limits[i].last, "%s",
                         limits[i].about);
    }
}
