/* lib/db/migrate.c: bringing a database to the schema of this release (05 section 6.1). */
#include "db/migrate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/memory.h"
#include "db/db_private.h"
#include "db/migrate_files.h"

#include "core/banned.h"

/* The row of schema_migrations that stands for functions, seeds and grants. */
#define OTHERS "aux"

/* The key is the one that other servers of this database use, so that all exclude each other. */
STATEMENT(migrate_lock, "SELECT pg_advisory_lock(7283164759461502341)");

STATEMENT(migrate_facts, "SELECT rolname, rolsuper OR rolcreaterole AS may_create_roles,"
                         "       to_regrole('certctl_owner') IS NOT NULL AS has_owner,"
                         "       to_regclass('public.schema_migrations') IS NOT NULL AS has_schema"
                         "  FROM pg_roles WHERE rolname = current_user");

STATEMENT(migrate_applied, "SELECT version, checksum FROM schema_migrations ORDER BY version");

STATEMENT(migrate_record, "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)"
                          "    ON CONFLICT (version) DO UPDATE"
                          "   SET checksum = excluded.checksum, applied_at = now()");

STATEMENT(migrate_partitions, "SELECT partitions_ensure() AS made");

struct migration {
    struct db *db;
    const struct migrate_options *options;
    const struct release_files *release;
    const struct rows *applied; /* NULL: nothing yet */
};

static void PRINTF_LIKE(2, 3) report(const struct migration *migration, const char *format, ...)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    va_list args;
    va_start(args, format);
    migration->options->report(mem_vprintf(scratch, format, args));
    va_end(args);
}

static unsigned line_of_error(const char *text, const PGresult *result)
{
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    int64_t characters;
    if (!position || !text_to_integer(position, 1, INT32_MAX, &characters))
        return 0;
    unsigned line = 1;
    for (; *text && characters > 1; text++) {
        line += *text == '\n';
        characters -= (*text & 0xC0) != 0x80; /* the server counts characters, not octets */
    }
    return line;
}

/* The operator wrote or installed the file, so the detail says all: file, line, message. */
static void *file_fault(struct db *db, const struct sql_file *file, const PGresult *result,
                        struct fault *fault)
{
    db_result_fault(db, result, file->name, fault);
    if (!result || !db->connection)
        return NULL;
    const enum fault_reason reason = fault->reason;
    const unsigned line = line_of_error(file->text, result);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    return line ? fault_set(fault, reason, NULL, "%s line %u: %s", file->name, line, message)
                : fault_set(fault, reason, NULL, "%s: %s", file->name, message);
}

static bool run_settings(struct db *db, const char *sql, struct fault *fault)
{
    AUTO(PGresult) *result = db_command(db, sql);
    return result && db_result_good(result) ? true : (bool)db_result_fault(db, result, sql, fault);
}

/* Runs the file in the transaction that is open. */
static bool run_file(struct db *db, const struct sql_file *file, struct fault *fault)
{
    AUTO(PGresult) *result = db_command(db, file->text);
    if (!result || !db_result_good(result))
        return file_fault(db, file, result, fault);
    if (PQtransactionStatus(db->connection) != PQTRANS_INTRANS)
        return fault_set(fault, DATABASE_FAILED, NULL, "%s ends its own transaction", file->name);
    return true;
}

/* By the extended protocol, where the server itself refuses more than one statement. */
static bool run_single(struct db *db, const struct sql_file *file, struct fault *fault)
{
    AUTO(PGresult) *result = NULL;
    if (PQsendQueryParams(db->connection, file->text, 0, NULL, NULL, NULL, NULL, 0) == 1)
        result = db_receive(db->connection);
    return result && db_result_good(result) ? true : (bool)file_fault(db, file, result, fault);
}

static bool record(struct db *db, const char *version, const char *checksum, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return db_query(scratch, db, &migrate_record, fault, TEXT(version), TEXT(checksum)) != NULL;
}

