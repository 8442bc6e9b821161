/* jobs/run/runner.c: job_main, the ten steps of 07 section 1.2. */
#include "jobs/run/runner.h"

#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "metric/metric.h"
#include "seal/seal.h"

#include "jobs/run/gate.h"
#include "jobs/run/lock.h"
#include "jobs/run/options.h"
#include "jobs/run/wake.h"

#include "core/banned.h"

#define POLL_MS           INT64_C(2000)
#define AFTER_DEADLINE_S  10
#define AFTER_SIGTERM_S   30
#define LOCK_ASKED_EACH_S 1

/* A look that holds the writes back, for --dry-run. */
STATEMENT(job_read_only, "SELECT set_config('transaction_read_only', 'on', true) AS mode");

struct runner {
    const struct job *job;
    struct job_options options;
    struct job_run run;
    struct gate gate;
    struct wake wake;
    struct fault fault;
    int host_lock;
    int64_t began_us;
    int64_t claimed_us;
    const char *result;
    int exit_status;
};

static volatile sig_atomic_t stop_signal;

/* Until exit, as settings.h says of what they point to. */
static struct settings settings;

static void on_signal(int signal_number)
{
    if (signal_number == SIGALRM && stop_signal)
        _exit(EX_TEMPFAIL); /* told to stop, and did not */
    if (!stop_signal)
        (void)alarm(signal_number == SIGALRM ? AFTER_DEADLINE_S : AFTER_SIGTERM_S);
    stop_signal = signal_number;
}

/* Without SA_RESTART, so that poll and sleeping end. */
static void catch_signals(unsigned limit_s)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGALRM, &action, NULL);
    (void)sigaction(SIGHUP, &ignore, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)alarm(limit_s);
}

static void say(const struct runner *runner, enum log_level level, const char *message,
                const struct fault *fault)
{
    struct log_line line;

    log_begin(&line, level, message);
    log_text(&line, "job", runner->job->name);
    log_text(&line, "host", runner->run.host);
    if (fault)
        log_fault(&line, fault);
    log_end(&line);
}

int job_exit_status(const struct fault *fault)
{
    if (fault->reason == SCHEMA_MISMATCH)
        return EX_UNAVAILABLE;
    if (fault->reason == SETTING_INVALID || fault->reason == SEAL_KEY_MISSING)
        return EX_CONFIG;
    if (fault->reason == INTERNAL)
        return EX_SOFTWARE;
    /* FILE_FAILED: a lock file that cannot be opened is no failure of the work either. */
    if (fault->reason == DATABASE_UNREACHABLE || fault->reason == FILE_FAILED)
        return EX_TEMPFAIL;
    return 1;
}

/* Ends the steps with a result that is no failure. */
static bool leave(struct runner *runner, const char *result)
{
    runner->result = result;
    runner->exit_status = EX_OK;
    return false;
}

static bool leave_failed(struct runner *runner, const char *message)
{
    runner->result = "failed";
    runner->exit_status = job_exit_status(&runner->fault);
    say(runner, LOG_ERROR, message, &runner->fault);
    return false;
}

static bool step_enabled(struct runner *runner)
{
    if (!runner->job->enabled || runner->job->enabled(&settings))
        return true;
    say(runner, LOG_DEBUG, "job disabled", NULL);
    return leave(runner, "disabled");
}

static bool step_host_lock(struct runner *runner)
{
    bool busy = false;

    runner->host_lock = host_lock_take(settings.runtime_dir, runner->job->name, &busy,
                                       &runner->fault);
    if (runner->host_lock >= 0)
        return true;
    if (!busy)
        return leave_failed(runner, "no host lock");
    say(runner, LOG_INFO, "previous run on this host still active", NULL);
    return leave(runner, "locked");
}

static struct db *open_database(struct runner *runner, TALLOC_CTX *ctx)
{
    const struct db_options options = {
        .url = settings.database_url,
        .role = runner->run.entry->role,
        .application_name = mem_printf(ctx, "certctl-job-%s", runner->job->name),
        .statement_timeout_ms = runner->job->limit_s * INT64_C(1000),
        .unnamed_statements = true,
        .wake_dir = mem_printf(ctx, "%s/wake", settings.runtime_dir),
    };

