/* admin/restore.c: certctl-admin backup restore (10 section 17).
 *
 * All of the set is read and proved before anything is touched; the database is filled beside the
 * old one; then, with a marker that keeps everything of ours from starting, the files go to their
 * places and the database takes its name. So an end at any instant leaves the old installation as
 * it was, or the marker, and the same call goes on. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "backup.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "signer/crl_record.h"

#include "core/banned.h"

#define MARKER  "restoring"
#define STAGING "restore"
#define LOCK    "restore.lock"

#define FACTS_ENDS ".facts"

static void *file_failed(struct fault *fault, const char *what, const char *path)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "%s %.200s", what, path);
    errno = error;
    return fault_cause_errno(fault, path);
}

static bool options_read(struct restore *restore, int argc, char **argv)
{
    static const struct option options[] = {
        {"force",           no_argument,       NULL, 'f'},
        {"log",             required_argument, NULL, 'l'},
        {"crl",             required_argument, NULL, 'c'},
        {"without-log",     no_argument,       NULL, 'L'},
        {"without-crl",     no_argument,       NULL, 'C'},
        {"without-config",  no_argument,       NULL, 'S'},
        {"passphrase-file", required_argument, NULL, 'p'},
        {NULL,              0,                 NULL, 0  },
    };

    for (;;) {
        switch (getopt_long(argc, argv, "", options, NULL)) {
        case -1:
            restore->file = optind < argc ? argv[optind] : NULL;
            return optind + 1 == argc;
        case 'f':
            restore->force = true;
            break;
        case 'l':
            restore->log = optarg;
            break;
        case 'c':
            text_list_add(restore->ctx, &restore->crls, optarg);
            break;
        case 'L':
            restore->without_log = true;
            break;
        case 'C':
            restore->without_crl = true;
            break;
        case 'S':
            restore->without_config = true;
            break;
        case 'p':
            restore->passphrase_file = optarg;
            break;
        default:
            return false;
        }
    }
}

static bool take_lock(const struct restore *restore, int *ret_fd, struct fault *fault)
{
    const char *path = mem_printf(restore->ctx, "%s/" LOCK, restore->settings->state_dir);

    *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret_fd < 0)
        return file_failed(fault, "cannot be locked:", path);
    return flock(*ret_fd, LOCK_EX | LOCK_NB) == 0 ||
           fault_set(fault, RESOURCE_STATE, NULL, "another restore is at work");
}

static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return false;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN;
}

static bool check_stopped(const struct restore *restore, struct fault *fault)
{
    const char *const sockets[] = {restore->settings->signer_socket,
                                   restore->settings->signer_admin_socket};

    for (size_t i = 0; i < ARRAY_SIZE(sockets); i++)
        if (answers(sockets[i]))
            return fault_set(fault, RESOURCE_STATE, NULL,
                             "certctl runs here: %.150s answers. Stop it first (systemctl stop "
                             "certctl.target 'certctl-*')",
                             sockets[i]);
    return true;
}

static bool check_head(struct restore *restore, struct fault *fault)
{
    const json_t *head = restore->head;
    const char *keys = json_text_at(head, "ca_key_dir");
    const int64_t schema = json_integer_value(json_object_get(head, "schema"));

    restore->id = json_text_at(head, "id");
    if (!restore->id || !id_valid(restore->id) || !keys || schema < 1 ||
        !time_from_rfc3339(json_text_at(head, "taken_at") ? json_text_at(head, "taken_at") : "",
                           &restore->taken_at))
        return fault_set(fault, INPUT_MALFORMED, NULL, "the back-up's head is not whole");
    if (schema > DB_SCHEMA_MOST)
        return fault_set(fault, SCHEMA_MISMATCH, NULL,
                         "the back-up has schema %lld, this certctl knows %d: install the newer "
                         "release first",
                         (long long)schema, DB_SCHEMA_MOST);
    if (!text_equal(keys, restore->settings->ca_key_dir))
        return fault_set(fault, SETTING_INVALID, NULL,
                         "the CA keys lay in %.80s, and the database names them so: set "
                         "CERTCTL_CA_KEY_DIR to it (here it is %.80s)",
                         keys, restore->settings->ca_key_dir);
    return true;
}

/* *ret_ours: a restore of this very set has begun to change things. */
static bool read_marker(const struct restore *restore, bool *ret_ours, struct fault *fault)
{
    struct bytes content;
    struct fault missing = {0};

    *ret_ours = false;
    if (access(restore->marker, F_OK) != 0 ||
        !backup_file_read(restore->ctx, restore->marker, &content, &missing))
        return true;
    *ret_ours = bytes_equal(content, bytes_of_text(restore->id));
    if (*ret_ours || restore->force)
        return true;
    return fault_set(fault, RESOURCE_STATE, NULL,
                     "the restore of another back-up (%.*s) did not come to its end: repeat that "
                     "one, or give --force",
                     (int)least(content.size, (size_t)60), (const char *)content.data);
}

