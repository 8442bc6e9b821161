/* jobs/run/gate.c: when a job is due, and what became of its run (07 section 1.4). */
#include "jobs/run/gate.h"

#include <unistd.h>

#include "core/auto.h"
#include "core/text.h"

#include "core/banned.h"

/* $1 key, $2 interval in ms, $3 host, $4 pid, $5 forced. One UPDATE: two hosts that ask at once
 * cannot both be told that it is due. random() is drawn anew each time, in [0, 1). */
STATEMENT(scheduler_claim,
          "UPDATE scheduler_state SET interval_ms = $2::bigint, "
          "next_due_at = now() + $2::bigint * (0.9 + 0.2 * random()) * interval '1 millisecond', "
          "run_requested_at = NULL, run_requested_by = NULL, "
          "last_started_at = now(), last_host = $3::text, last_pid = $4::integer "
          "WHERE job = $1::text "
          "AND ($5::boolean OR run_requested_at IS NOT NULL OR now() >= next_due_at) "
          "RETURNING job");

/* $1 key. -infinity has no Unix time, and is due anyway. */
STATEMENT(scheduler_look, "SELECT run_requested_at IS NOT NULL OR now() >= next_due_at AS due, "
                          "CASE WHEN isfinite(next_due_at) THEN next_due_at END AS next_due_at "
                          "FROM scheduler_state WHERE job = $1::text");

/* $1 key, $2 interval in ms, $3 due one interval later. */
STATEMENT(scheduler_seed,
          "INSERT INTO scheduler_state (job, interval_ms, next_due_at) "
          "VALUES ($1::text, $2::bigint, CASE WHEN $3::boolean "
          "THEN now() + $2::bigint * interval '1 millisecond' ELSE '-infinity' END) "
          "ON CONFLICT (job) DO NOTHING");

/* $1 key, $2 result, $3 error, $4 success, $5 lingered, $6 ms, $7 items done, $8 items failed. */
STATEMENT(scheduler_finish,
          "UPDATE scheduler_state SET last_finished_at = now(), last_result = $2::text, "
          "last_error = $3::text, last_duration_ms = $6::bigint, "
          "last_success_at = CASE WHEN $4::boolean THEN now() ELSE last_success_at END, "
          "consecutive_failures = CASE WHEN $4::boolean THEN 0 ELSE consecutive_failures + 1 END, "
          "next_due_at = CASE WHEN $5::boolean THEN now() ELSE next_due_at END, "
          "items_ok = items_ok + $7::bigint, items_failed = items_failed + $8::bigint "
          "WHERE job = $1::text");

/* $1 key, $2 host, $3 pid, $4 started, $5 result, $6 items done, $7 items failed, $8 error. */
STATEMENT(scheduler_run_insert,
          "INSERT INTO scheduler_runs (job, host, pid, started_at, finished_at, result, items_ok, "
          "items_failed, error) VALUES ($1::text, $2::text, $3::integer, $4::timestamptz, now(), "
          "$5::text, $6::bigint, $7::bigint, $8::text) RETURNING id");

static bool claim_row(struct db *db, const struct gate *gate, bool force, bool *ret_claimed,
                      struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, db, &scheduler_claim, fault, TEXT(gate->key),
                                 INTEGER(gate->interval_ms), TEXT(gate->host), INTEGER(getpid()),
                                 BOOLEAN(force));

    if (!rows)
        return false;
    *ret_claimed = rows->count == 1;
    return true;
}

/* *ret_known false: there is no row yet. */
static bool look_row(struct db *db, const char *key, bool *ret_known, bool *ret_due,
                     int64_t *ret_next_due_at, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, db, &scheduler_look, fault, TEXT(key));

    if (!rows)
        return false;
    *ret_known = rows->count == 1;
    *ret_due = *ret_known && row_bool(rows, 0, "due");
    *ret_next_due_at = *ret_known ? row_time(rows, 0, "next_due_at") : 0;
    return true;
}

bool gate_look(struct db *db, const struct gate *gate, bool *ret_due, int64_t *ret_next_due_at,
               struct fault *fault)
{
    bool known = false;

    if (!look_row(db, gate->key, &known, ret_due, ret_next_due_at, fault))
        return false;
    if (!known)
        *ret_due = !gate->seeds_due_later;
    return true;
}

bool gate_claim(struct db *db, const struct gate *gate, bool force, bool *ret_due,
                int64_t *ret_next_due_at, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    bool known = false;
    bool due = false;

    *ret_next_due_at = 0;
    if (!claim_row(db, gate, force, ret_due, fault))
        return false;
    if (*ret_due)
        return true;
    if (!look_row(db, gate->key, &known, &due, ret_next_due_at, fault))
        return false;
    if (known)
        return true;
    if (!db_query(scratch, db, &scheduler_seed, fault, TEXT(gate->key), INTEGER(gate->interval_ms),
                  BOOLEAN(gate->seeds_due_later)))
        return false;
    /* Claimed at once, or seeded for later: then *ret_next_due_at is of the new row. */
    return claim_row(db, gate, force, ret_due, fault) &&
           (*ret_due || look_row(db, gate->key, &known, &due, ret_next_due_at, fault));
}

static bool store_run(struct db *db, const struct gate *gate, const struct gate_outcome *outcome,
                      int64_t *ret_run_id, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, db, &scheduler_run_insert, fault, TEXT(gate->key),
                                 TEXT(gate->host), INTEGER(getpid()), INSTANT(outcome->started_at),
                                 TEXT(outcome->result), INTEGER(outcome->items_ok),
                                 INTEGER(outcome->items_failed), TEXT(outcome->error));

    if (!rows)
        return false;
    *ret_run_id = row_integer(rows, 0, "id");
    return true;
}

bool gate_finish(struct db *db, const struct gate *gate, const struct gate_outcome *outcome,
                 int64_t *ret_run_id, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const bool worth_a_row = !outcome->success || outcome->items_ok > 0 ||
                             outcome->items_failed > 0;

    *ret_run_id = 0;
    if (!db_query(scratch, db, &scheduler_finish, fault, TEXT(gate->key), TEXT(outcome->result),
                  TEXT(outcome->error), BOOLEAN(outcome->success), BOOLEAN(outcome->lingered),
                  INTEGER(outcome->duration_ms), INTEGER(outcome->items_ok),
                  INTEGER(outcome->items_failed)))
        return false;
    return !worth_a_row || store_run(db, gate, outcome, ret_run_id, fault);
}
