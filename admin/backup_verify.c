/* admin/backup_verify.c: certctl-admin backup verify: the file is read to its proved end, restored
 * into a database of its own, and what came out is held against what the file says (10 section 17).
 *
 * A process beside this one drops that database when this one has ended, however it ended. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "backup.h"
#include "core/auto.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

#define MAINTENANCE "postgres"
#define LOCK        "verify.lock"
#define RANDOM_SIZE 8

/* $1 what the names begin with. */
static const struct statement left_behind = {
    "verify_left_behind",
    "SELECT datname::text AS name FROM pg_database WHERE starts_with(datname::text, $1::text) "
    "AND substr(datname::text, length($1::text) + 1) ~ '^[0-9a-f]{16}$'"};
void verify_statements_add(struct db *db)
{
    db_statements_add(db, &left_behind, 1);
}

struct verify {
    TALLOC_CTX *ctx;
    const struct settings *settings;
    const char *passphrase_file;
    const char *file;
    bool file_only;
    struct set_reader *set;
    struct text_list paths; /* where each entry came from, or "" */
    int dump;               /* the database's entry, a file without a name */
    const char *database;   /* the one that is filled */
};

static void *file_failed(struct fault *fault, const char *what, const char *path)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "%s %.200s", what, path);
    errno = error;
    return fault_cause_errno(fault, path);
}

static void print_head(TALLOC_CTX *ctx, const json_t *head)
{
    (void)printf(
        "back-up\t%s\ntaken\t%s\nnode\t%s\ncertctl\t%s\nschema\t%lld\n",
        text_quote(ctx, json_text_at(head, "id")), text_quote(ctx, json_text_at(head, "taken_at")),
        text_quote(ctx, json_text_at(head, "node")), text_quote(ctx, json_text_at(head, "certctl")),
        (long long)json_integer_value(json_object_get(head, "schema")));
}

static void print_manifest(TALLOC_CTX *ctx, const json_t *manifest, const struct text_list *paths)
{
    const json_t *entries = json_object_get(manifest, "entries");
    const json_t *cas = json_object_get(manifest, "cas");

    for (size_t i = 0; i < BACKUP_COUNTS; i++)
        (void)printf("%s\t%lld\n", backup_counts[i],
                     (long long)json_integer_value(json_object_get(manifest, backup_counts[i])));
    for (size_t i = 0; i < json_array_size(cas); i++) {
        const json_t *ca = json_array_get(cas, i);
        const char *key = json_text_at(ca, "key_ref");
        (void)printf("ca\t%s\t%s%s\n", text_quote(ctx, json_text_at(ca, "id")),
                     text_quote(ctx, key),
                     key && text_starts(key, "pkcs11:") ? "\tin a token, not in this file" : "");
    }
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        (void)printf("file\t%s\t%lld\t%s\t%s\n", json_text_at(entry, "name"),
                     (long long)json_integer_value(json_object_get(entry, "size")),
                     json_text_at(entry, "sha256"),
                     i < paths->count ? text_quote(ctx, paths->items[i]) : "");
    }
}

/* Nothing of the database lies under a name that anybody could open, or that a kill could leave. */
static bool begin_dump(struct verify *verify, struct fault *fault)
{
    const char *directory = verify->settings->state_dir;

    verify->dump = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return verify->dump >= 0 || file_failed(fault, "cannot be written to:", directory);
}

static bool keep_part(const struct verify *verify, struct bytes part, struct fault *fault)
{
    while (part.size > 0) {
        const ssize_t put = write(verify->dump, part.data, part.size);
        if (put < 0 && errno != EINTR)
            return file_failed(fault, "cannot be written to:", verify->settings->state_dir);
        if (put > 0)
            part = (struct bytes){part.data + put, part.size - (size_t)put};
    }
    return true;
}

static bool read_entry(struct verify *verify, const struct set_entry *entry, struct fault *fault)
{
    const bool keep = !verify->file_only && text_equal(entry->name, "database");
    struct bytes part;

    if (keep && !begin_dump(verify, fault))
        return false;
    do {
        if (!set_read(verify->set, &part, fault) || (keep && !keep_part(verify, part, fault)))
            return false;
    } while (part.size > 0);
    return true;
}

/* The whole of it, so that what is listed is also what would come back. */
static bool read_through(struct verify *verify, struct fault *fault)
{
    struct set_entry entry;
    bool more = true;

    for (;;) {
        if (!set_next(verify->set, &entry, &more, fault))
            return false;
        if (!more)
            return true;
        text_list_add(verify->ctx, &verify->paths, entry.path ? entry.path : "");
        if (!read_entry(verify, &entry, fault))
            return false;
    }
}

/* ---- the database beside ---- */

static bool drop(const struct settings *settings, const char *database, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, settings, MAINTENANCE, fault);

    return db && database_command(db,
                                  mem_printf(scratch, "DROP DATABASE IF EXISTS %s (FORCE)",
                                             database_quoted(scratch, database)),
                                  fault);
}

struct cleaner {
    pid_t pid;
    int alive; /* closed with us */
};

/* Whoever interrupts the one by its terminal or its group does not stop the other. */
static _Noreturn void clean_up(const struct settings *settings, const char *database, int watched)
{
    struct fault fault = {0};
    char octet;

    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    while (read(watched, &octet, 1) < 0 && errno == EINTR)
        ;
    _exit(drop(settings, database, &fault) ? 0 : 1);
}

static bool cleaner_start(const struct verify *verify, struct cleaner *cleaner, struct fault *fault)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return file_failed(fault, "cannot be made:", "a pipe");
    (void)fflush(NULL);
    cleaner->pid = fork();
    if (cleaner->pid == 0) {
        (void)close(ends[1]);
        clean_up(verify->settings, verify->database, ends[0]);
    }
    (void)close(ends[0]);
    cleaner->alive = ends[1];
    if (cleaner->pid > 0)
        return true;
    (void)close(ends[1]);
    return file_failed(fault, "cannot be started:", "a process that clears up");
}

