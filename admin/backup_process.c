/* admin/backup_process.c: PostgreSQL's own programs, and connections as its superuser. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup.h"
#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define SUPERUSER "postgres"

struct program {
    const char *name;
    pid_t pid; /* 0: it has ended */
    int output;
};

static const struct passwd *superuser(void)
{
    return geteuid() == 0 ? getpwnam(SUPERUSER) : NULL;
}

/* The kernel tells the server who connects by the effective user. */
static bool be(uid_t uid, struct fault *fault)
{
    if (seteuid(uid) == 0)
        return true;
    fault_set(fault, INTERNAL, NULL, "the user cannot be changed");
    return fault_cause_errno(fault, "seteuid");
}

const char *backup_database_name(TALLOC_CTX *ctx, const char *url)
{
    PQconninfoOption *parsed = PQconninfoParse(url, NULL);
    const char *name = NULL;

    for (const PQconninfoOption *each = parsed; each && each->keyword; each++)
        if (text_equal(each->keyword, "dbname") && each->val && *each->val)
            name = mem_text(ctx, each->val);
    PQconninfoFree(parsed);
    return name ? name : "certctl";
}

static char *add_quoted(char *text, const char *name, const char *value)
{
    text = mem_append(text, "%s%s='", *text ? " " : "", name);
    for (; *value; value++)
        text = mem_append(text, "%s%c", *value == '\'' || *value == '\\' ? "\\" : "", *value);
    return mem_append(text, "'");
}

const char *backup_url_of(TALLOC_CTX *ctx, const char *url, const char *database)
{
    PQconninfoOption *parsed = PQconninfoParse(url, NULL);
    char *text = mem_text(ctx, "");

    for (const PQconninfoOption *each = parsed; each && each->keyword; each++)
        if (each->val && !text_equal(each->keyword, "dbname"))
            text = add_quoted(text, each->keyword, each->val);
    PQconninfoFree(parsed);
    return add_quoted(text, "dbname", database);
}

struct db *backup_connect(TALLOC_CTX *ctx, const struct settings *settings, const char *database,
                          struct fault *fault)
{
    const struct passwd *user = superuser();
    const struct db_options options = {
        .url = backup_url_of(ctx, settings->database_url, database),
        .role = SUPERUSER,
        .application_name = "certctl-admin backup",
        .unnamed_statements = true,
    };
    struct db *db = db_new(ctx, &options);

    if (user && !be(user->pw_uid, fault))
        return NULL;
    const bool connected = db_pin(db, fault);
    if (user && !be(0, fault))
        return NULL;
    return connected ? db : NULL;
}

/* The connection goes along in libpq's own variables, since arguments can be read by everybody. */
static void set_environment(const char *url)
{
    PQconninfoOption *parsed = PQconninfoParse(url, NULL);

    /* Secrets of others, which the superuser of the database may not even read. */
    (void)unsetenv("CERTCTL_CONFIG_ENCRYPTION_KEY_FILE");
    (void)unsetenv("CERTCTL_CONFIG_ENCRYPTION_KEY_PREVIOUS_FILE");
    (void)setenv("PGUSER", SUPERUSER, 1);
    (void)setenv("PGOPTIONS", "-c statement_timeout=0 -c lock_timeout=0", 1);
    for (const PQconninfoOption *each = parsed; each && each->keyword; each++)
        if (each->val && each->envvar)
            (void)setenv(each->envvar, each->val, 1);
    PQconninfoFree(parsed);
}

static _Noreturn void become_and_run(const struct settings *settings, const char *const *arguments,
                                     int input, int output)
{
    const struct passwd *user = superuser();
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* it ends with us, kill -9 or not */
    if (user && (initgroups(user->pw_name, user->pw_gid) != 0 ||
                 setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
                 setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0))
        _exit(126);
    if (null < 0 || dup2(input >= 0 ? input : null, 0) < 0 ||
        dup2(output >= 0 ? output : null, 1) < 0 || chdir("/") != 0)
        _exit(126);
    /* A change of user clears it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    set_environment(settings->database_url);
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    size_t count = 0;
    while (arguments[count])
        count++;
    char **list = mem_array(scratch, char *, count + 1);
    for (size_t i = 0; i < count; i++)
        list[i] = mem_text(scratch, arguments[i]);
    (void)execvp(list[0], list);
    (void)fprintf(stderr, "certctl-admin: %s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

static int program_forget(struct program *program)
{
    if (program->output >= 0)
        (void)close(program->output);
    if (program->pid > 0) {
        (void)kill(program->pid, SIGTERM);
        (void)waitpid(program->pid, NULL, 0);
    }
    return 0;
}

static void *not_started(const char *name, struct fault *fault)
{
    fault_set(fault, INTERNAL, NULL, "%s cannot be started", name);
    return fault_cause_errno(fault, "fork");
}

struct program *program_start(TALLOC_CTX *ctx, const struct settings *settings,
                              const char *const *arguments, int input, int *ret_output,
                              struct fault *fault)
{
    int ends[2] = {-1, -1};

    if (ret_output && pipe2(ends, O_CLOEXEC) != 0)
        return not_started(arguments[0], fault);
    (void)fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0)
        become_and_run(settings, arguments, input, ends[1]);
    if (ends[1] >= 0)
        (void)close(ends[1]);
    if (pid < 0) {
        if (ends[0] >= 0)
            (void)close(ends[0]);
        return not_started(arguments[0], fault);
    }
    struct program *program = mem_new(ctx, struct program);
    *program = (struct program){mem_text(program, arguments[0]), pid, ends[0]};
    talloc_set_destructor(program, program_forget);
    if (ret_output)
        *ret_output = ends[0];
    return program;
}

bool program_end(struct program *program, struct fault *fault)
{
    int status = 0;
    const pid_t pid = program->pid;

    program->pid = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return not_started(program->name, fault);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return fault_set(fault, INTERNAL, NULL,
                         "%s is not here: the client programs of PostgreSQL are needed",
                         program->name);
    return fault_set(fault, DATABASE_FAILED, NULL, "%s failed; what it said stands above",
                     program->name);
}

bool program_run(const struct settings *settings, const char *const *arguments, int input,
                 struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct program *program = program_start(scratch, settings, arguments, input, NULL, fault);

    return program && program_end(program, fault);
}

/* A program of its own, beside this one: its statements are not ours to send. */
bool backup_migrate(const struct settings *settings, const char *database, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char self[PATH_MAX] = "";
    const ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    const char *slash = size > 0 ? strrchr(self, '/') : NULL;
    const char *url = backup_url_of(scratch, settings->database_url, database);

    if (!slash || setenv("CERTCTL_DATABASE_URL", url, 1) != 0)
        return fault_set(fault, INTERNAL, NULL, "certctl-migrate cannot be found");
    const char *const arguments[] = {
        mem_printf(scratch, "%.*s/certctl-migrate", (int)(slash - self), self), "--up", NULL};
    return program_run(settings, arguments, -1, fault);
}
