/* jobs/site/file.c: key and chain of the web server, replaced together (07 section 2). */
#include "jobs/site/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define CURRENT       "current"
#define VERSION_OPENS "v-"
#define VERSIONS_KEPT 3
#define CHAIN_MAX     65536

static bool failed(struct fault *fault, const char *path)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "the site's certificate cannot be written");
    errno = error;
    return fault_cause_errno(fault, path);
}

const char *site_file_chain(TALLOC_CTX *ctx, const char *directory)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s/" CURRENT "/" SITE_CHAIN, directory);
    char *text = mem_array(scratch, char, CHAIN_MAX + 1);

    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : read(fd, text, CHAIN_MAX);
    return got > 0 ? mem_text_n(ctx, text, (size_t)got) : NULL;
}

static bool write_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        const ssize_t put = write(fd, text, left);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        text += put;
        left -= (size_t)put;
    }
    return fsync(fd) == 0;
}

static bool write_file(const char *directory, const char *name, mode_t mode, const char *text,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s/%s", directory, name);

    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    return (fd >= 0 && write_all(fd, text)) || failed(fault, path);
}

static bool flush_directory(const char *path, struct fault *fault)
{
    AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return (fd >= 0 && fsync(fd) == 0) || failed(fault, path);
}

/* Sorts by the time at which it was made. */
static const char *version_name(TALLOC_CTX *ctx)
{
    uint8_t unique[4];

    random_bytes(unique, sizeof unique);
    return mem_printf(ctx, VERSION_OPENS "%011lld-%s", (long long)clock_now_s(),
                      hex_from_bytes(ctx, BYTES_OF(unique)));
}

static bool turn_link(const char *directory, const char *version, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s/" CURRENT, directory);
    const char *fresh = mem_printf(scratch, "%s/.next", directory);

    (void)unlink(fresh);
    return (symlink(version, fresh) == 0 && rename(fresh, path) == 0 &&
            flush_directory(directory, fault)) ||
           failed(fault, path);
}

static void remove_version(const char *directory, const char *version)
{
    static const char *const files[] = {SITE_CHAIN, SITE_KEY};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        (void)unlink(mem_printf(scratch, "%s/%s/%s", directory, version, files[i]));
    (void)rmdir(mem_printf(scratch, "%s/%s", directory, version));
}

static int by_name(const void *a, const void *b)
{
    const char *const *first = a;
    const char *const *second = b;

    return strcmp(*first, *second);
}

/* Never the one that the link leads to: whoever reloads may have turned it back. */
static void remove_old(const char *directory)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(DIR) *open_directory = opendir(directory);
    struct text_list versions = {0};
    char current[NAME_MAX + 1] = "";

    const char *link_path = mem_printf(scratch, "%s/" CURRENT, directory);
    if (readlink(link_path, current, sizeof current - 1) <= 0)
        return;
    for (struct dirent *entry = open_directory ? readdir(open_directory) : NULL; entry;
         entry = readdir(open_directory))
        if (text_starts(entry->d_name, VERSION_OPENS))
            text_list_add(scratch, &versions, entry->d_name);
    if (versions.count <= VERSIONS_KEPT)
        return;
    qsort(versions.items, versions.count, sizeof *versions.items, by_name);
    for (size_t i = 0; i < versions.count - VERSIONS_KEPT; i++)
        if (!text_equal(versions.items[i], current))
            remove_version(directory, versions.items[i]);
}

bool site_file_replace(const char *directory, const char *key_pem, const char *chain_pem,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *version = version_name(scratch);
    const char *path = mem_printf(scratch, "%s/%s", directory, version);

    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return failed(fault, directory);
    if (mkdir(path, 0700) != 0)
        return failed(fault, path);
    if (!write_file(path, SITE_KEY, 0600, key_pem, fault) ||
        !write_file(path, SITE_CHAIN, 0644, chain_pem, fault) || !flush_directory(path, fault) ||
        !turn_link(directory, version, fault)) {
        remove_version(directory, version);
        return false;
    }
    remove_old(directory);
    return true;
}
