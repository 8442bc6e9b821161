/* jobs/run/gate.h: when a job is due, and what became of its run: scheduler_state and
 * scheduler_runs (07 section 1.4). All times are the database's. */
#ifndef CERTCTL_JOBS_RUN_GATE_H
#define CERTCTL_JOBS_RUN_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fault.h"
#include "db/db.h"

struct gate {
    const char *key; /* job_state_key */
    int64_t interval_ms;
    bool seeds_due_later; /* a row made now is due one interval later */
    const char *host;
};

struct gate_outcome {
    const char *result; /* 07 section 1.5 */
    const char *error;  /* or NULL */
    bool success;
    bool lingered;      /* due again at once, so that somebody always listens */
    int64_t started_at; /* Unix seconds, ours: for the run's row only */
    int64_t duration_ms;
    int64_t items_ok;
    int64_t items_failed;
};

/* Claims the run when it is due (or forced): next_due_at moves by the interval times [0.9, 1.1).
 * *ret_next_due_at, Unix seconds, is for the log when it is not due. */
bool gate_claim(struct db *db, const struct gate *gate, bool force, bool *ret_due,
                int64_t *ret_next_due_at, struct fault *fault);
/* The same question without a write. */
bool gate_look(struct db *db, const struct gate *gate, bool *ret_due, int64_t *ret_next_due_at,
               struct fault *fault);
/* Stores the outcome; a row of scheduler_runs only for runs that did something or failed.
 * *ret_run_id is 0 when there is none. */
bool gate_finish(struct db *db, const struct gate *gate, const struct gate_outcome *outcome,
                 int64_t *ret_run_id, struct fault *fault);

#endif