    return db_new(ctx, &options);
}

/* Connects and checks the schema version: steps 5 and 6. */
static bool step_connect(struct runner *runner, TALLOC_CTX *ctx)
{
    runner->run.db = open_database(runner, ctx);
    return db_connect(runner->run.db, &runner->fault) ||
           leave_failed(runner, "the database cannot be used");
}

/* Only certctl-jobs holds the passphrase; the other users' jobs never meet a sealed secret. */
static bool step_seal(struct runner *runner)
{
    return !text_equal(runner->run.entry->role, "certctl_jobs") ||
           seal_start_check_on(runner->run.db, &settings, &runner->fault) ||
           leave_failed(runner, "the start was refused");
}

static bool step_cluster_lock(struct runner *runner, TALLOC_CTX *ctx)
{
    bool taken = false;

    if (runner->run.entry->mode == JOB_PARALLEL)
        return true;
    runner->run.lock_db = open_database(runner, ctx);
    if (!cluster_lock_take(runner->run.lock_db, runner->run.entry->number, &taken, &runner->fault))
        return leave_failed(runner, "no cluster lock");
    if (taken)
        return true;
    say(runner, LOG_INFO, "another host is running this job", NULL);
    return leave(runner, "locked");
}

static bool step_due(struct runner *runner)
{
    const struct job_run *run = &runner->run;
    int64_t next_due_at = 0;
    bool due = false;
    const bool asked = run->dry_run
                           ? gate_look(run->db, &runner->gate, &due, &next_due_at, &runner->fault)
                           : gate_claim(run->db, &runner->gate, runner->options.force, &due,
                                        &next_due_at, &runner->fault);

    if (!asked)
        return leave_failed(runner, "the due gate failed");
    runner->claimed_us = clock_monotonic_us();
    if (due || runner->options.force)
        return true;
    if (log_enabled(LOG_DEBUG)) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct log_line line;
        log_begin(&line, LOG_DEBUG, "not due");
        log_text(&line, "job", runner->job->name);
        log_text(&line, "next_due_at", time_to_rfc3339(scratch, next_due_at));
        log_end(&line);
    }
    return leave(runner, "not_due");
}

/* While it lingers, the row stays claimed: a timer elsewhere need not start what would find the
 * lock taken. */
static bool keep_claim(struct runner *runner)
{
    int64_t next_due_at = 0;
    bool due = false;

    if (clock_monotonic_us() - runner->claimed_us < runner->gate.interval_ms * 900)
        return true;
    runner->claimed_us = clock_monotonic_us();
    return gate_claim(runner->run.db, &runner->gate, true, &due, &next_due_at, &runner->fault);
}

/* The poll is the most; a run that knows when its next item is due may ask for less. */
static int64_t pause_ms(const struct runner *runner, int64_t left_ms)
{
    const int64_t asked_ms = runner->run.look_again_ms;
    const int64_t most_ms = asked_ms > 0 ? least(asked_ms, POLL_MS) : POLL_MS;

    return least(left_ms, most_ms);
}

static bool look_and_linger(struct runner *runner)
{
    const int64_t until_us = runner->began_us + runner->options.linger_ms * 1000;

    runner->run.until_us = until_us;
    bool good = runner->job->run(&runner->run, &runner->fault);

    while (good && !job_should_stop(&runner->run)) {
        const int64_t left_ms = (until_us - clock_monotonic_us()) / 1000;
        if (left_ms <= 0)
            break;
        (void)wake_wait(&runner->wake, pause_ms(runner, left_ms));
        if (job_should_stop(&runner->run))
            break;
        good = keep_claim(runner) && runner->job->run(&runner->run, &runner->fault);
        (void)metric_flush(runner->run.db, METRIC_FLUSH_US);
    }
    return good;
}

