/* signer/safe_file.c: files beside keys, opened without trust and written whole. 04 section 4.2. */
#include "signer/safe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define OTHERS (S_IRWXG | S_IRWXO)

static struct file_stamp stamp_from(const struct stat *status)
{
    return (struct file_stamp){.device = status->st_dev,
                               .inode = status->st_ino,
                               .size = status->st_size,
                               .written = status->st_mtim,
                               .changed = status->st_ctim};
}

static bool moment_equal(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool file_stamp_of(const char *path, struct file_stamp *ret_stamp)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return false;
    *ret_stamp = stamp_from(&status);
    return true;
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           moment_equal(a->written, b->written) && moment_equal(a->changed, b->changed);
}

/* The rules of 04 section 4.2, on the open file: what is judged is what is read. */
static bool check_status(const char *what, const char *path, const struct stat *status,
                         struct fault *fault)
{
    if (!S_ISREG(status->st_mode))
        return fault_set(fault, SIGNER_KEY, "key_ref", "%s %s is no regular file", what, path);
    if (status->st_uid != geteuid() && status->st_uid != 0)
        return fault_set(fault, SIGNER_KEY, "key_ref",
                         "%s %s belongs to user %u; must be the signer's own or root's", what, path,
                         status->st_uid);
    if (status->st_mode & OTHERS)
        return fault_set(fault, SIGNER_KEY, "key_ref",
                         "%s %s has mode %04o; must be 0600 or stricter", what, path,
                         status->st_mode & 07777);
    return true;
}

static bool read_whole(int fd, uint8_t *into, size_t size)
{
    while (size > 0) {
        const ssize_t got = read(fd, into, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        into += got;
        size -= got;
    }
    return true;
}

bool safe_file_read(const char *what, const char *path, struct file_stamp *ret_stamp, uint8_t *into,
                    size_t most_octets, size_t *ret_size, struct fault *fault)
{
    struct stat status;

    /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
    AUTO_FD fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        const int error = errno;
        fault_set(fault, SIGNER_KEY, "key_ref", "%s %s cannot be opened", what, path);
        errno = error;
        return fault_cause_errno(fault, "open");
    }
    if (!check_status(what, path, &status, fault))
        return false;
    if ((uint64_t)status.st_size > most_octets)
        return fault_set(fault, SIGNER_KEY, "key_ref", "%s %s is larger than %zu octets", what,
                         path, most_octets);
    const size_t size = (size_t)status.st_size;
    if (!read_whole(fd, into, size))
        return fault_set(fault, SIGNER_KEY, "key_ref", "%s %s cannot be read", what, path);
    *ret_stamp = stamp_from(&status);
    *ret_size = size;
    return true;
}

static bool write_whole(int fd, struct bytes content)
{
    while (content.size > 0) {
        const ssize_t put = write(fd, content.data, content.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        content.data += put;
        content.size -= put;
    }
    return true;
}

static bool write_failed(struct fault *fault, const char *path)
{
    const int error = errno;

    fault_set(fault, SIGNER_KEY, "key_ref", "%s cannot be written", path);
    errno = error;
    return fault_cause_errno(fault, path);
}

static bool write_temporary(const char *path, struct bytes content, struct fault *fault)
{
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return write_failed(fault, path);
    if (write_whole(fd, content) && fsync(fd) == 0)
        return true;
    (void)write_failed(fault, path);
    (void)unlink(path);
    return false;
}

/* A leading dot: no key reference can name it (key_file.c). */
static char *temporary_name(TALLOC_CTX *ctx, const char *directory)
{
    uint8_t random[8];

    random_bytes(random, sizeof(random));
    return mem_printf(ctx, "%s/.%s.tmp", directory, hex_from_bytes(ctx, BYTES_OF(random)));
}

bool safe_file_write(const char *path, struct bytes content, bool replace, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *slash = strrchr(path, '/');

    if (!slash)
        return fault_set(fault, SIGNER_KEY, "key_ref", "%s is no absolute path", path);
    const char *directory = mem_text_n(scratch, path, slash - path);
    const char *temporary = temporary_name(scratch, directory);
    if (!write_temporary(temporary, content, fault))
        return false;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) != 0) {
        (void)write_failed(fault, path);
        (void)unlink(temporary);
        return false;
    }
    return safe_directory_flush(directory, fault);
}

bool safe_file_remove(const char *path, const char *ending, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *name = mem_printf(scratch, "%s%s", path, ending);

    if (unlink(name) == 0 || errno == ENOENT)
        return true;
    const int error = errno;
    fault_set(fault, SIGNER_KEY, "key_ref", "%s cannot be removed", name);
    errno = error;
    return fault_cause_errno(fault, "unlink");
}

bool safe_directory(const char *path, struct fault *fault)
{
    struct stat status;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return write_failed(fault, path);
    AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        return write_failed(fault, path);
    if ((status.st_mode & OTHERS) && fchmod(fd, 0700) != 0)
        return write_failed(fault, path);
    return true;
}

bool safe_directory_flush(const char *path, struct fault *fault)
{
    AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return write_failed(fault, path);
    return true;
}