static bool write_marker(const struct restore *restore, struct fault *fault)
{
    const struct set_entry as = {.mode = 0644};
    const char *source = mem_printf(restore->ctx, "%s/marker", restore->staging);
    AUTO_FD fd = open(source, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const ssize_t size = (ssize_t)strlen(restore->id); /* a word */

    if (fd < 0 || write(fd, restore->id, (size_t)size) != size)
        return file_failed(fault, "cannot be written:", source);
    return backup_file_put(restore->marker, source, &as, NULL, fault);
}

static bool stage_entry(struct restore *restore, struct set_reader *set,
                        const struct set_entry *entry, struct fault *fault)
{
    const char *path = mem_printf(restore->ctx, "%s/%s", restore->staging, entry->name);
    const char *slash = strchr(entry->name, '/');
    const struct timespec moment = {entry->modified_ns / 1000000000,
                                    entry->modified_ns % 1000000000};
    const struct timespec times[] = {moment, moment};
    struct bytes part;

    if (slash &&
        mkdir(mem_printf(restore->ctx, "%s/%.*s", restore->staging, (int)(slash - entry->name),
                         entry->name),
              0700) != 0 &&
        errno != EEXIST)
        return file_failed(fault, "cannot be made:", path);
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_failed(fault, "cannot be written:", path);
    do {
        if (!set_read(set, &part, fault))
            return false;
        if (part.size > 0 && write(fd, part.data, part.size) != (ssize_t)part.size)
            return file_failed(fault, "cannot be written:", path);
    } while (part.size > 0);
    return futimens(fd, times) == 0 || file_failed(fault, "cannot be dated:", path);
}

static void remember(struct restore *restore, const struct set_entry *entry)
{
    TALLOC_CTX *ctx = restore->ctx;

    restore->staged = mem_resize(ctx, restore->staged, struct staged, restore->staged_count + 1);
    restore->staged[restore->staged_count++] = (struct staged){
        .entry = {mem_text(ctx, entry->name), mem_text(ctx, entry->path),
                  mem_text(ctx, entry->owner), mem_text(ctx, entry->group), entry->mode,
                  entry->modified_ns},
        .path = mem_printf(ctx, "%s/%s", restore->staging, entry->name),
    };
}

/* To its proved end, before anything else happens. */
static bool stage(struct restore *restore, struct set_reader *set, struct fault *fault)
{
    struct set_entry entry;
    bool more = true;

    if (!backup_remove_all(restore->staging, fault))
        return false;
    if (mkdir(restore->staging, 0700) != 0)
        return file_failed(fault, "cannot be made:", restore->staging);
    for (;;) {
        if (!set_next(set, &entry, &more, fault))
            return false;
        if (!more)
            return true;
        remember(restore, &entry);
        if (!stage_entry(restore, set, &entry, fault))
            return false;
    }
}

static bool same_content(TALLOC_CTX *ctx, const char *one, const char *other)
{
    struct bytes a;
    struct bytes b;
    struct fault ignored = {0};

    return backup_file_read(ctx, one, &a, &ignored) && backup_file_read(ctx, other, &b, &ignored) &&
           bytes_equal(a, b);
}

static const struct staged *staged_named(const struct restore *restore, const char *name)
{
    for (size_t i = 0; i < restore->staged_count; i++)
        if (text_equal(restore->staged[i].entry.name, name))
            return &restore->staged[i];
    return NULL;
}

/* Keys of another installation are not covered up. */
static bool check_keys(const struct restore *restore, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(DIR) *directory = opendir(restore->settings->ca_key_dir);
    const struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        const char *path = mem_printf(scratch, "%s/%s", restore->settings->ca_key_dir,
                                      entry->d_name);
        if (!text_ends(entry->d_name, ".key"))
            continue;
        const struct staged *ours = staged_named(restore,
                                                 mem_printf(scratch, "ca/%s", entry->d_name));
        if (!ours || !same_content(scratch, ours->path, path))
            return fault_set(fault, RESOURCE_STATE, NULL,
                             "there is a CA key here that the back-up does not have: %.100s; "
                             "--force restores beside it",
                             path);
    }
    return true;
}

static bool is_closed(TALLOC_CTX *ctx, const char *path)
{
    struct bytes text;
    struct fault ignored = {0};

    if (access(path, F_OK) != 0 || !backup_file_read(ctx, path, &text, &ignored))
        return false;
    AUTO(json_t) *facts = json_parse_object(text, INPUT_MALFORMED, "facts", &ignored);
    return json_is_true(json_object_get(facts, "retired"));
}

/* A CA that was retired since the back-up was taken: what opens it again is a hand that takes the
 * file away, as ever. */
static bool stays_closed(TALLOC_CTX *ctx, const char *path, const struct staged *staged)
{
    if (!text_ends(path, FACTS_ENDS) || !is_closed(ctx, path) || is_closed(ctx, staged->path))
        return false;
    (void)printf("retired since the back-up, and stays so for the signer: %s\n", path);
    return true;
}

