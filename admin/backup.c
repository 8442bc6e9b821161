/* admin/backup.c: certctl-admin backup: database, keys, secrets and the signer's state in one
 * encrypted file (10 section 17). Run by root, who can read all of it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "backup.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

#define PASSPHRASE_MAX   1024
#define PASSPHRASE_LEAST 12
#define PART_SIZE        ((size_t)64 * 1024)
#define KEEP_MAX         100000
#define NAME_OPENS       "certctl-"
#define NAME_ENDS        ".backup"

/* No STATEMENT: they run as the superuser, not as the role of this binary. */
static const struct statement statements_here[] = {
    {"backup_patience", "SET idle_in_transaction_session_timeout = 0"},
    {"backup_facts",
     "SELECT pg_export_snapshot() AS snapshot, (SELECT max(version)::integer FROM "
     "schema_migrations WHERE version ~ '^[0-9]+$') AS schema, (SELECT count(*) FROM "
     "certificate_versions) AS certificates, (SELECT count(*) FROM certificate_revocations) AS "
     "revocations, (SELECT count(*) FROM audit_events) AS events, (SELECT "
     "jsonb_agg(jsonb_build_object('id', id, 'key_ref', key_ref, 'crl_number', crl_number) ORDER "
     "BY id)::text FROM ca_instances) AS cas"                        },
};
enum here { PATIENCE, FACTS };

void backup_statements_add(struct db *db)
{
    db_statements_add(db, &statements_here[FACTS], 1);
    restore_statements_add(db);
    verify_statements_add(db);
    judge_statements_add(db);
}

struct create {
    struct admin *admin;
    const char *passphrase_file;
    const char *directory; /* NULL: file */
    const char *file;      /* as it will be named */
    const char *part;      /* as it grows */
    int64_t keep;
    int fd;
};

static int misused(const char *verb)
{
    return admin_misused(backup_verbs, backup_verbs_count, verb);
}

static void *file_failed(struct fault *fault, const char *what, const char *path)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "%s %.200s", what, path);
    errno = error;
    return fault_cause_errno(fault, path);
}

static int wipe(struct bytes *held)
{
    union {
        const uint8_t *read;
        uint8_t *written;
    } octets = {.read = held->data}; /* ours, from mem_array */

    OPENSSL_cleanse(octets.written, held->size);
    return 0;
}

static uint8_t *passphrase_room(TALLOC_CTX *ctx)
{
    struct bytes *held = mem_new(ctx, struct bytes);
    uint8_t *room = mem_array(held, uint8_t, PASSPHRASE_MAX + 2);

    *held = (struct bytes){room, PASSPHRASE_MAX + 2};
    talloc_set_destructor(held, wipe);
    return room;
}

static bool passphrase_check(const uint8_t *text, size_t size, struct bytes *ret,
                             struct fault *fault)
{
    size = size > 0 && text[size - 1] == '\n' ? size - 1 : size;
    if (size < PASSPHRASE_LEAST || size > PASSPHRASE_MAX)
        return fault_set(fault, INPUT_INVALID, "passphrase",
                         "a passphrase has %d to %d octets; openssl rand -base64 32 makes one",
                         PASSPHRASE_LEAST, PASSPHRASE_MAX);
    *ret = (struct bytes){text, size};
    return true;
}

static bool passphrase_from_terminal(uint8_t *room, bool twice, struct bytes *ret,
                                     struct fault *fault)
{
    char *text = (char *)room; /* octets either way */

    if (!isatty(STDIN_FILENO))
        return fault_set(fault, FILE_FAILED, "passphrase",
                         "there is no file with the passphrase, and no terminal to ask at");
    if (EVP_read_pw_string_min(text, 0, PASSPHRASE_MAX, "Passphrase of the back-up: ", twice) != 0)
        return fault_set(fault, INPUT_INVALID, "passphrase", "no passphrase was given");
    return passphrase_check(room, strlen(text), ret, fault);
}

bool backup_passphrase(TALLOC_CTX *ctx, const char *path, bool twice, struct bytes *ret,
                       struct fault *fault)
{
    struct stat status;
    uint8_t *room = passphrase_room(ctx);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return passphrase_from_terminal(room, twice, ret, fault);
    if (fd < 0 || fstat(fd, &status) != 0)
        return file_failed(fault, "the passphrase cannot be read:", path);
    if (!S_ISREG(status.st_mode) || (status.st_mode & (S_IRWXG | S_IRWXO)) ||
        (status.st_uid != geteuid() && status.st_uid != 0))
        return fault_set(fault, FILE_FAILED, "passphrase",
                         "%.200s must be a file of yours alone (chmod 0600)", path);
    const ssize_t got = read(fd, room, PASSPHRASE_MAX + 2);
    if (got < 0)
        return file_failed(fault, "the passphrase cannot be read:", path);
    return passphrase_check(room, (size_t)got, ret, fault);
}

