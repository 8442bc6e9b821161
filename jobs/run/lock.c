/* jobs/run/lock.c: who may run (07 section 1.3). */
#include "jobs/run/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

/* The transaction sleeps while the job works; a server-wide limit on idle transactions must not
 * end it. set_config rather than SET, which cannot be checked by EXPLAIN. */
STATEMENT(cluster_lock_prepare,
          "SELECT set_config('idle_in_transaction_session_timeout', '0', true) AS idle");

/* Alone in its statement: a planner may evaluate a lock function in WHERE twice. 1128616532 is
 * "CERT". $1 the job's number. */
STATEMENT(cluster_lock_try, "SELECT pg_try_advisory_xact_lock(1128616532, $1::integer) AS taken");

/* Asks for the lock rather than for the connection, which db/ may have opened anew. $1 as above. */
STATEMENT(cluster_lock_mine,
          "SELECT count(*) AS held FROM pg_locks "
          "WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted "
          "AND classid = 1128616532 AND objid::bigint = $1::bigint AND objsubid = 2");

int host_lock_take(const char *runtime_dir, const char *name, bool *ret_busy, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *directory = mem_printf(scratch, "%s/jobs", runtime_dir);
    const char *path = mem_printf(scratch, "%s/%s.lock", directory, name);

    *ret_busy = false;
    (void)mkdir(directory, 02770); /* where the package did not make it; open says the rest */
    AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fault_set(fault, FILE_FAILED, NULL, "the lock file cannot be opened");
        fault_cause_errno(fault, path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return TAKE_FD(fd);
    *ret_busy = errno == EWOULDBLOCK;
    if (!*ret_busy) {
        fault_set(fault, FILE_FAILED, NULL, "the lock file cannot be locked");
        fault_cause_errno(fault, path);
    }
    return -1;
}

bool cluster_lock_take(struct db *lock_db, int number, bool *ret_taken, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!db_begin(lock_db, fault) ||
        !db_query_params(scratch, lock_db, &cluster_lock_prepare, fault, NULL, 0))
        return false;
    struct rows *rows = db_query(scratch, lock_db, &cluster_lock_try, fault, INTEGER(number));
    if (!rows)
        return false;
    *ret_taken = row_bool(rows, 0, "taken");
    return true;
}

bool cluster_lock_held(struct db *lock_db, int number)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    struct rows *rows = db_query(scratch, lock_db, &cluster_lock_mine, &fault, INTEGER(number));

    return rows && row_integer(rows, 0, "held") == 1;
}