static bool put_place(const struct restore *restore, const struct place *place,
                      const struct staged *staged, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s/%s", place->directory,
                                  strchr(staged->entry.name, '/') + 1);

    /* The signer's numbers only rise: restore_numbers writes them. */
    if (text_ends(path, CRL_STATE_ENDS) || same_content(scratch, path, staged->path) ||
        stays_closed(scratch, path, staged))
        return true;
    return backup_file_put(path, staged->path, &staged->entry, restore->aside, fault);
}

static bool put_one(const struct restore *restore, const struct place *places, bool log_is_here,
                    const struct staged *staged, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = staged->entry.path;

    for (size_t i = 0; i < PLACES; i++) {
        const size_t length = strlen(places[i].name);
        if (strncmp(staged->entry.name, places[i].name, length) == 0 &&
            staged->entry.name[length] == '/')
            return (i == PLACE_LOG && log_is_here) || put_place(restore, &places[i], staged, fault);
    }
    if (!text_starts(staged->entry.name, "config/") || !path || restore->without_config ||
        same_content(scratch, path, staged->path))
        return true;
    return backup_file_put(path, staged->path, &staged->entry, restore->aside, fault);
}

/* A log that is here already goes on: it may know more than the back-up. */
static bool put_files(const struct restore *restore, struct fault *fault)
{
    struct place places[PLACES];
    const bool log_is_here = access(restore->settings->signer_log_path, F_OK) == 0;

    backup_places(restore->ctx, restore->settings, places);
    if (!log_is_here && restore->log) {
        const struct set_entry as = {
            .owner = "certctl-signer", .group = "certctl-reconcile", .mode = 0640};
        if (!backup_file_put(restore->settings->signer_log_path, restore->log, &as, NULL, fault))
            return false;
    }
    for (size_t i = 0; i < restore->staged_count; i++)
        if (!put_one(restore, places, log_is_here || restore->log, &restore->staged[i], fault))
            return false;
    return true;
}

static bool finish(struct restore *restore, struct fault *fault)
{
    if (!backup_remove_all(restore->staging, fault))
        return false;
    if (unlink(restore->marker) != 0 && errno != ENOENT)
        return file_failed(fault, "cannot be removed:", restore->marker);
    return backup_directory_flush(restore->settings->state_dir, fault);
}

/* From here on nothing of ours starts until it is done. */
static bool carry_out(struct restore *restore, struct replay *replay, struct fault *fault)
{
    return write_marker(restore, fault) && put_files(restore, fault) &&
           restore_numbers(restore, replay, fault) && restore_swap(restore, fault) &&
           finish(restore, fault);
}

static bool work(struct restore *restore, struct set_reader *set, struct fault *fault)
{
    bool begun;
    bool empty;
    bool swapped;

    if (!check_stopped(restore, fault) || !read_marker(restore, &begun, fault) ||
        !restore_look(restore, &empty, &swapped, fault))
        return false;
    if (begun && swapped)
        return finish(restore, fault);
    if (!empty && !begun && !restore->force)
        return fault_set(fault, RESOURCE_STATE, NULL,
                         "the database %.60s has CAs already: --force keeps it under another name "
                         "and restores in its place",
                         restore->database);
    if (!stage(restore, set, fault) || (!begun && !restore->force && !check_keys(restore, fault)) ||
        !restore_fill(restore, fault))
        return false;
    struct replay *replay = restore_replay(restore, fault);
    if (!replay || !carry_out(restore, replay, fault))
        return false;
    restore_tell(replay);
    return true;
}

static void name_places(struct restore *restore)
{
    const char *state = restore->settings->state_dir;
    char *moment = time_to_rfc3339(restore->ctx, clock_now_s());

    for (char *at = moment; *at; at++)
        if (*at == ':' || *at == '-')
            *at = '_';
    restore->aside = mem_printf(restore->ctx, ".before-restore-%s", moment);
    restore->database = backup_database_name(restore->ctx, restore->settings->database_url);
    restore->scratch = mem_printf(restore->ctx, "%.40s_restoring", restore->database);
    restore->staging = mem_printf(restore->ctx, "%s/" STAGING, state);
    restore->marker = mem_printf(restore->ctx, "%s/" MARKER, state);
}

int backup_restore_verb(struct admin *admin, int argc, char **argv)
{
    struct restore restore = {.ctx = admin->ctx,
                              .settings = admin->settings,
                              .actor = admin->actor,
                              .passphrase_file = admin->settings->backup_passphrase_path};
    struct fault fault = {0};
    AUTO_FD lock = -1;

    if (!options_read(&restore, argc, argv))
        return admin_misused(backup_verbs, backup_verbs_count, argv[0]);
    name_places(&restore);
    struct set_reader *set = backup_open(admin->ctx, restore.file, restore.passphrase_file, &fault);
    if (!set)
        return admin_failed(&fault);
    restore.head = set_head(set);
    if (!check_head(&restore, &fault) || !take_lock(&restore, &lock, &fault) ||
        !work(&restore, set, &fault))
        return admin_failed(&fault);
    (void)printf("restored %s, taken %s\n", restore.id,
                 time_to_rfc3339(admin->ctx, restore.taken_at));
    return EX_OK;
}
