/* admin/restore_database.c: a database filled beside the old one, which then takes its name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "backup.h"
#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define MAINTENANCE "postgres"

/* $1 name. */
static const struct statement look = {
    "restore_look", "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1::text) AS there, "
                    "(SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname "
                    "= $1::text) AS said, (SELECT count(*) FROM pg_stat_activity WHERE datname = "
                    "$1::text AND pid <> pg_backend_pid()) AS sessions"};
static const struct statement has_table = {
    "restore_has_table", "SELECT to_regclass('public.ca_instances') IS NOT NULL AS has_table"};
static const struct statement has_cas = {"restore_has_cas",
                                         "SELECT EXISTS (SELECT 1 FROM ca_instances) AS has_cas"};

const char *database_quoted(TALLOC_CTX *ctx, const char *name)
{
    char *text = mem_text(ctx, "\"");

    for (; *name; name++)
        text = mem_append(text, "%s%c", *name == '"' ? "\"" : "", *name);
    return mem_append(text, "\"");
}

bool database_command(struct db *db, const char *sql, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct statement statement = {"restore_command", sql};

    return db_query_params(scratch, db, &statement, fault, NULL, 0) != NULL;
}

static const char *comment_of(const struct restore *restore)
{
    return mem_printf(restore->ctx, "certctl restore %s", restore->id);
}

static bool look_inside(struct restore *restore, bool *ret_empty, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, restore->settings, restore->database, fault);
    const struct rows *rows = db ? db_query_params(scratch, db, &has_table, fault, NULL, 0) : NULL;

    if (!rows)
        return false;
    if (row_bool(rows, 0, "has_table")) {
        rows = db_query_params(scratch, db, &has_cas, fault, NULL, 0);
        if (!rows)
            return false;
        *ret_empty = !row_bool(rows, 0, "has_cas");
    }
    return true;
}

bool restore_look(struct restore *restore, bool *ret_empty, bool *ret_ours, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, restore->settings, MAINTENANCE, fault);
    const struct rows *rows = db ? db_query(scratch, db, &look, fault, TEXT(restore->database))
                                 : NULL;

    if (!rows)
        return false;
    *ret_empty = true;
    *ret_ours = text_equal(row_text(rows, 0, "said"), comment_of(restore));
    if (row_integer(rows, 0, "sessions") > 0)
        return fault_set(fault, RESOURCE_STATE, NULL,
                         "%lld sessions are open in the database %.60s: stop whatever works with "
                         "it first",
                         (long long)row_integer(rows, 0, "sessions"), restore->database);
    return !row_bool(rows, 0, "there") || look_inside(restore, ret_empty, fault);
}

static bool make_scratch(struct restore *restore, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, restore->settings, MAINTENANCE, fault);
    const char *name = database_quoted(scratch, restore->scratch);

    return db &&
           database_command(db, mem_printf(scratch, "DROP DATABASE IF EXISTS %s (FORCE)", name),
                            fault) &&
           database_command(db, mem_printf(scratch, "CREATE DATABASE %s TEMPLATE template0", name),
                            fault);
}

/* In a cluster that is new the roles come first: the dump gives them what is theirs. */
static bool make_roles(struct restore *restore, struct fault *fault)
{
    const char *const arguments[] = {"psql",
                                     "--no-psqlrc",
                                     "--quiet",
                                     "--no-password",
                                     "--set=ON_ERROR_STOP=1",
                                     mem_printf(restore->ctx, "--dbname=%s", restore->scratch),
                                     mem_printf(restore->ctx, "--file=%s/roles.sql",
                                                restore->settings->database_migrations_path),
                                     NULL};

    return program_run(restore->settings, arguments, -1, fault);
}

static bool load(struct restore *restore, struct fault *fault)
{
    const char *path = mem_printf(restore->ctx, "%s/database", restore->staging);
    const char *const arguments[] = {"pg_restore", "--exit-on-error", "--no-password",
                                     mem_printf(restore->ctx, "--dbname=%s", restore->scratch),
                                     NULL};
    AUTO_FD dump = open(path, O_RDONLY | O_CLOEXEC);

    if (dump < 0)
        return fault_set(fault, INPUT_MALFORMED, NULL, "there is no database in the back-up");
    return program_run(restore->settings, arguments, dump, fault);
}

bool restore_fill(struct restore *restore, struct fault *fault)
{
    return make_scratch(restore, fault) && make_roles(restore, fault) && load(restore, fault) &&
           backup_migrate(restore->settings, restore->scratch, fault);
}

/* What had the name keeps its content under another one. */
bool restore_swap(struct restore *restore, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, restore->settings, MAINTENANCE, fault);
    const struct rows *rows = db ? db_query(scratch, db, &look, fault, TEXT(restore->database))
                                 : NULL;
    const char *name = database_quoted(scratch, restore->database);
    const char *fresh = database_quoted(scratch, restore->scratch);
    const char *old = database_quoted(
        scratch, mem_printf(scratch, "%.30s%s", restore->database, restore->aside));

    if (!rows || !db_begin(db, fault))
        return false;
    const bool done =
        database_command(
            db, mem_printf(scratch, "COMMENT ON DATABASE %s IS '%s'", fresh, comment_of(restore)),
            fault) &&
        (!row_bool(rows, 0, "there") ||
         database_command(db, mem_printf(scratch, "ALTER DATABASE %s RENAME TO %s", name, old),
                          fault)) &&
        database_command(db, mem_printf(scratch, "ALTER DATABASE %s RENAME TO %s", fresh, name),
                         fault);
    if (done && db_commit(db, fault)) {
        if (row_bool(rows, 0, "there"))
            (void)printf("the database that was here is %s now\n", old);
        return true;
    }
    db_rollback(db);
    return false;
}