static bool dump_database(const struct create *create, struct set_writer *set, const char *snapshot,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    static const struct set_entry entry = {.name = "database", .mode = 0600};
    /* What is made anew, and made wrong by a restore, is left out (04 section 21). */
    const char *const arguments[] = {"pg_dump",
                                     "--format=custom",
                                     "--no-password",
                                     "--no-unlogged-table-data",
                                     "--exclude-table-data=public.crl_cache",
                                     mem_printf(scratch, "--snapshot=%s", snapshot),
                                     NULL};
    uint8_t *part = mem_array(scratch, uint8_t, PART_SIZE);
    int output = -1;
    ssize_t got;
    struct program *program = program_start(scratch, create->admin->settings, arguments, -1,
                                            &output, fault);

    if (!program || !set_entry_begin(set, &entry, fault))
        return false;
    while ((got = read(output, part, PART_SIZE)) > 0)
        if (!set_entry_write(set, (struct bytes){part, (size_t)got}, fault))
            return false;
    if (got < 0)
        return file_failed(fault, "nothing comes from", "pg_dump");
    return program_end(program, fault) && set_entry_end(set, fault);
}

static void describe(const struct create *create, const struct rows *facts, json_t *head,
                     json_t *manifest)
{
    TALLOC_CTX *ctx = create->admin->ctx;
    const struct settings *settings = create->admin->settings;
    const char *cas = row_text(facts, 0, "cas");

    json_set_text(head, "id", id_new(ctx, "bak"));
    json_set_text(head, "taken_at", time_to_rfc3339(ctx, clock_now_s()));
    json_set_text(head, "certctl", CERTCTL_VERSION);
    json_set_text(head, "node", settings->node_id);
    json_set_integer(head, "schema", row_integer(facts, 0, "schema"));
    json_set_text(head, "ca_key_dir", settings->ca_key_dir);
    json_set_integer(manifest, "certificates", row_integer(facts, 0, "certificates"));
    json_set_integer(manifest, "revocations", row_integer(facts, 0, "revocations"));
    json_set_integer(manifest, "events", row_integer(facts, 0, "events"));
    json_set_new(manifest, "cas", cas ? json_loads(cas, 0, NULL) : json_array());
}

/* The database's view is fixed first and the log read last: every certificate that the view does
 * not have yet is in the log. */
static bool write_all(struct create *create, struct db *db, struct sealed_writer *sealed,
                      struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *head = json_object();
    AUTO(json_t) *manifest = json_object();
    struct place places[PLACES];
    struct rows *facts = db_query_params(scratch, db, &statements_here[FACTS], fault, NULL, 0);

    if (!facts)
        return false;
    describe(create, facts, head, manifest);
    struct set_writer *set = set_writer_new(scratch, sealed, head, fault);
    if (!set || !dump_database(create, set, row_text(facts, 0, "snapshot"), fault))
        return false;
    backup_places(scratch, create->admin->settings, places);
    for (size_t i = 0; i < PLACES; i++)
        if (!backup_place(set, &places[i], fault))
            return false;
    return backup_config(set, create->admin->settings, create->passphrase_file, fault) &&
           set_finish(set, manifest, fault);
}

static bool write_file(struct create *create, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct settings *settings = create->admin->settings;
    struct bytes passphrase = {0};

    if (!backup_passphrase(scratch, create->passphrase_file, true, &passphrase, fault))
        return false;
    struct db *db = backup_connect(scratch, settings,
                                   backup_database_name(scratch, settings->database_url), fault);
    if (!db || !db_query_params(scratch, db, &statements_here[PATIENCE], fault, NULL, 0) ||
        !db_begin_snapshot(db, fault))
        return false;
    struct sealed_writer *sealed = sealed_writer_new(scratch, create->fd, passphrase,
                                                     SEALED_COST_USUAL, fault);
    const bool written = sealed && write_all(create, db, sealed, fault);
    db_rollback(db);
    return written;
}

