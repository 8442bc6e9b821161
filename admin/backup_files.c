/* admin/backup_files.c: the files of a back-up, read from their places and put back. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"
#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define SECOND_NS       INT64_C(1000000000)
#define PART_SIZE       ((size_t)64 * 1024)
#define DIRECTORIES_MAX 1000
#define FILE_MOST       ((off_t)1024 * 1024 * 1024)

static void *failed(struct fault *fault, const char *what, const char *path)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "%s: %.200s", what, path);
    errno = error;
    return fault_cause_errno(fault, path);
}

void backup_places(TALLOC_CTX *ctx, const struct settings *settings, struct place places[PLACES])
{
    const char *slash = strrchr(settings->signer_log_path, '/'); /* SETTING_PATH is absolute */

    places[PLACE_CA] = (struct place){"ca", settings->ca_key_dir, NULL};
    places[PLACE_OCSP] = (struct place){"ocsp", settings->ocsp_responder_key_dir, NULL};
    places[PLACE_APPROVALS] = (struct place){
        "approvals", mem_printf(ctx, "%s/ca-approvals", settings->state_dir), NULL};
    places[PLACE_LOG] = (struct place){
        "log",
        mem_text_n(ctx, settings->signer_log_path, slash - settings->signer_log_path),
        slash + 1,
    };
}

static bool write_content(struct set_writer *set, int fd, off_t size, const char *path,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t *part = mem_array(scratch, uint8_t, PART_SIZE);

    for (off_t at = 0; at < size;) {
        const ssize_t got = pread(fd, part, (size_t)least(size - at, (off_t)PART_SIZE), at);
        if (got < 0)
            return failed(fault, "cannot be read", path);
        if (got == 0)
            break; /* shorter meanwhile: a file that is replaced is not written in place */
        if (!set_entry_write(set, (struct bytes){part, (size_t)got}, fault))
            return false;
        at += got;
    }
    return true;
}

/* The signer appends whole lines under this lock. */
static bool size_of(int fd, const char *path, struct stat *ret_status, struct fault *fault)
{
    const bool seen = flock(fd, LOCK_SH) == 0 && fstat(fd, ret_status) == 0;

    (void)flock(fd, LOCK_UN);
    return seen || failed(fault, "cannot be looked at", path);
}

static bool backup_one(struct set_writer *set, int fd, const char *name, const char *path,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stat status = {0};

    if (!size_of(fd, path, &status, fault))
        return false;
    const struct passwd *user = getpwuid(status.st_uid);
    const struct group *group = getgrgid(status.st_gid);
    const struct set_entry entry = {
        .name = name,
        .path = path,
        .owner = user ? mem_text(scratch, user->pw_name) : NULL,
        .group = group ? mem_text(scratch, group->gr_name) : NULL,
        .mode = status.st_mode & 07777,
        .modified_ns = status.st_mtim.tv_sec * SECOND_NS + status.st_mtim.tv_nsec,
    };
    return set_entry_begin(set, &entry, fault) &&
           write_content(set, fd, status.st_size, path, fault) && set_entry_end(set, fault);
}

/* -1 with *ret_skip: no regular file, or gone meanwhile. */
static int open_regular(const char *path, bool *ret_skip)
{
    struct stat status;
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    *ret_skip = false;
    if (fd < 0) {
        *ret_skip = errno == ELOOP || errno == ENOENT || errno == ENXIO;
        return -1;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        *ret_skip = true;
        return -1;
    }
    return TAKE_FD(fd);
}

bool backup_place(struct set_writer *set, const struct place *place, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(DIR) *directory = opendir(place->directory);
    const struct dirent *entry;
    bool skip;

    if (!directory)
        return errno == ENOENT || failed(fault, "cannot be read", place->directory);
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.' ||
            (place->prefix && !text_starts(entry->d_name, place->prefix)))
            continue;
        const char *path = mem_printf(scratch, "%s/%s", place->directory, entry->d_name);
        AUTO_FD fd = open_regular(path, &skip);
        if (fd < 0 && !skip)
            return failed(fault, "cannot be read", path);
        if (fd >= 0 &&
            !backup_one(set, fd, mem_printf(scratch, "%s/%s", place->name, entry->d_name), path,
                        fault))
            return false;
    }
    return true;
}

/* Directories that wait are a list, so that a loop of mounts ends at its bound. */
struct config {
    TALLOC_CTX *ctx;
    struct set_writer *set;
    const char *except;
    unsigned count;
    struct text_list waiting;
};

static bool config_file(struct config *config, const char *path, struct fault *fault)
{
    bool skip;
    AUTO_FD fd = open_regular(path, &skip);

    if (fd < 0)
        return skip || failed(fault, "cannot be read", path);
    if (text_equal(path, config->except))
        return true;
    return backup_one(config->set, fd, mem_printf(config->ctx, "config/%u", ++config->count), path,
                      fault);
}

static bool config_entry(struct config *config, const char *path, struct fault *fault)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return errno == ENOENT || failed(fault, "cannot be looked at", path);
    if (S_ISREG(status.st_mode))
        return config_file(config, path, fault);
    if (S_ISDIR(status.st_mode)) {
        if (config->waiting.count == DIRECTORIES_MAX)
            return fault_set(fault, FILE_FAILED, NULL, "there are too many directories: %.200s",
                             path);
        text_list_add(config->ctx, &config->waiting, path);
    }
    return true;
}

