/* jobs/run/tick.c: certctl-tick, which starts whatever is due: the cron entry, and the way to a
 * cadence below a minute without systemd (07 section 1.8). */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/settings.h"
#include "core/text.h"
#include "db/db.h"

#include "jobs/run/catalogue.h"
#include "jobs/run/wake.h"

#include "core/banned.h"

#define PARALLEL_DEFAULT 8
#define PARALLEL_MAX     64
#define LINGER_MS        INT64_C(25000)
#define LINGER_LEAST_MS  1000
#define PAUSE_US         (10 * INT64_C(1000000))
#define ALL_USERS_ROLE   "certctl_jobs"

/* $1 keys of scheduler_state. A job without a row was never started. */
STATEMENT(tick_due, "SELECT wanted.job FROM unnest($1::text[]) AS wanted(job) "
                    "LEFT JOIN scheduler_state s ON s.job = wanted.job "
                    "WHERE s.job IS NULL OR s.run_requested_at IS NOT NULL "
                    "OR now() >= s.next_due_at");

/* One job of ours, and its process. */
struct place {
    const struct job_entry *entry;
    const char *key;
    pid_t pid; /* 0: not running */
    int64_t started_us;
    int64_t not_before_us; /* what ended at once (disabled, locked) is not started every second */
};

struct tick {
    struct db *db;
    struct wake wake;
    const char *jobs_dir;
    const char *user; /* NULL: the jobs of all users */
    const char *role;
    bool for_ever;
    bool check_statements;
    int64_t for_ms;
    int64_t parallel;
    int64_t until_us;
    struct place *places;
    size_t places_count;
    bool database_away; /* said once, not every second */
};

static volatile sig_atomic_t stop_signal;

/* Until exit, as settings.h says of what they point to. */
static struct settings settings;

static void on_signal(int signal_number)
{
    if (signal_number != SIGCHLD) /* that one only ends the poll */
        stop_signal = signal_number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGCHLD, &action, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static void say_job(enum log_level level, const char *message, const struct place *place,
                    const char *name, int64_t value)
{
    struct log_line line;

    log_begin(&line, level, message);
    log_text(&line, "job", place->entry->name);
    log_integer(&line, name, value);
    log_end(&line);
}

static void settle(struct place *place, int status)
{
    const int64_t now_us = clock_monotonic_us();

    place->pid = 0;
    if (now_us - place->started_us < PAUSE_US / 2)
        place->not_before_us = place->started_us + PAUSE_US;
    if (WIFSIGNALED(status))
        say_job(LOG_WARN, "job killed", place, "signal", WTERMSIG(status));
    else if (WEXITSTATUS(status) != EX_OK)
        say_job(LOG_WARN, "job failed", place, "exit_status", WEXITSTATUS(status));
}

static void reap(struct tick *tick)
{
    for (size_t i = 0; i < tick->places_count; i++) {
        struct place *place = &tick->places[i];
        int status = 0;
        if (place->pid > 0 && waitpid(place->pid, &status, WNOHANG) == place->pid)
            settle(place, status);
    }
}

static int64_t running(const struct tick *tick)
{
    int64_t count = 0;

    for (size_t i = 0; i < tick->places_count; i++)
        count += tick->places[i].pid > 0;
    return count;
}

/* Lingers no longer than this process stays. NULL: one look and out. */
static char *linger_option(TALLOC_CTX *ctx, const struct tick *tick, const struct place *place)
{
    const int64_t left_ms = (tick->until_us - clock_monotonic_us()) / 1000;
    const int64_t linger_ms = tick->for_ever ? LINGER_MS : least(LINGER_MS, left_ms);

    if (!place->entry->lingers || linger_ms < LINGER_LEAST_MS)
        return NULL;
    return mem_printf(ctx, "--linger=%llds", (long long)(linger_ms / 1000));
}

static void start(const struct tick *tick, struct place *place)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *path = mem_printf(scratch, "%s/certctl-job-%s", tick->jobs_dir, place->entry->name);
    char *arguments[] = {path, linger_option(scratch, tick, place), NULL};
    const pid_t pid = fork();

    if (pid == 0) {
        (void)execv(path, arguments);
        _exit(127);
    }
    place->started_us = clock_monotonic_us();
    if (pid > 0) {
        place->pid = pid;
        return;
    }
    place->not_before_us = place->started_us + PAUSE_US;
    say_job(LOG_WARN, "job cannot be forked", place, "errno", errno);
}

static bool is_due(const struct rows *rows, const struct place *place)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (text_equal(row_text(rows, i, "job"), place->key))
            return true;
    }
    return false;
}

static struct rows *ask_due(TALLOC_CTX *ctx, const struct tick *tick, struct fault *fault)
{
    struct text_list keys = {0};

