/* signer/signature_log.c: appending to the signer's log so that a missing line shows. 04 4.0, 4.5.
 *
 * prev is the SHA-256 of the line before, without its line feed. */
#include "signer/signature_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

#define HASH_SIZE 64
/* A line of the usual kind is below 1 KiB; one with the most names that a frame can carry ends
 * within the second. */
#define TAIL_USUAL   (16 * 1024)
#define TAIL_MOST    (256 * 1024)
#define LOG_LINE_MAX (TAIL_MOST - 1024)
#define LINE_OPENS   "{\"line\":"
#define LINE_CLOSES  "}"
/* How often the file may be rotated away between opening and locking it. */
#define ROTATIONS_MAX 5

struct signature_log {
    const char *path;
    const char *node;
    int fd;
    off_t size;               /* when we last knew it */
    int64_t line;             /* number of the last line; 0: none */
    char prev[HASH_SIZE + 1]; /* its hash */
};

static bool failed(struct fault *fault, const struct signature_log *log, const char *what)
{
    const int error = errno;

    fault_set(fault, SIGNER_KEY, NULL, "the signer's log cannot be kept");
    errno = error;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return fault_cause_errno(fault, mem_printf(scratch, "%s %s", what, log->path));
}

static bool broken(struct fault *fault, const struct signature_log *log, const char *how)
{
    fault_set(fault, SIGNER_KEY, NULL, "the signer's log cannot be kept");
    return fault_cause(fault, "%s %s: move it away, and a new one begins", log->path, how);
}

static void set_hash(struct signature_log *log, struct bytes line)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    memcpy(log->prev, digest_sha256_hex(scratch, line), HASH_SIZE);
}

/* The end of the file: offset in it of `data`, its last octets. */
struct tail {
    const uint8_t *data;
    size_t size;
    off_t offset;
};

static bool read_tail(const struct signature_log *log, TALLOC_CTX *ctx, off_t size, size_t window,
                      struct tail *ret)
{
    const size_t wanted = (size_t)least(size, (off_t)window);
    uint8_t *data = mem_array(ctx, uint8_t, wanted + 1);

    if (pread(log->fd, data, wanted, size - (off_t)wanted) != (ssize_t)wanted)
        return false;
    *ret = (struct tail){data, wanted, size - (off_t)wanted};
    return true;
}

/* The last whole line, without its line feed; *ret_after is the place behind it. False: it begins
 * before the tail does, or there is none. */
static bool last_line(const struct tail *tail, struct bytes *ret_line, size_t *ret_after)
{
    const uint8_t *end = memrchr(tail->data, '\n', tail->size);

    if (!end)
        return false;
    const size_t before = end - tail->data;
    const uint8_t *feed = memrchr(tail->data, '\n', before);
    if (!feed && tail->offset > 0)
        return false;
    const uint8_t *start = feed ? feed + 1 : tail->data;
    *ret_line = (struct bytes){start, end - start};
    *ret_after = before + 1;
    return true;
}

static bool line_number(struct bytes line, int64_t *ret)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = mem_text_n(scratch, (const char *)line.data, line.size);

    if (!text_starts(text, LINE_OPENS) || !text_ends(text, LINE_CLOSES))
        return false;
    const char *digits = text + strlen(LINE_OPENS);
    return text_to_integer(mem_text_n(scratch, digits, strcspn(digits, ",")), 1, INT64_MAX, ret);
}

/* What a process was writing when it was killed, or the power went: no signature of it left. */
static bool cut_torn(struct signature_log *log, off_t size, off_t whole, struct fault *fault)
{
    if (whole < size && ftruncate(log->fd, whole) != 0)
        return failed(fault, log, "cutting a torn line of");
    log->size = whole;
    return true;
}

/* A file without a whole line: only the beginning of one of ours may be thrown away. */
static bool learn_first(struct signature_log *log, const struct tail *tail, off_t size,
                        struct fault *fault)
{
    const size_t length = least(tail->size, strlen(LINE_OPENS));

    if (tail->offset > 0 || memcmp(tail->data, LINE_OPENS, length) != 0)
        return broken(fault, log, "ends in no line of ours");
    return cut_torn(log, size, 0, fault);
}

/* Number and hash of the last line. An empty file goes on with what we knew of the one before. */
static bool learn(struct signature_log *log, off_t size, struct fault *fault)
{
    static const size_t windows[] = {TAIL_USUAL, TAIL_MOST};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct tail tail = {0};
    struct bytes line;
    size_t after;
    bool found = false;

    for (size_t i = 0; i < ARRAY_SIZE(windows) && !found; i++) {
        if (!read_tail(log, scratch, size, windows[i], &tail))
            return failed(fault, log, "reading the end of");
        found = last_line(&tail, &line, &after);
    }
    if (!found)
        return learn_first(log, &tail, size, fault);
    if (!line_number(line, &log->line))
        return broken(fault, log, "ends in no line of ours");
    set_hash(log, line);
    return cut_torn(log, size, tail.offset + (off_t)after, fault);
}