static bool config_directory(struct config *config, const char *path, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(DIR) *directory = opendir(path);
    const struct dirent *entry;

    if (!directory)
        return failed(fault, "cannot be read", path);
    while ((entry = readdir(directory)))
        if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, "..") &&
            !config_entry(config, mem_printf(scratch, "%s/%s", path, entry->d_name), fault))
            return false;
    return true;
}

bool backup_config(struct set_writer *set, const struct settings *settings, const char *except,
                   struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct config config = {.ctx = scratch, .set = set, .except = except};

    for (size_t i = 0; i < settings->backup_paths.count; i++)
        if (!config_entry(&config, settings->backup_paths.items[i], fault))
            return false;
    for (size_t i = 0; i < config.waiting.count; i++)
        if (!config_directory(&config, config.waiting.items[i], fault))
            return false;
    return true;
}

bool backup_file_read(TALLOC_CTX *ctx, const char *path, struct bytes *ret_content,
                      struct fault *fault)
{
    struct stat status;
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, &status) != 0)
        return failed(fault, "cannot be read", path);
    if (!S_ISREG(status.st_mode) || status.st_size > FILE_MOST)
        return fault_set(fault, FILE_FAILED, NULL, "is no file that can be read: %.200s", path);
    const size_t size = (size_t)status.st_size; /* never negative */
    uint8_t *data = mem_array(ctx, uint8_t, size + 1);
    for (size_t at = 0; at < size;) {
        const ssize_t got = read(fd, data + at, size - at);
        if (got <= 0)
            return failed(fault, "cannot be read", path);
        at += (size_t)got;
    }
    *ret_content = (struct bytes){data, size};
    return true;
}

bool backup_directory_flush(const char *directory, struct fault *fault)
{
    AUTO_FD fd = open(directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY);

    return (fd >= 0 && fsync(fd) == 0) || failed(fault, "cannot be flushed", directory);
}

static bool give(int fd, const struct set_entry *as, const char *path, struct fault *fault)
{
    if (geteuid() != 0)
        return true;
    const struct passwd *user = as->owner ? getpwnam(as->owner) : NULL;
    const struct group *group = as->group ? getgrnam(as->group) : NULL;
    if ((as->owner && !user) || (as->group && !group))
        return fault_set(fault, FILE_FAILED, NULL,
                         "%.100s belongs to %s:%s, whom this host does not know: make the users "
                         "first (systemd-sysusers)",
                         path, as->owner, as->group);
    return fchown(fd, user ? user->pw_uid : 0, group ? group->gr_gid : 0) == 0 ||
           failed(fault, "cannot be given away", path);
}

static bool copy(int from, int to, const char *path, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t *part = mem_array(scratch, uint8_t, PART_SIZE);
    ssize_t got;

    while ((got = read(from, part, PART_SIZE)) > 0)
        for (ssize_t at = 0, put = 0; at < got; at += put)
            if ((put = write(to, part + at, (size_t)(got - at))) <= 0)
                return failed(fault, "cannot be written", path);
    return got == 0 || failed(fault, "cannot be read", path);
}

static bool write_new(const char *path, const char *from, const struct set_entry *as,
                      struct fault *fault)
{
    AUTO_FD source = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (source < 0)
        return failed(fault, "cannot be read", from);
    if (fd < 0)
        return failed(fault, "cannot be written", path);
    if (!copy(source, fd, path, fault) || !give(fd, as, path, fault))
        return false;
    const struct timespec moment = {as->modified_ns / SECOND_NS, as->modified_ns % SECOND_NS};
    const struct timespec times[] = {moment, moment};
    return (fchmod(fd, (mode_t)as->mode & 0777) == 0 &&
            (as->modified_ns == 0 || futimens(fd, times) == 0) && fsync(fd) == 0) ||
           failed(fault, "cannot be written", path);
}

static bool make_parents(const char *directory, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (const char *slash = strchr(directory + 1, '/');; slash = strchr(slash + 1, '/')) {
        const char *path = slash ? mem_text_n(scratch, directory, slash - directory) : directory;
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return failed(fault, "cannot be made", path);
        if (!slash)
            return true;
    }
}

bool backup_file_put(const char *path, const char *from, const struct set_entry *as,
                     const char *aside, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *directory = mem_text_n(scratch, path, strrchr(path, '/') - path);
    const char *fresh = mem_printf(scratch, "%s/.restore.tmp", directory);
    const char *kept = aside ? mem_printf(scratch, "%s%s", path, aside) : NULL;

    if (!make_parents(directory, fault) || !write_new(fresh, from, as, fault))
        return false;
    /* A second name first, so that at no instant there is neither. */
    if (kept && link(path, kept) != 0 && errno != ENOENT && errno != EEXIST)
        return failed(fault, "cannot be kept", path);
    if (rename(fresh, path) != 0)
        return failed(fault, "cannot be put in its place", path);
    return backup_directory_flush(directory, fault);
}

bool backup_remove_all(const char *directory, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(DIR) *opened = opendir(directory);
    const struct dirent *entry;

    if (!opened)
        return errno == ENOENT || failed(fault, "cannot be read", directory);
    while ((entry = readdir(opened))) {
        const char *path = mem_printf(scratch, "%s/%s", directory, entry->d_name);
        if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, ".."))
            continue;
        if (entry->d_type == DT_DIR ? !backup_remove_all(path, fault) : unlink(path) != 0)
            return fault->reason ? false : failed(fault, "cannot be removed", path);
    }
    return rmdir(directory) == 0 || failed(fault, "cannot be removed", directory);
}
