/* tests/unit/db/connection.c: session settings, the role, and the range of schemas served. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "db/db.h"
#include "fixture.h"

#include "core/banned.h"

static const struct {
    const char *name;
    const char *value;
} settings[] = {
    {"TimeZone",                            "UTC"           },
    {"DateStyle",                           "ISO, MDY"      },
    {"client_encoding",                     "UTF8"          },
    {"search_path",                         "public,pg_temp"},
    {"application_name",                    "unit-db"       },
    {"statement_timeout",                   "15s"           },
    {"lock_timeout",                        "3s"            },
    {"idle_in_transaction_session_timeout", "10s"           },
    {"default_transaction_isolation",       "read committed"},
    {"enable_seqscan",                      "off"           },
};

Test(db_connection, has_our_settings_whatever_the_database_says)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, false);
    fixture_sql(ctx, database,
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''',"
                " current_database()); EXECUTE format('ALTER DATABASE %I SET datestyle = German',"
                " current_database()); END $$");
    struct db *db = fixture_db(ctx, database, NULL);
    const struct statement setting = {"s", "SELECT current_setting($1) AS value"};
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        struct fault fault = {0};
        const struct rows *rows = db_query(ctx, db, &setting, &fault, TEXT(settings[i].name));
        cr_assert_not_null(rows, "%s", fault.cause);
        cr_expect_str_eq(row_text(rows, 0, "value"), settings[i].value, "%s", settings[i].name);
    }
}

static const char *user_of(TALLOC_CTX *ctx, const char *url)
{
    const struct db_options options = {.url = url, .role = "certctl_probe"};
    struct db *db = db_new(ctx, &options);
    struct fault fault = {0};
    const struct statement user = {"u", "SELECT current_user AS name"};
    const struct rows *rows = db_query_params(ctx, db, &user, &fault, NULL, 0);
    cr_assert_not_null(rows, "%s", fault.cause);
    return row_text(rows, 0, "name");
}

Test(db_connection, the_url_names_the_user_before_the_role_does)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true); /* "host=… user=postgres dbname=…" */
    cr_expect_str_eq(user_of(ctx, database), "postgres");

    const char *user = strstr(database, "user=postgres ");
    cr_assert_not_null(user);
    const char *anonymous = mem_printf(ctx, "%.*s%s", (int)(user - database), database,
                                       user + strlen("user=postgres "));
    cr_expect_str_eq(user_of(ctx, anonymous), "certctl_probe");
}

static const struct {
    const char *about;
    const char *url;
} unreachable[] = {
    {"no such socket", "host=/nonexistent dbname=x"},
    {"no URL at all",  "postgresql://[::1"         },
};

Test(db_connection, cannot_be_reached)
{
    for (size_t i = 0; i < ARRAY_SIZE(unreachable); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct db *db = fixture_db(ctx, unreachable[i].url, NULL);
        struct fault fault = {0};
        cr_expect_not(db_connect(db, &fault), "%s", unreachable[i].about);
        cr_expect_eq(fault.reason, DATABASE_UNREACHABLE, "%s", unreachable[i].about);
        cr_expect_neq(fault.cause[0], '\0', "%s", unreachable[i].about);
    }
}

static const struct {
    const char *about;
    const char *sql;
    const char *detail; /* NULL: served */
} schemas[] = {
    {"this release",           "SELECT 1",                                                NULL                                },
    {"never migrated",         "DROP TABLE schema_migrations",                            "schema 0, this build serves 1 to 1"},
    {"nothing applied",        "DELETE FROM schema_migrations",                           "schema 0, this build serves 1 to 1"},
    {"one too new",            "INSERT INTO schema_migrations VALUES ('0002')",
     "schema 2, this build serves 1 to 1"                                                                                     },
    {"by number, not by text", "INSERT INTO schema_migrations VALUES ('0012'), ('0009')",
     "schema 12, this build serves 1 to 1"                                                                                    },
};

Test(db_connection, serves_its_range_of_schemas)
{
    for (size_t i = 0; i < ARRAY_SIZE(schemas); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        const char *database = fixture_database(ctx, true);
        fixture_sql(ctx, database, schemas[i].sql);
        struct db *db = fixture_db(ctx, database, "certctl_probe");
        if (!schemas[i].detail) {
            struct fault none = {0};
            cr_expect(db_connect(db, &none), "%s: %s", schemas[i].about, none.cause);
            continue;
        }
        struct fault fault = {0};
        cr_expect_not(db_connect(db, &fault), "%s", schemas[i].about);
        cr_expect_eq(fault.reason, SCHEMA_MISMATCH, "%s", schemas[i].about);
        cr_expect_str_eq(fault.detail, schemas[i].detail, "%s", schemas[i].about);
    }
}

STATEMENT(test_anything, "SELECT 1 AS one");

/* A responder never asks for the check: it comes with the connection, each one. */
Test(db_connection, checks_the_schema_of_each_connection_where_asked)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true);
    const struct db_options options = {.url = database, .checks_schema = true};
    struct db *db = db_new(ctx, &options);
    struct fault fault = {0};

    cr_assert(db_query(ctx, db, &test_anything, &fault), "%s", fault.cause);
    fixture_sql(ctx, database, "INSERT INTO schema_migrations VALUES ('0002')");
    cr_expect(db_query(ctx, db, &test_anything, &fault), "a connection that is open goes on");
    db_close(db);
    cr_expect_null(db_query(ctx, db, &test_anything, &fault));
    cr_expect_eq(fault.reason, SCHEMA_MISMATCH, "%s", fault.detail);
    fixture_sql(ctx, database, "DELETE FROM schema_migrations WHERE version = '0002'");
    cr_expect(db_query(ctx, db, &test_anything, &fault), "%s", fault.cause);
}