static bool lock(int fd)
{
    int result;

    do
        result = flock(fd, LOCK_EX);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

/* *ret_status is of the open file; *ret_same says whether the path still leads to it. */
static bool look(const struct signature_log *log, struct stat *ret_status, bool *ret_same)
{
    struct stat named;

    if (fstat(log->fd, ret_status) != 0)
        return false;
    *ret_same = stat(log->path, &named) == 0 && named.st_ino == ret_status->st_ino &&
                named.st_dev == ret_status->st_dev;
    return true;
}

static bool open_file(struct signature_log *log, struct fault *fault)
{
    log->fd = open(log->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    log->size = 0;
    return log->fd >= 0 || failed(fault, log, "opening");
}

static void let_go(struct signature_log *log)
{
    (void)close(log->fd); /* and its lock */
    log->fd = -1;
}

/* Locks the file that the path leads to, and knows its end. A file that was moved away is read to
 * its end first: under its lock nobody adds to it any more, and the new one continues it. */
static bool lock_current(struct signature_log *log, struct fault *fault)
{
    for (int i = 0; i < ROTATIONS_MAX; i++) {
        struct stat status;
        bool same;
        if (log->fd < 0 && !open_file(log, fault))
            return false;
        if (!lock(log->fd) || !look(log, &status, &same))
            return failed(fault, log, "locking");
        /* An unreadable end bars its own file only: the next one goes on from what we knew. */
        if (status.st_size != log->size && !learn(log, status.st_size, fault) && same)
            return false;
        if (same)
            return true;
        let_go(log);
    }
    return broken(fault, log, "is moved away again and again");
}

/* One write, so that a reader sees whole lines; what a full disk took of it is given back. */
static bool write_line(struct signature_log *log, struct bytes line, bool flush,
                       struct fault *fault)
{
    const ssize_t put = write(log->fd, line.data, line.size);

    if (put == (ssize_t)line.size && (!flush || fdatasync(log->fd) == 0)) {
        log->size += put;
        return true;
    }
    if (put >= 0 && put < (ssize_t)line.size)
        errno = ENOSPC;
    (void)failed(fault, log, "writing to");
    if (put > 0 && ftruncate(log->fd, log->size) != 0)
        (void)fault_cause_errno(fault, "taking back half a line");
    return false;
}

static bool append_locked(struct signature_log *log, const char *entry, bool flush,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const size_t inner = strlen(entry) - 2; /* without its braces */

    const char *text = mem_printf(scratch,
                                  LINE_OPENS "%" PRId64 ",\"time\":\"%s\",\"node\":%s,%.*s,"
                                             "\"prev\":\"%s\"" LINE_CLOSES "\n",
                                  log->line + 1, time_to_rfc3339(scratch, clock_now_s()), log->node,
                                  (int)inner, entry + 1, log->prev);
    const size_t length = strlen(text);
    if (length > LOG_LINE_MAX)
        return fault_set(fault, SIGNER_REFUSED, NULL, "the line for the log would be too long");
    if (!write_line(log, (struct bytes){(const uint8_t *)text, length}, flush, fault))
        return false;
    log->line++;
    set_hash(log, (struct bytes){(const uint8_t *)text, length - 1});
    return true;
}

static int close_log(struct signature_log *log)
{
    if (log->fd >= 0)
        (void)close(log->fd);
    return 0;
}

/* The node's name as a JSON string, once. */
static char *quoted(TALLOC_CTX *ctx, const char *text)
{
    AUTO(json_t) *holder = json_array();

    json_add_text(holder, text);
    char *array = json_to_text(ctx, holder);
    return mem_text_n(ctx, array + 1, strlen(array) - 2);
}

struct signature_log *signature_log_open(TALLOC_CTX *ctx, const char *path, const char *node,
                                         struct fault *fault)
{
    AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
    struct signature_log *log = mem_new(kept, struct signature_log);

    log->path = path;
    log->node = quoted(log, node);
    log->fd = -1;
    memset(log->prev, '0', HASH_SIZE);
    talloc_set_destructor(log, close_log);
    if (!lock_current(log, fault))
        return NULL;
    (void)flock(log->fd, LOCK_UN);
    return talloc_steal(ctx, log);
}

bool signature_log_append(struct signature_log *log, const json_t *entry, bool flush,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = json_to_text(scratch, entry);
    const bool appended = lock_current(log, fault) && append_locked(log, text, flush, fault);

    if (log->fd >= 0)
        (void)flock(log->fd, LOCK_UN);
    return appended;
}