static bool look_dry(struct runner *runner)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct db *db = runner->run.db;

    if (!db_begin(db, &runner->fault))
        return false;
    const bool good = db_query_params(scratch, db, &job_read_only, &runner->fault, NULL, 0) !=
                          NULL &&
                      runner->job->run(&runner->run, &runner->fault);
    db_rollback(db);
    return good;
}

static const char *result_of(const struct runner *runner)
{
    if (stop_signal == SIGALRM)
        return "deadline";
    if (stop_signal)
        return "interrupted";
    return runner->run.items_ok + runner->run.items_failed > 0 ? "ok" : "noop";
}

static void run_job(struct runner *runner)
{
    const bool lingers = runner->run.entry->lingers && runner->options.linger_ms > 0;
    bool good;

    if (runner->run.dry_run) {
        good = look_dry(runner);
    } else if (lingers) {
        if (!wake_listen(runner->run.db, settings.runtime_dir, runner->job->name, &runner->wake,
                         &runner->fault))
            say(runner, LOG_WARN, "nobody can wake this job", &runner->fault);
        runner->run.wake = &runner->wake;
        good = look_and_linger(runner);
        wake_close(&runner->wake);
    } else {
        good = runner->job->run(&runner->run, &runner->fault);
    }
    if (!good) {
        leave_failed(runner, "job run failed");
        return;
    }
    runner->result = result_of(runner);
    if (!runner->run.lock_lost)
        return;
    runner->exit_status = EX_TEMPFAIL; /* another host may be at it already */
    runner->result = "failed";
    fault_set(&runner->fault, DATABASE_UNREACHABLE, NULL, "the cluster lock was lost");
}

static void log_summary(const struct runner *runner, const struct gate_outcome *outcome,
                        int64_t run_id)
{
    const bool quiet = outcome->success && outcome->items_ok + outcome->items_failed == 0 &&
                       (text_equal(runner->result, "noop") || text_equal(runner->result, "ok"));
    struct log_line line;

    log_begin(&line, quiet ? LOG_DEBUG : LOG_INFO, "job run completed");
    log_text(&line, "job", runner->job->name);
    log_text(&line, "result", runner->result);
    log_integer(&line, "items_ok", outcome->items_ok);
    log_integer(&line, "items_failed", outcome->items_failed);
    log_integer(&line, "duration_ms", outcome->duration_ms);
    log_text(&line, "host", runner->run.host);
    if (run_id > 0)
        log_integer(&line, "run_id", run_id);
    log_end(&line);
}

/* Step 10: never changes the exit status. */
static void store_outcome(struct runner *runner)
{
    const bool failed = runner->exit_status != EX_OK;
    const int64_t duration_us = clock_monotonic_us() - runner->began_us;
    struct gate_outcome outcome = {
        .result = runner->result,
        .error = failed ? runner->fault.detail : NULL,
        .success = !failed,
        .lingered = !failed && runner->run.entry->lingers && runner->options.linger_ms > 0,
        .started_at = clock_now_s() - duration_us / 1000000,
        .duration_ms = duration_us / 1000,
        .items_ok = runner->run.items_ok,
        .items_failed = runner->run.items_failed,
    };
    struct fault fault = {0};
    int64_t run_id = 0;

    if (runner->run.dry_run)
        return;
    if (!gate_finish(runner->run.db, &runner->gate, &outcome, &run_id, &fault))
        say(runner, LOG_WARN, "the outcome of the run could not be stored", &fault);
    (void)metric_flush(runner->run.db, 0);
    log_summary(runner, &outcome, run_id);
}

static void run_steps(struct runner *runner, TALLOC_CTX *ctx)
{
    if (!step_enabled(runner) || !step_host_lock(runner) || !step_connect(runner, ctx) ||
        !step_seal(runner) || !step_cluster_lock(runner, ctx) || !step_due(runner))
        return;
    run_job(runner);
    store_outcome(runner);
}

static void check_statements(struct runner *runner, TALLOC_CTX *ctx)
{
    if (!step_connect(runner, ctx))
        return;
    if (!db_check_statements(runner->run.db, &runner->fault))
        runner->exit_status = 1;
}