static bool begin_file(struct create *create, struct fault *fault)
{
    const char *slash = strrchr(create->file, '/');

    create->directory = slash ? mem_text_n(create->admin->ctx, create->file, slash - create->file)
                              : ".";
    if (!*create->directory)
        create->directory = "/";
    if (access(create->file, F_OK) == 0)
        return fault_set(fault, RESOURCE_CONFLICT, "file", "%.200s is there already", create->file);
    create->part = mem_printf(create->admin->ctx, "%s.part", create->file);
    (void)unlink(create->part);
    create->fd = open(create->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return create->fd >= 0 || file_failed(fault, "cannot be written:", create->part);
}

static bool end_file(const struct create *create, struct fault *fault)
{
    if (fsync(create->fd) == 0 && rename(create->part, create->file) == 0)
        return backup_directory_flush(create->directory, fault);
    return file_failed(fault, "cannot be written:", create->file);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_backup(const struct dirent *entry)
{
    return text_starts(entry->d_name, NAME_OPENS) && text_ends(entry->d_name, NAME_ENDS);
}

/* The names bear the time, so the first ones are the oldest. */
static bool drop_old(const struct create *create, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list names = {0};
    struct dirent **found = NULL;
    const int count = scandir(create->directory, &found, is_backup, by_name);
    bool dropped = true;

    for (int i = 0; i < count; i++)
        text_list_add(scratch, &names, found[i]->d_name);
    for (int i = 0; i < count; i++)
        (free)(found[i]); /* scandir's own */
    (free)(found);
    for (int64_t i = 0; names.items && dropped && i < (int64_t)names.count - create->keep; i++) {
        const char *path = mem_printf(scratch, "%s/%s", create->directory, names.items[i]);
        dropped = unlink(path) == 0 || file_failed(fault, "cannot be removed:", path);
    }
    return dropped;
}

static bool create_options(struct create *create, int argc, char **argv)
{
    static const struct option options[] = {
        {"dir",             required_argument, NULL, 'd'},
        {"keep",            required_argument, NULL, 'k'},
        {"passphrase-file", required_argument, NULL, 'p'},
        {NULL,              0,                 NULL, 0  },
    };

    for (;;) {
        switch (getopt_long(argc, argv, "", options, NULL)) {
        case -1:
            create->file = optind < argc ? argv[optind++] : NULL;
            return optind == argc && !create->directory == !!create->file &&
                   (create->keep == 0 || create->directory);
        case 'd':
            create->directory = optarg;
            break;
        case 'k':
            if (!text_to_integer(optarg, 1, KEEP_MAX, &create->keep))
                return false;
            break;
        case 'p':
            create->passphrase_file = optarg;
            break;
        default:
            return false;
        }
    }
}

/* certctl-20261121T023000Z.backup */
static void name_file(struct create *create)
{
    char *moment = time_to_rfc3339(create->admin->ctx, clock_now_s());
    char *to = moment;

    for (const char *from = moment; *from; from++)
        if (*from != '-' && *from != ':')
            *to++ = *from;
    *to = '\0';
    create->file = mem_printf(create->admin->ctx, "%s/" NAME_OPENS "%s" NAME_ENDS,
                              create->directory, moment);
}

static int create_verb(struct admin *admin, int argc, char **argv)
{
    struct create create = {
        .admin = admin, .passphrase_file = admin->settings->backup_passphrase_path, .fd = -1};
    struct fault fault = {0};

    if (!create_options(&create, argc, argv))
        return misused(argv[0]);
    if (create.directory)
        name_file(&create);
    if (!begin_file(&create, &fault))
        return admin_failed(&fault);
    const bool written = write_file(&create, &fault) && end_file(&create, &fault);
    (void)close(create.fd);
    if (!written) {
        if (create.part)
            (void)unlink(create.part);
        return admin_failed(&fault);
    }
    (void)printf("%s\n", create.file);
    if (create.keep > 0 && !drop_old(&create, &fault))
        return admin_failed(&fault);
    return EX_OK;
}

static int close_file(int *fd)
{
    (void)close(*fd);
    return 0;
}

struct set_reader *backup_open(TALLOC_CTX *ctx, const char *path, const char *passphrase_file,
                               struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes passphrase = {0};
    int *fd = mem_new(ctx, int);

    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return file_failed(fault, "the back-up cannot be opened:", path);
    talloc_set_destructor(fd, close_file);
    if (!backup_passphrase(scratch, passphrase_file, false, &passphrase, fault))
        return NULL;
    struct sealed_reader *sealed = sealed_reader_new(ctx, *fd, passphrase, fault);
    return sealed ? set_reader_new(ctx, sealed, fault) : NULL;
}

#define CREATE_USAGE "FILE | --dir=DIR [--keep=N]  [--passphrase-file=FILE]"
#define VERIFY_USAGE "FILE [--file-only] [--passphrase-file=FILE]"
#define RESTORE_USAGE                                                                              \
    "FILE [--force] [--log=FILE] [--crl=FILE]… [--without-log] [--without-crl] "                 \
    "[--without-config] [--passphrase-file=FILE]"
#define CREATE_HELP  "database, keys, secrets, the signer's state into one encrypted file"
#define VERIFY_HELP  "read all of it, restore it into a database of its own, and say what is in it"
#define RESTORE_HELP "put it back, with what was issued and revoked since; nothing may run"

const struct verb backup_verbs[] = {
    {"backup", "create",  CREATE_USAGE,  CREATE_HELP,  create_verb        },
    {"backup", "verify",  VERIFY_USAGE,  VERIFY_HELP,  backup_verify_verb },
    {"backup", "restore", RESTORE_USAGE, RESTORE_HELP, backup_restore_verb},
};
const size_t backup_verbs_count = ARRAY_SIZE(backup_verbs);
