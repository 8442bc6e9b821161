/* jobs/run/lock.h: who may run: one run per host by flock, one per cluster by an advisory lock
 * (07 section 1.3). */
#ifndef CERTCTL_JOBS_RUN_LOCK_H
#define CERTCTL_JOBS_RUN_LOCK_H

#include <stdbool.h>

#include "core/fault.h"
#include "db/db.h"

/* <runtime_dir>/jobs/<name>.lock. The descriptor holds it until it is closed; -1 with *ret_busy
 * when another run has it, -1 without when the file cannot be opened (FILE_FAILED). */
int host_lock_take(const char *runtime_dir, const char *name, bool *ret_busy, struct fault *fault);

/* Opens a transaction on a connection that does nothing else and takes the lock in it; the server
 * lets it go when the transaction or the process ends. False: the database failed. */
bool cluster_lock_take(struct db *lock_db, int number, bool *ret_taken, struct fault *fault);
/* Whether this very session still holds it; one round trip. */
bool cluster_lock_held(struct db *lock_db, int number);

#endif
