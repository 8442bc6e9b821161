/* jobs/run/runner.h: job_main, what every job binary is: one bounded run and out (07 section 1.2).
 *
 *     const struct job job_housekeeping = {.name = "housekeeping", .run = housekeeping, …};
 *     int main(int argc, char **argv) { return job_main(&job_housekeeping, argc, argv); } */
#ifndef CERTCTL_JOBS_RUN_RUNNER_H
#define CERTCTL_JOBS_RUN_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/confine.h"
#include "core/fault.h"
#include "core/settings.h"
#include "db/db.h"

#include "jobs/run/catalogue.h"
#include "jobs/run/wake.h"

/* What the run function works with; the runner's. */
struct job_run {
    const struct job_entry *entry;
    const struct settings *settings;
    struct db *db;         /* statement_timeout is the limit of the run */
    const char *host;      /* --host or the host's name */
    int64_t limit;         /* --limit; 0: the job's own */
    bool dry_run;          /* inside a read-only transaction: job_would, and no writes */
    int64_t look_again_ms; /* lingering: the run asks to be called within this; 0: the poll does */
    int64_t items_ok;
    int64_t items_failed;
    const struct wake *wake; /* while lingering; NULL: nobody can wake us */
    int64_t until_us;        /* monotonic: lingering ends; 0: it does not linger */
    struct db *lock_db;      /* NULL: no cluster lock. job_should_stop asks it once a second. */
    int64_t lock_asked_us;
    bool lock_lost;
};

/* What each job's plan begins with: its lock and its wake socket. */
#define JOB_CONFINE_PATHS                                                                          \
    {CONFINE_WRITE, AT(settings, runtime_dir), "/jobs"},                                           \
    {                                                                                              \
        CONFINE_WRITE, AT(settings, runtime_dir), "/wake"                                          \
    }

struct job {
    const char *name;        /* of the catalogue, which holds the rest */
    size_t interval_setting; /* AT(settings, …_ms); 0: interval_ms */
    int64_t interval_ms;
    bool seeds_due_later; /* not at first start, but one interval after it */
    unsigned limit_s;     /* wall clock of one run; lingering comes on top */
    bool (*enabled)(const struct settings *settings); /* NULL: always */
    /* What it may touch beside locks and wake sockets; NULL: nothing else. */
    const struct confine_plan *confine;
    /* One look at the queue, until it is empty. Failed items are counted and logged here; false
     * only when the run as a whole failed. */
    bool (*run)(struct job_run *run, struct fault *fault);
};

/* 07 section 1.5: 0 done, not due, locked, disabled, stopped; 1 failed; 64, 69, 70, 75, 78. */
int job_main(const struct job *job, int argc, char **argv);

/* Between items: SIGTERM, the wall clock, or a lost cluster lock. */
bool job_should_stop(struct job_run *run);
/* Of the run: --limit where it was given, else the job's own. */
int64_t job_batch(const struct job_run *run, int64_t own);
/* --dry-run: one JSON line on stdout, e.g. {"would":"delete","what":"…","count":3}. */
void job_would(const char *verb, const char *what, int64_t count);
/* One item failed: counted and logged, the run goes on. */
void job_item_failed(struct job_run *run, const char *item, const struct fault *fault);

/* For tests and certctl-tick: the exit status that fits a fault. */
int job_exit_status(const struct fault *fault);

#endif
