/* signer/crl_state.c: the last CRL number beside a key. 04 section 4.0.
 *
 * One record of one size, overwritten in place under a lock: no instant has half a number, and no
 * rename takes the lock away from another process that waits for it. */
#include "signer/crl_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "signer/crl_record.h"
#include "signer/safe_file.h"

#include "core/banned.h"

static bool failed(struct fault *fault, const char *path)
{
    const int error = errno;

    fault_set(fault, SIGNER_KEY, "key_ref", "the last CRL number cannot be kept");
    errno = error;
    return fault_cause_errno(fault, path);
}

static bool broken(struct fault *fault, const char *path, const char *how)
{
    fault_set(fault, SIGNER_KEY, "key_ref", "the last CRL number cannot be read");
    return fault_cause(fault, "%s %s", path, how);
}

/* A file that has just been made is empty: no list was ever signed. All else that is no record
 * could hide a number. */
static bool read_last(int fd, const char *path, int64_t *ret_last, struct fault *fault)
{
    char record[CRL_RECORD_SIZE + 1];
    const ssize_t got = pread(fd, record, sizeof(record), 0);

    if (got < 0)
        return failed(fault, path);
    *ret_last = 0;
    if (got == 0)
        return true;
    return crl_record_read((struct bytes){(const uint8_t *)record, (size_t)got}, ret_last) ||
           broken(fault, path, "holds no CRL number");
}

/* Over the old one, never behind an empty file, which would say that no list was ever signed; what
 * a broken one has behind it goes last. */
static bool write_last(int fd, const char *path, int64_t number, struct fault *fault)
{
    char record[CRL_RECORD_SIZE + 1];

    crl_record_write(number, record);
    return (pwrite(fd, record, CRL_RECORD_SIZE, 0) == CRL_RECORD_SIZE &&
            ftruncate(fd, CRL_RECORD_SIZE) == 0 && fsync(fd) == 0) ||
           failed(fault, path);
}

static bool check_number(int64_t number, int64_t last, struct fault *fault)
{
    if (number <= last)
        return fault_set(fault, SIGNER_REFUSED, "crl_number",
                         "CRL number %" PRId64 " is not above the last one, %" PRId64
                         " (RFC 5280 section 5.2.3)",
                         number, last);
    if (number - last > CRL_NUMBER_STEP)
        return fault_set(fault, SIGNER_REFUSED, "crl_number",
                         "CRL number %" PRId64 " is more than %d above the last one, %" PRId64,
                         number, CRL_NUMBER_STEP, last);
    return true;
}

static bool check_file(int fd, const char *path, struct fault *fault)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return failed(fault, path);
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & (S_IRWXG | S_IRWXO)))
        return broken(fault, path, "is not the signer's alone");
    return true;
}

/* The lock goes with the descriptor. */
static int open_locked(const char *path, struct fault *fault)
{
    AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        failed(fault, path);
        return -1;
    }
    return check_file(fd, path, fault) ? TAKE_FD(fd) : -1;
}

/* The name of a new file must survive a power cut, too. */
static bool flush_name(const char *path, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *slash = strrchr(path, '/');

    return !slash || safe_directory_flush(mem_text_n(scratch, path, slash - path), fault);
}

bool crl_state_take(const char *beside, int64_t number, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s" CRL_STATE_ENDS, beside);
    int64_t last = 0;
    AUTO_FD fd = open_locked(path, fault);

    if (fd < 0 || !read_last(fd, path, &last, fault) || !check_number(number, last, fault) ||
        !write_last(fd, path, number, fault))
        return false;
    return last > 0 || flush_name(path, fault);
}

bool crl_state_raise(const char *beside, int64_t number, int64_t *ret_last, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s" CRL_STATE_ENDS, beside);
    struct fault unreadable = {0};
    int64_t last = 0;

    AUTO_FD fd = open_locked(path, fault);
    if (fd < 0)
        return false;
    if (!read_last(fd, path, &last, &unreadable))
        last = 0;
    if (number > last && (!write_last(fd, path, number, fault) || !flush_name(path, fault)))
        return false;
    *ret_last = most(number, last);
    return true;
}