static int64_t interval_of(const struct job *job)
{
    const char *base = (const char *)&settings; /* offsets count bytes */
    int64_t interval_ms = job->interval_ms;

    if (job->interval_setting)
        memcpy(&interval_ms, base + job->interval_setting, sizeof interval_ms);
    return interval_ms;
}

static const char *host_name(TALLOC_CTX *ctx, const struct runner *runner)
{
    char name[256] = "";

    if (runner->options.host)
        return runner->options.host;
    if (gethostname(name, sizeof name - 1) != 0 || !*name)
        return "localhost";
    return mem_text(ctx, name);
}

static const struct confine_path usual_paths[] = {JOB_CONFINE_PATHS};
static const struct confine_plan usual = {.paths = usual_paths,
                                          .path_count = ARRAY_SIZE(usual_paths)};

static void confine(const struct runner *runner)
{
    const struct confine_plan *plan = runner->job->confine ? runner->job->confine : &usual;
    struct fault fault = {0};

    if (!confine_process(plan, &settings, !db_is_local(settings.database_url), &fault))
        say(runner, LOG_WARN, "confinement", &fault);
}

static int run_to_end(struct runner *runner)
{
    settings_load_or_exit(&settings); /* first: nothing is owned yet where it exits */
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct job *job = runner->job;

    runner->run.settings = &settings;
    runner->run.host = host_name(ctx, runner);
    runner->run.limit = runner->options.limit;
    runner->run.dry_run = runner->options.dry_run;
    runner->gate = (struct gate){
        .key = job_state_key(ctx, runner->run.entry, runner->run.host),
        .interval_ms = interval_of(job),
        .seeds_due_later = job->seeds_due_later,
        .host = runner->run.host,
    };
    runner->began_us = clock_monotonic_us();
    catch_signals(job->limit_s +
                  (unsigned)(runner->options.linger_ms / 1000)); /* an hour at most */
    confine(runner);
    if (runner->options.check_statements)
        check_statements(runner, ctx);
    else
        run_steps(runner, ctx);
    (void)alarm(0);
    return runner->exit_status;
}

int job_main(const struct job *job, int argc, char **argv)
{
    struct runner runner = {.job = job, .host_lock = -1, .wake = {.fd = -1}, .result = "failed"};

    runner.run.entry = job_entry_by_name(job->name);
    if (!runner.run.entry) {
        (void)fprintf(stderr, "job %s is in no catalogue\n", job->name);
        return EX_SOFTWARE;
    }
    if (!job_options_parse(argc, argv, &runner.options)) {
        (void)fprintf(stderr, "see certctl-job-%s --help\n", job->name);
        return EX_USAGE;
    }
    if (runner.options.help || runner.options.version) {
        if (runner.options.help)
            job_options_usage(job->name);
        else
            (void)printf("certctl-job-%s %s\n", job->name, CERTCTL_VERSION);
        return EX_OK;
    }
    const int status = run_to_end(&runner);
    if (runner.host_lock >= 0)
        (void)close(runner.host_lock);
    return status;
}

bool job_should_stop(struct job_run *run)
{
    const int64_t now_us = clock_monotonic_us();

    if (stop_signal)
        return true;
    if (!run->lock_db || run->lock_lost ||
        now_us - run->lock_asked_us < LOCK_ASKED_EACH_S * INT64_C(1000000))
        return run->lock_lost;
    run->lock_asked_us = now_us;
    run->lock_lost = !cluster_lock_held(run->lock_db, run->entry->number);
    return run->lock_lost;
}

int64_t job_batch(const struct job_run *run, int64_t own)
{
    return run->limit > 0 ? run->limit : own;
}

void job_would(const char *verb, const char *what, int64_t count)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *line = json_object();

    json_set_text(line, "would", verb);
    json_set_text(line, "what", what);
    json_set_integer(line, "count", count);
    (void)printf("%s\n", json_to_text(scratch, line));
}

void job_item_failed(struct job_run *run, const char *item, const struct fault *fault)
{
    struct log_line line;

    run->items_failed++;
    log_begin(&line, LOG_WARN, "job item failed");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "item", item);
    log_fault(&line, fault);
    log_end(&line);
}