/* In one transaction: the files, and the row that says so (none where version is NULL). */
static bool run_together(struct db *db, const struct sql_file *files, size_t count,
                         const char *version, const char *checksum, struct fault *fault)
{
    bool good = db_begin(db, fault);
    for (size_t i = 0; good && i < count; i++)
        good = run_file(db, &files[i], fault);
    if (good && version)
        good = record(db, version, checksum, fault);
    if (good)
        return db_commit(db, fault);
    db_rollback(db);
    return false;
}

static const char *applied_checksum(const struct migration *migration, const char *version)
{
    const size_t count = migration->applied ? migration->applied->count : 0;
    for (size_t i = 0; i < count; i++)
        if (text_equal(row_text(migration->applied, i, "version"), version))
            return row_text(migration->applied, i, "checksum");
    return NULL;
}

static bool others_in_force(const struct migration *migration)
{
    return text_equal(applied_checksum(migration, OTHERS), migration->release->others_checksum);
}

static bool release_has(const struct release_files *release, const char *version)
{
    for (size_t i = 0; i < release->migrations.count; i++)
        if (text_equal(release->migrations.items[i].version, version))
            return true;
    return text_equal(version, OTHERS);
}

/* Nothing may have changed behind our back: neither an applied file nor the database's future. */
static bool history_agrees(const struct migration *migration, struct fault *fault)
{
    const struct sql_files *files = &migration->release->migrations;
    bool pending = false;
    for (size_t i = 0; i < files->count; i++) {
        const char *checksum = applied_checksum(migration, files->items[i].version);
        if (checksum && !text_equal(checksum, files->items[i].checksum))
            return fault_set(fault, SCHEMA_MISMATCH, NULL, "%s was changed after it was applied",
                             files->items[i].name);
        if (checksum && pending)
            return fault_set(fault, SCHEMA_MISMATCH, NULL,
                             "%s is applied, but not the one before it", files->items[i].name);
        pending = !checksum;
    }
    for (size_t i = 0; migration->applied && i < migration->applied->count; i++) {
        const char *version = row_text(migration->applied, i, "version");
        if (!release_has(migration->release, version))
            return fault_set(fault, SCHEMA_MISMATCH, NULL,
                             "the database has migration %s, which this release does not know",
                             version);
    }
    return true;
}

static bool apply_migration(const struct migration *migration, const struct sql_file *file,
                            struct fault *fault)
{
    struct db *db = migration->db;
    const int64_t start_us = clock_monotonic_us();
    const bool good = file->no_transaction
                          ? run_single(db, file, fault) &&
                                record(db, file->version, file->checksum, fault)
                          : run_together(db, file, 1, file->version, file->checksum, fault);
    if (good)
        report(migration, "applied %s (%" PRId64 " ms)", file->name,
               (clock_monotonic_us() - start_us) / 1000);
    return good;
}

static bool apply_others(const struct migration *migration, struct fault *fault)
{
    const struct sql_files *files = &migration->release->others;
    if (!run_together(migration->db, files->items, files->count, OTHERS,
                      migration->release->others_checksum, fault))
        return false;
    for (size_t i = 0; i < files->count; i++)
        report(migration, "applied %s", files->items[i].name);
    return true;
}

static bool ensure_partitions(const struct migration *migration, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct rows *rows = db_query_params(scratch, migration->db, &migrate_partitions, fault,
                                              NULL, 0);
    if (!rows)
        return false;
    if (row_integer(rows, 0, "made") > 0)
        report(migration, "made %s partitions", row_text(rows, 0, "made"));
    return true;
}

static bool go_up(const struct migration *migration, struct fault *fault)
{
    const struct sql_files *files = &migration->release->migrations;
    bool changed = !others_in_force(migration);
    for (size_t i = 0; i < files->count; i++) {
        if (applied_checksum(migration, files->items[i].version))
            continue;
        if (!apply_migration(migration, &files->items[i], fault))
            return false;
        changed = true; /* functions and grants may mean the new tables */
    }
    if (changed && !apply_others(migration, fault))
        return false;
    return ensure_partitions(migration, fault);
}

