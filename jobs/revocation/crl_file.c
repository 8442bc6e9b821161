/* jobs/revocation/crl_file.c: files that the web server serves itself, replaced whole (04 section
 * 9.5). */
#include "jobs/revocation/crl_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/crl.h"

#include "core/banned.h"

struct served_file {
    int fd;
    const char *path;
    const char *temporary; /* NULL: in its place */
};

static bool failed(struct fault *fault, const char *path)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "a file for the web server cannot be written");
    errno = error;
    return fault_cause_errno(fault, path);
}

bool served_directory(const char *path, struct fault *fault)
{
    /* The unit's umask leaves nothing to others, and the web server is one. */
    if (mkdir(path, 0755) == 0 ? chmod(path, 0755) == 0 : errno == EEXIST)
        return true;
    return failed(fault, path);
}

static int release(struct served_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->temporary)
        (void)unlink(file->temporary);
    return 0;
}

/* The ending is one that the web server never looks for. One job run writes here at a time. */
static const char *temporary_name(TALLOC_CTX *ctx, const char *path)
{
    return mem_printf(ctx, "%s.tmp", path);
}

struct served_file *served_file_begin(TALLOC_CTX *ctx, const char *path, struct fault *fault)
{
    struct served_file *file = mem_new(ctx, struct served_file);

    file->path = mem_text(file, path);
    file->temporary = temporary_name(file, path);
    talloc_set_destructor(file, release);
    (void)unlink(file->temporary); /* of a run that was killed */
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file->fd >= 0)
        return file;
    (void)failed(fault, file->temporary);
    talloc_free(file);
    return NULL;
}

bool served_file_write(struct served_file *file, struct bytes part, struct fault *fault)
{
    while (part.size > 0) {
        const ssize_t put = write(file->fd, part.data, part.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return failed(fault, file->temporary);
        part = (struct bytes){part.data + put, part.size - (size_t)put};
    }
    return true;
}

bool served_file_done(struct served_file *file, int64_t mtime, struct fault *fault)
{
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT                },
        { .tv_sec = mtime, .tv_nsec = mtime > 0 ? 0 : UTIME_NOW},
    };

    if (fchmod(file->fd, 0644) != 0 || futimens(file->fd, times) != 0 || fsync(file->fd) != 0 ||
        rename(file->temporary, file->path) != 0)
        return failed(fault, file->path);
    file->temporary = NULL;
    return true;
}

bool served_file_link(const char *of, const char *path, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *temporary = temporary_name(scratch, path);

    (void)unlink(temporary);
    if (link(of, temporary) != 0 || rename(temporary, path) != 0)
        return failed(fault, path);
    (void)unlink(temporary); /* stays where both names were one file already */
    return true;
}

struct mapping {
    void *address;
    size_t size;
};

static int unmap(struct mapping *mapping)
{
    (void)munmap(mapping->address, mapping->size);
    return 0;
}

/* Files here are replaced, never changed: a mapping does not shrink under its reader. */
static bool map_file(TALLOC_CTX *ctx, const char *path, struct bytes *ret_content)
{
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0)
        return false;
    struct mapping *mapping = mem_new(ctx, struct mapping);
    mapping->size = (size_t)status.st_size;
    mapping->address = mmap(NULL, mapping->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping->address == MAP_FAILED)
        return false;
    talloc_set_destructor(mapping, unmap);
    *ret_content = (struct bytes){mapping->address, mapping->size};
    return true;
}

bool served_crl_look(const char *path, int64_t *ret_number, int64_t *ret_next_update)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes content;
    struct bytes der;
    struct crl_tbs tbs;

    if (!map_file(scratch, path, &content) || !crl_tbs_of(content, &der) ||
        !crl_tbs_read(der, &tbs))
        return false;
    *ret_number = tbs.number;
    *ret_next_update = tbs.next_update;
    return true;
}

bool served_file_is(const char *path, struct bytes content)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes found;

    return map_file(scratch, path, &found) && bytes_equal(found, content);
}
