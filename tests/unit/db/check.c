/* tests/unit/db/check.c: the list of statements, and the server's opinion of each. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>

#include "core/auto.h"
#include "core/memory.h"
#include "db/db.h"
#include "fixture.h"

#include "core/banned.h"

STATEMENT(check_good, "SELECT id FROM checked WHERE id = $1 AND $2::text IS NOT NULL");
STATEMENT(check_column, "SELECT missing FROM checked WHERE id = $1");
STATEMENT(check_select, "SELECT id FROM secret");
STATEMENT(check_update, "UPDATE checked SET id = $1 WHERE id = $2");
STATEMENT(check_execute, "SELECT strictly($1::text)");

static const char check_schema[] =
    "CREATE TABLE checked (id integer); CREATE TABLE secret (id integer);"
    "CREATE FUNCTION strictly(x text) RETURNS text LANGUAGE plpgsql STRICT IMMUTABLE AS"
    "  $$ BEGIN RETURN x; END $$;"
    "REVOKE ALL ON FUNCTION strictly(text) FROM PUBLIC;"
    "GRANT SELECT ON checked TO certctl_probe;"
    /* The statements of lib/db/migrate.c are linked in here too. */
    "GRANT INSERT, UPDATE ON schema_migrations TO certctl_probe;"
    "GRANT EXECUTE ON FUNCTION partitions_ensure(timestamptz) TO certctl_probe;";

static const struct {
    const char *name;
    bool good;
} verdicts[] = {
    {"check_good",        true },
    {"check_column",      false},
    {"check_select",      false},
    {"check_update",      false},
    {"check_execute",     false},
    {"migrate_applied",   true },
    {"migrate_record",    true },
    {"db_schema_version", true },
};

static const struct statement *find(const char *name)
{
    size_t count;
    const struct statement *list = statements(&count);
    for (size_t i = 0; i < count; i++)
        if (text_equal(list[i].name, name))
            return &list[i];
    return NULL;
}

Test(db_check, knows_every_statement_that_is_linked)
{
    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
        cr_expect_not_null(find(verdicts[i].name), "%s", verdicts[i].name);
    cr_expect_eq(find("check_good"), &check_good);
    size_t count;
    (void)statements(&count);
    cr_expect_eq(count, 12,
                 "%zu: five here, five in migrate.c, one each in connection.c and its test", count);
}

/* What the check prints, and its verdict. */
static const char *checked(TALLOC_CTX *ctx, struct db *db, bool *ret_good, struct fault *fault)
{
    const char *directory = fixture_directory(ctx);
    const char *path = mem_printf(ctx, "%s/stderr", directory);
    AUTO_FD file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    AUTO_FD saved = dup(STDERR_FILENO);
    cr_assert_eq(dup2(file, STDERR_FILENO), STDERR_FILENO);
    *ret_good = db_check_statements(db, fault);
    cr_assert_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);

    char *text = mem_array(ctx, char, 65536);
    cr_assert_geq(pread(file, text, 65535, 0), 0);
    return text;
}

Test(db_check, finds_missing_columns_and_grants)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *database = fixture_database(ctx, true);
    fixture_sql(ctx, database, check_schema);
    struct db *db = fixture_db(ctx, database, "certctl_probe");
    struct fault fault = {0};
    bool good;
    const char *said = checked(ctx, db, &good, &fault);
    cr_expect_not(good);
    cr_expect_eq(fault.reason, DATABASE_FAILED);
    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
        cr_expect_eq(strstr(said, mem_printf(ctx, "statement %s:", verdicts[i].name)) == NULL,
                     verdicts[i].good, "%s", said);

    static const struct statement added[] = {
        {"added_good", "SELECT id FROM checked"     },
        {"added_bad",  "SELECT nothing FROM checked"},
    };
    db_statements_add(db, added, ARRAY_SIZE(added));
    said = checked(ctx, db, &good, &fault);
    cr_expect(strstr(said, "statement added_bad:"), "%s", said);
    cr_expect_null(strstr(said, "statement added_good:"), "%s", said);
    db = fixture_db(ctx, database, "certctl_probe"); /* one that was told of none */

    fixture_sql(ctx, database,
                "ALTER TABLE checked ADD COLUMN missing integer;"
                "GRANT UPDATE ON checked TO certctl_probe; GRANT SELECT ON secret TO certctl_probe;"
                "GRANT EXECUTE ON FUNCTION strictly(text) TO certctl_probe");
    fault = (struct fault){0};
    said = checked(ctx, db, &good, &fault);
    cr_expect(good, "%s", said);
    cr_expect_str_eq(said, "");
    cr_expect_str_eq(fixture_sql(ctx, database, "SELECT count(*) FROM checked"), "0");
    cr_expect(db_query(ctx, db, &check_good, &fault, INTEGER(1), TEXT("")), "usable afterwards: %s",
              fault.cause);
}