static bool cleaner_end(const struct verify *verify, const struct cleaner *cleaner,
                        struct fault *fault)
{
    int status = 0;

    (void)close(cleaner->alive);
    while (waitpid(cleaner->pid, &status, 0) < 0)
        if (errno != EINTR)
            break;
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           fault_set(fault, DATABASE_FAILED, NULL,
                     "the database %.60s could not be dropped: do it by hand", verify->database);
}

/* Of runs that were killed with their cleaners. The lock says that nobody else is at it; who clears
 * up behind a killed run still holds it. */
static bool sweep(const struct verify *verify, const char *begin, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, verify->settings, MAINTENANCE, fault);
    const struct rows *rows = db ? db_query(scratch, db, &left_behind, fault, TEXT(begin)) : NULL;

    if (!rows)
        return false;
    for (size_t i = 0; i < rows->count; i++)
        if (!drop(verify->settings, row_text(rows, i, "name"), fault))
            return false;
    return true;
}

static bool make(const struct verify *verify, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, verify->settings, MAINTENANCE, fault);

    return db && database_command(db,
                                  mem_printf(scratch, "CREATE DATABASE %s TEMPLATE template0",
                                             database_quoted(scratch, verify->database)),
                                  fault);
}

/* Without owners and rights: the cluster need not have our roles, and gets none. */
static bool load(const struct verify *verify, struct fault *fault)
{
    const char *const arguments[] = {
        "pg_restore", "--exit-on-error", "--no-password",
        "--no-owner", "--no-acl",        mem_printf(verify->ctx, "--dbname=%s", verify->database),
        NULL};
    struct fault why = {0};

    if (lseek(verify->dump, 0, SEEK_SET) == 0 &&
        program_run(verify->settings, arguments, verify->dump, &why))
        return true;
    return fault_set(fault, INPUT_MALFORMED, NULL,
                     "the database of the back-up cannot be restored: %s", why.detail);
}

/* ---- all of it ---- */

static bool check(const struct verify *verify, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = backup_connect(scratch, verify->settings, verify->database, fault);

    return db && backup_judge(scratch, verify->set, db, fault);
}

static bool take_lock(const struct verify *verify, int *ret_fd, struct fault *fault)
{
    const char *path = mem_printf(verify->ctx, "%s/" LOCK, verify->settings->state_dir);

    *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret_fd < 0)
        return file_failed(fault, "cannot be locked:", path);
    return flock(*ret_fd, LOCK_EX | LOCK_NB) == 0 ||
           fault_set(fault, RESOURCE_STATE, NULL, "another verification is at work");
}

/* Said once for all ways to be nobody who may. */
static bool make_beside(const struct verify *verify, const char *begin, struct fault *fault)
{
    if (sweep(verify, begin, fault) && make(verify, fault))
        return true;
    fault->reason = DATABASE_FAILED;
    return fault_set(fault, DATABASE_FAILED, NULL,
                     "no database can be made beside: that takes PostgreSQL's superuser, as whom "
                     "root comes; --file-only looks at the file alone (%.100s)",
                     fault->detail);
}

static bool restore_beside(struct verify *verify, struct fault *fault)
{
    const char *begin = mem_printf(
        verify->ctx, "%.30s_verify_",
        backup_database_name(verify->ctx, verify->settings->database_url));
    uint8_t chance[RANDOM_SIZE];
    struct cleaner cleaner = {0};
    struct fault undone = {0};
    AUTO_FD lock = -1;

    if (verify->dump < 0)
        return fault_set(fault, INPUT_MALFORMED, NULL, "there is no database in the back-up");
    random_bytes(chance, sizeof(chance));
    verify->database = mem_printf(verify->ctx, "%s%s", begin,
                                  hex_from_bytes(verify->ctx, BYTES_OF(chance)));
    if (!take_lock(verify, &lock, fault) || !cleaner_start(verify, &cleaner, fault))
        return false;
    const bool held = make_beside(verify, begin, fault) && load(verify, fault) &&
                      check(verify, fault);
    const bool dropped = cleaner_end(verify, &cleaner, held ? fault : &undone);
    return held && dropped;
}

static bool read_options(struct verify *verify, int argc, char **argv)
{
    static const struct option options[] = {
        {"passphrase-file", required_argument, NULL, 'p'},
        {"file-only",       no_argument,       NULL, 'f'},
        {NULL,              0,                 NULL, 0  },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'f')
            verify->file_only = true;
        else if (option == 'p')
            verify->passphrase_file = optarg;
        else
            return false;
    }
    verify->file = optind < argc ? argv[optind] : NULL;
    return optind + 1 == argc;
}

int backup_verify_verb(struct admin *admin, int argc, char **argv)
{
    struct verify verify = {.ctx = admin->ctx,
                            .settings = admin->settings,
                            .passphrase_file = admin->settings->backup_passphrase_path,
                            .dump = -1};
    struct fault fault = {0};

    if (!read_options(&verify, argc, argv))
        return admin_misused(backup_verbs, backup_verbs_count, argv[0]);
    verify.set = backup_open(admin->ctx, verify.file, verify.passphrase_file, &fault);
    if (!verify.set || !read_through(&verify, &fault))
        return admin_failed(&fault);
    print_head(admin->ctx, set_head(verify.set));
    print_manifest(admin->ctx, set_manifest(verify.set), &verify.paths);
    if (!verify.file_only && !restore_beside(&verify, &fault))
        return admin_failed(&fault);
    (void)printf("whole\n");
    return EX_OK;
}
