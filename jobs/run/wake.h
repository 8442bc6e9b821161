/* jobs/run/wake.h: the wake socket of a process that stays (07 section 1.8).
 *
 * A datagram says only "look now". It may be lost: the poll of at most 2 s is the guarantee. */
#ifndef CERTCTL_JOBS_RUN_WAKE_H
#define CERTCTL_JOBS_RUN_WAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <talloc.h>

#include "core/fault.h"

struct wake {
    int fd; /* -1: nobody can wake us, wake_wait only sleeps */
    const char *path;
    dev_t device; /* of the socket that we bound, so that only ours is unlinked */
    ino_t inode;
};

/* Binds <runtime_dir>/wake/<name>.sock, 0660, in place of one left behind. On failure (FILE_FAILED)
 * *ret_wake is still good for wake_wait. The path hangs on ctx. */
bool wake_listen(TALLOC_CTX *ctx, const char *runtime_dir, const char *name, struct wake *ret_wake,
                 struct fault *fault);
/* Until a datagram, a signal or the time is over; takes all datagrams that wait. True: woken. */
bool wake_wait(const struct wake *wake, int64_t timeout_ms);
void wake_close(struct wake *wake);

#endif