    for (size_t i = 0; i < tick->places_count; i++)
        text_list_add(ctx, &keys, tick->places[i].key);
    return db_query(ctx, tick->db, &tick_due, fault, TEXTS(&keys));
}

static int exit_status(const struct fault *fault)
{
    if (fault->reason == SCHEMA_MISMATCH)
        return EX_UNAVAILABLE;
    return fault->reason == DATABASE_UNREACHABLE ? EX_TEMPFAIL : 1;
}

/* The one query of the second, and the forks. Returns an exit status for those who look once. */
static int look(struct tick *tick)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    struct rows *rows = ask_due(scratch, tick, &fault);
    const int64_t now_us = clock_monotonic_us();

    if (!rows && !tick->database_away) {
        struct log_line line;
        log_begin(&line, LOG_WARN, "cannot ask what is due");
        log_fault(&line, &fault);
        log_end(&line);
    }
    tick->database_away = !rows;
    if (!rows)
        return exit_status(&fault);
    for (size_t i = 0; i < tick->places_count; i++) {
        struct place *place = &tick->places[i];
        if (place->pid == 0 && place->not_before_us <= now_us && is_due(rows, place) &&
            running(tick) < tick->parallel)
            start(tick, place);
    }
    return EX_OK;
}

/* Somebody asked for a run now: pauses do not hold. */
static void forget_pauses(struct tick *tick)
{
    for (size_t i = 0; i < tick->places_count; i++)
        tick->places[i].not_before_us = 0;
}

static void pass_on_stop(const struct tick *tick)
{
    for (size_t i = 0; i < tick->places_count; i++) {
        if (tick->places[i].pid > 0)
            (void)kill(tick->places[i].pid, SIGTERM);
    }
}

/* Children are waited for: each ends by its own limit, and cron holds their stderr. */
static void wait_for_children(struct tick *tick)
{
    bool told = false;

    for (reap(tick); running(tick) > 0; reap(tick)) {
        if (stop_signal && !told)
            pass_on_stop(tick);
        told = stop_signal != 0;
        const struct wake nobody = {.fd = -1};
        (void)wake_wait(&nobody, 200);
    }
}

static int tick_on(struct tick *tick)
{
    int status = look(tick);

    while (!stop_signal && (tick->for_ever || clock_monotonic_us() < tick->until_us)) {
        if (wake_wait(&tick->wake, 1000))
            forget_pauses(tick);
        reap(tick);
        if (!stop_signal && (tick->for_ever || clock_monotonic_us() < tick->until_us))
            status = look(tick);
    }
    wait_for_children(tick);
    return status;
}

static void usage(FILE *out)
{
    (void)fprintf(out,
                  "usage: certctl-tick [--for=DURATION] [--parallel=N] [--jobs-dir=DIR] [--all]\n"
                  "       [--check-statements] [--version] [--help]\n"
                  "\n"
                  "Asks once a second which jobs of this user are due, and starts them.\n"
                  "  --for=DURATION  leave after this time, like 58s; 0: one look; else for ever\n"
                  "  --parallel=N    at most N jobs at once (8)\n"
                  "  --jobs-dir=DIR  where the binaries are (the directory of this one)\n"
                  "  --all           the jobs of all users, where there is only one\n");
}

enum option_letter {
    OPTION_FOR = 1000,
    OPTION_PARALLEL,
    OPTION_JOBS_DIR,
    OPTION_ALL,
    OPTION_CHECK_STATEMENTS,
    OPTION_VERSION,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"for",              required_argument, NULL, OPTION_FOR             },
    {"parallel",         required_argument, NULL, OPTION_PARALLEL        },
    {"jobs-dir",         required_argument, NULL, OPTION_JOBS_DIR        },
    {"all",              no_argument,       NULL, OPTION_ALL             },
    {"check-statements", no_argument,       NULL, OPTION_CHECK_STATEMENTS},
    {"version",          no_argument,       NULL, OPTION_VERSION         },
    {"help",             no_argument,       NULL, OPTION_HELP            },
    {NULL,               0,                 NULL, 0                      },
};

struct wanted {
    bool all;
    bool version;
    bool help;
};