static void tell(const struct migration *migration)
{
    const bool all = migration->options->mode == MIGRATE_STATUS;
    const struct sql_files *files = &migration->release->migrations;
    bool pending = !others_in_force(migration);
    for (size_t i = 0; i < files->count; i++) {
        const bool applied = applied_checksum(migration, files->items[i].version) != NULL;
        pending = pending || !applied;
        if (all || !applied)
            report(migration, "%s %s", applied ? "applied" : "pending", files->items[i].name);
    }
    if (all || pending)
        report(migration, "%s functions, seeds and grants", pending ? "pending" : "applied");
}

/* roles.sql runs as whoever logged in, and on every run: a database that was restored into a new
 * cluster finds its roles missing although nothing of ours changed. */
static bool apply_roles(const struct migration *migration, const struct rows *facts,
                        struct fault *fault)
{
    const char *login = row_text(facts, 0, "rolname");
    if (row_bool(facts, 0, "may_create_roles")) {
        if (!run_together(migration->db, &migration->release->roles, 1, NULL, NULL, fault))
            return false;
        if (!row_bool(facts, 0, "has_owner"))
            report(migration, "applied roles.sql");
        return true;
    }
    if (!row_bool(facts, 0, "has_owner"))
        return fault_set(fault, DATABASE_FAILED, NULL,
                         "the roles are missing and %s may not create them: "
                         "run roles.sql once as a superuser",
                         login);
    report(migration, "roles.sql left out: %s may not create roles", login);
    return true;
}

/* Ends as certctl_owner, so that everything made from here on is its own. */
static bool become_owner(const struct migration *migration, const struct rows *facts,
                         struct fault *fault)
{
    if (migration->options->mode == MIGRATE_UP && !apply_roles(migration, facts, fault))
        return false;
    if (migration->options->mode != MIGRATE_UP && !row_bool(facts, 0, "has_owner"))
        return true;
    return run_settings(migration->db, "SET ROLE certctl_owner", fault);
}

static bool run(TALLOC_CTX *ctx, struct migration *migration, struct fault *fault)
{
    struct db *db = migration->db;
    if (!db_pin(db, fault) || !run_settings(db, "SET lock_timeout = '5min'", fault) ||
        !db_query_params(ctx, db, &migrate_lock, fault, NULL, 0) ||
        !run_settings(db, "SET lock_timeout = '10s'", fault))
        return false;

    const struct rows *facts = db_query_params(ctx, db, &migrate_facts, fault, NULL, 0);
    if (!facts || !become_owner(migration, facts, fault))
        return false;
    if (row_bool(facts, 0, "has_schema")) {
        migration->applied = db_query_params(ctx, db, &migrate_applied, fault, NULL, 0);
        if (!migration->applied)
            return false;
    }
    if (!history_agrees(migration, fault))
        return false;
    if (migration->options->mode == MIGRATE_UP)
        return go_up(migration, fault);
    tell(migration);
    return true;
}

/* SQLSTATE 28P01, which libpq does not hand out for an attempt to connect. */
static void tell_password_cure(const struct migration *migration)
{
    report(migration, "usual cause: the password was changed in CERTCTL_DATABASE_URL but not in "
                      "the server, or the other way round");
    report(migration, "cure, as a superuser: ALTER ROLE <user of the URL> PASSWORD '<new>'");
}

bool migrate(const struct db_options *options, const struct migrate_options *migration,
             struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct migration state = {.options = migration};
    state.release = release_files_read(scratch, migration->directory, fault);
    if (!state.release)
        return false;
    state.db = db_new(scratch, options);
    const bool good = run(scratch, &state, fault);
    if (state.db->password_refused)
        tell_password_cure(&state);
    return good;
}
