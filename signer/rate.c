/* signer/rate.c: the counter beside a key. 00 decision 49.
 *
 * The file is an array of records of one size, each overwritten in place by one write, so that a
 * process killed between two system calls leaves no half of one. */
#include "signer/rate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define SECONDS_PER_HOUR 3600
#define PEER_COLUMNS     31
#define NUMBER_COLUMNS   15
#define RECORD_SIZE      64 /* the columns, two blanks between them, a line feed */
/* More users than the peer table has. */
#define RECORDS_MAX 64

struct record {
    char peer[PEER_COLUMNS + 1];
    int64_t hour;
    int64_t count;
};

static bool failed(struct fault *fault, const char *path)
{
    const int error = errno;

    fault_set(fault, SIGNER_KEY, "key_ref", "the counter of signatures cannot be kept");
    errno = error;
    return fault_cause_errno(fault, path);
}

static bool column(const char *text, size_t columns, int64_t *ret)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *digits = text_trim(scratch, mem_text_n(scratch, text, columns));

    return text_to_integer(digits, 0, INT64_MAX, ret);
}

static bool record_parse(TALLOC_CTX *scratch, const char text[RECORD_SIZE], struct record *ret)
{
    const char *peer = text_trim(scratch, mem_text_n(scratch, text, PEER_COLUMNS));

    (void)snprintf(ret->peer, sizeof(ret->peer), "%s", peer);
    return column(text + PEER_COLUMNS + 1, NUMBER_COLUMNS, &ret->hour) &&
           column(text + PEER_COLUMNS + NUMBER_COLUMNS + 2, NUMBER_COLUMNS, &ret->count);
}

static bool record_write(int fd, size_t index, const struct record *record)
{
    char line[2 * RECORD_SIZE];
    const int length = snprintf(line, sizeof(line), "%-31s %15" PRId64 " %15" PRId64 "\n",
                                record->peer, record->hour, record->count);

    return length == RECORD_SIZE &&
           pwrite(fd, line, RECORD_SIZE, (off_t)(index * RECORD_SIZE)) == RECORD_SIZE;
}

/* The peer's record, or a new one at the end. False: the file is full. */
static bool record_find(int fd, const char *peer, struct record *ret, size_t *ret_index)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char text[RECORD_SIZE];
    size_t index = 0;

    for (; index < RECORDS_MAX; index++) {
        if (pread(fd, text, RECORD_SIZE, (off_t)(index * RECORD_SIZE)) != RECORD_SIZE)
            break;
        if (record_parse(scratch, text, ret) && text_equal(ret->peer, peer)) {
            *ret_index = index;
            return true;
        }
    }
    if (index == RECORDS_MAX)
        return false;
    *ret = (struct record){0};
    (void)snprintf(ret->peer, sizeof(ret->peer), "%s", peer);
    *ret_index = index;
    return true;
}

bool rate_take(const char *beside, const char *peer, int64_t limit, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *path = mem_printf(scratch, "%s" RATE_ENDING, beside);
    const char *name = mem_text_n(scratch, peer, least(strlen(peer), (size_t)PEER_COLUMNS));
    const int64_t now_s = clock_now_s();
    struct record record;
    size_t index;

    /* The lock goes with the descriptor. */
    AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0 || !record_find(fd, name, &record, &index))
        return failed(fault, path);
    if (record.hour != now_s / SECONDS_PER_HOUR)
        record.count = 0;
    record.hour = now_s / SECONDS_PER_HOUR;
    if (record.count >= limit) {
        fault_set(fault, RATE_LIMITED, "key_ref", "%s has had its %" PRId64 " signatures this hour",
                  name, limit);
        fault->retry_after_s = (unsigned)(SECONDS_PER_HOUR - now_s % SECONDS_PER_HOUR);
        return false;
    }
    record.count++;
    return record_write(fd, index, &record) || failed(fault, path);
}