static bool take(int letter, const char *value, struct tick *tick, struct wanted *wanted)
{
    switch (letter) {
    case OPTION_FOR:
        tick->for_ever = false;
        return text_to_duration_ms(value, &tick->for_ms);
    case OPTION_PARALLEL:
        return text_to_integer(value, 1, PARALLEL_MAX, &tick->parallel);
    case OPTION_JOBS_DIR:
        tick->jobs_dir = value;
        return *value != '\0';
    case OPTION_ALL:
        wanted->all = true;
        return true;
    case OPTION_CHECK_STATEMENTS:
        tick->check_statements = true;
        return true;
    case OPTION_VERSION:
        wanted->version = true;
        return true;
    case OPTION_HELP:
        wanted->help = true;
        return true;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct tick *tick, struct wanted *wanted)
{
    for (;;) {
        const int letter = getopt_long(argc, argv, "", long_options, NULL);
        if (letter == -1)
            return optind == argc;
        if (!take(letter, optarg, tick, wanted))
            return false;
    }
}

/* Whose jobs: those of the user that we are. Where no such users exist there is one uid for all. */
static bool settle_user(TALLOC_CTX *ctx, bool all, struct tick *tick)
{
    const struct passwd *me = getpwuid(geteuid());
    const char *name = me ? mem_text(ctx, me->pw_name) : NULL;
    const char *role = job_role_of_user(name);

    if (!all && role) {
        tick->user = name;
        tick->role = role;
        return true;
    }
    tick->role = ALL_USERS_ROLE;
    return all || !getpwnam("certctl-jobs");
}

static const char *directory_of(TALLOC_CTX *ctx, const char *program)
{
    const char *slash = strrchr(program, '/');

    return slash ? mem_text_n(ctx, program, (size_t)(slash - program)) : "/usr/lib/certctl/jobs";
}

static void fill_places(TALLOC_CTX *ctx, struct tick *tick)
{
    char host[256] = "";
    size_t count = 0;
    const struct job_entry *entries = job_catalogue(&count);

    if (gethostname(host, sizeof host - 1) != 0 || !*host)
        memcpy(host, "localhost", sizeof "localhost");
    tick->places = mem_array(ctx, struct place, count);
    for (size_t i = 0; i < count; i++) {
        if (tick->user && !text_equal(tick->user, entries[i].user))
            continue;
        tick->places[tick->places_count++] = (struct place){
            .entry = &entries[i], .key = job_state_key(ctx, &entries[i], host)};
    }
}

static void open_database(TALLOC_CTX *ctx, struct tick *tick)
{
    const struct db_options options = {
        .url = settings.database_url,
        .role = tick->role,
        .application_name = "certctl-tick",
        .statement_timeout_ms = 5000,
        .unnamed_statements = true,
    };

    tick->db = db_new(ctx, &options);
}

/* Requests to run now are meant for the user of most jobs; the others look each second anyway. */
static void listen_for_wakes(TALLOC_CTX *ctx, struct tick *tick)
{
    struct fault fault = {0};
    struct log_line line;

    if (!text_equal(tick->role, ALL_USERS_ROLE) ||
        wake_listen(ctx, settings.runtime_dir, "tick", &tick->wake, &fault))
        return;
    log_begin(&line, LOG_WARN, "nobody can wake certctl-tick");
    log_fault(&line, &fault);
    log_end(&line);
}

static int check_statements(struct tick *tick)
{
    struct fault fault = {0};

    if (!db_connect(tick->db, &fault)) {
        (void)fprintf(stderr, "certctl-tick: %s\n", fault.detail);
        return exit_status(&fault);
    }
    return db_check_statements(tick->db, &fault) ? EX_OK : 1;
}

/* Jobs inherit what is laid on here, and lay on the rest. */
static void confine(void)
{
    static const struct confine_plan plan = {
        .any_file = true, .may_exec = true, .may_network = true};
    struct fault fault = {0};
    struct log_line line;

    if (confine_process(&plan, &settings, true, &fault))
        return;
    log_begin(&line, LOG_WARN, "confinement");
    log_fault(&line, &fault);
    log_end(&line);
}

static int run(struct tick *tick)
{
    settings_load_or_exit(&settings); /* first: nothing is owned yet where it exits */
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    int status;

    tick->until_us = clock_monotonic_us() + tick->for_ms * 1000;
    fill_places(ctx, tick);
    open_database(ctx, tick);
    if (tick->check_statements)
        return check_statements(tick);
    catch_signals();
    confine();
    listen_for_wakes(ctx, tick);
    status = tick_on(tick);
    wake_close(&tick->wake);
    return status;
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct tick tick = {.for_ever = true, .parallel = PARALLEL_DEFAULT, .wake = {.fd = -1}};
    struct wanted wanted = {0};

    tick.jobs_dir = directory_of(ctx, argv[0]);
    if (!parse(argc, argv, &tick, &wanted)) {
        usage(stderr);
        return EX_USAGE;
    }
    if (wanted.help || wanted.version) {
        if (wanted.help)
            usage(stdout);
        else
            (void)printf("certctl-tick %s\n", CERTCTL_VERSION);
        return EX_OK;
    }
    if (!settle_user(ctx, wanted.all, &tick)) {
        (void)fprintf(stderr, "certctl-tick: no job belongs to this user; --all takes them all\n");
        return EX_USAGE;
    }
    return run(&tick);
}
