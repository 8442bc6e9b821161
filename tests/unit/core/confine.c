/* tests/unit/core/confine.c: what a confined process cannot do any more. Each case is a child of
 * its own, which tells by its exit status; the layers are laid on singly, so that builds with
 * sanitizers run them too. */
#include "core/confine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define LANDLOCK_IS_MISSING 77

static char inside[] = "/tmp/certctl-inside-XXXXXX";
static char outside[] = "/tmp/certctl-outside-XXXXXX";
static struct settings settings;
static char *kept; /* what the settings point to hangs on it */

static const struct confine_path paths[] = {
    {CONFINE_READ,   AT(settings, ca_key_dir),      NULL   },
    {CONFINE_WRITE,  AT(settings, ca_key_dir),      "/made"},
    {CONFINE_BESIDE, AT(settings, signer_log_path), NULL   },
};
static const struct confine_plan plan = {.paths = paths, .path_count = ARRAY_SIZE(paths)};
static const struct confine_plan listed = {
    .paths = paths, .path_count = ARRAY_SIZE(paths), .list = AT(settings, pkcs11_paths)};
static const struct confine_plan networked = {.may_network = true};
static const struct confine_plan starter = {.any_file = true, .may_exec = true};

/* ca_key_dir is `inside`; `made` is there already, the log lies in its directory "log". */
static void make_places(void)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_assert(mkdtemp(inside) && mkdtemp(outside));
    cr_assert_eq(mkdir(mem_printf(scratch, "%s/made", inside), 0700), 0);
    cr_assert_eq(mkdir(mem_printf(scratch, "%s/log", inside), 0700), 0);
    kept = mem_array(NULL, char, 1);
    settings_defaults(&settings);
    settings.ca_key_dir = inside;
    settings.signer_log_path = mem_printf(kept, "%s/log/signer.log", inside);
}

static void remove_places(void)
{
    static const char *const made[] = {"made/file",      "made/socket", "made",
                                       "log/signer.log", "log",         "read"};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(made); i++)
        (void)remove(mem_printf(scratch, "%s/%s", inside, made[i]));
    (void)remove(inside);
    (void)remove(mem_printf(scratch, "%s/file", outside));
    (void)remove(outside);
    TALLOC_FREE(kept);
}

TestSuite(confine, .init = make_places, .fini = remove_places);

/* True when the child says so. _exit: what may not be traced is not searched for leaks. */
static bool child(void (*lay)(void), bool (*does)(void))
{
    int status = 0;
    const pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        lay();
        _exit(does() ? 1 : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "the child died by %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == LANDLOCK_IS_MISSING)
        cr_skip_test("this kernel has no Landlock");
    return WEXITSTATUS(status) == 1;
}

static void nothing(void)
{
}

static void files(void)
{
    struct fault fault = {0};

    if (!confine_privileges(&fault) || !confine_files(&plan, &settings, false, &fault))
        _exit(LANDLOCK_IS_MISSING);
}

/* What a token's module needs is named by a setting. */
static void files_of_a_list(void)
{
    static char *items[] = {outside};
    struct fault fault = {0};

    settings.pkcs11_paths = (struct text_list){items, ARRAY_SIZE(items)};
    if (!confine_privileges(&fault) || !confine_files(&listed, &settings, false, &fault))
        _exit(LANDLOCK_IS_MISSING);
}

static void calls(void)
{
    struct fault fault = {0};

    if (!confine_privileges(&fault) || !confine_calls(&plan, false, &fault))
        _exit(2);
}

static void calls_with_network(void)
{
    struct fault fault = {0};

    if (!confine_privileges(&fault) || !confine_calls(&networked, false, &fault))
        _exit(2);
}

static void calls_with_exec(void)
{
    struct fault fault = {0};

    if (!confine_privileges(&fault) || !confine_files(&starter, &settings, false, &fault) ||
        !confine_calls(&starter, false, &fault))
        _exit(2);
}

/* As certctl-tick's jobs, under what certctl-tick laid on. */
static void calls_twice(void)
{
    calls_with_exec();
    calls();
}

static bool opens(const char *directory, const char *name, int flags)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO_FD fd = open(mem_printf(scratch, "%s/%s", directory, name), flags | O_CLOEXEC, 0600);

    return fd >= 0 || (errno == ENOENT && !(flags & O_CREAT));
}

static bool reads_inside(void)
{
    return opens(inside, "read", O_RDONLY);
}
static bool writes_inside(void)
{
    return opens(inside, "read", O_WRONLY | O_CREAT);
}
static bool writes_made(void)
{
    return opens(inside, "made/file", O_RDWR | O_CREAT | O_TRUNC);
}
static bool writes_log(void)
{
    return opens(inside, "log/signer.log", O_WRONLY | O_CREAT | O_APPEND);
}
static bool reads_outside(void)
{
    return opens(outside, "", O_RDONLY | O_DIRECTORY);
}
static bool writes_outside(void)
{
    return opens(outside, "file", O_WRONLY | O_CREAT);
}
static bool reads_above(void)
{
    return opens("/tmp", "", O_RDONLY | O_DIRECTORY);
}
static bool reads_users(void)
{
    return opens("/etc", "passwd", O_RDONLY);
}
static bool reads_own_size(void)
{
    return opens("/proc/self", "statm", O_RDONLY);
}
static bool reads_others_memory(void)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return opens(mem_printf(scratch, "/proc/%d", (int)getppid()), "status", O_RDONLY);
}
static bool renames_out(void)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return rename(mem_printf(scratch, "%s/made/file", inside),
                  mem_printf(scratch, "%s/file", outside)) == 0;
}

static bool binds(void)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const char *path = mem_printf(scratch, "%s/made/socket", inside);

    memcpy(address.sun_path, path, strlen(path) + 1);
    return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool execs(void)
{
    static char program[] = "/bin/true";
    char *const arguments[] = {program, NULL};
    int status = 1;
    const pid_t pid = fork();

    if (pid == 0) {
        (void)execv(program, arguments);
        _exit(126);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool has_family(int family)
{
    AUTO_FD fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0;
}
static bool has_unix(void)
{
    return has_family(AF_UNIX);
}
static bool has_ipv4(void)
{
    return has_family(AF_INET);
}
static bool has_ipv6(void)
{
    return has_family(AF_INET6) || errno == EAFNOSUPPORT;
}
static bool has_packets(void)
{
    AUTO_FD fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 || errno != EAFNOSUPPORT;
}
/* The kernel looks at 32 bits of it, the filter at 64. */
static bool has_family_with_high_bits(void)
{
    AUTO_FD fd = (int)syscall(SYS_socket, (1UL << 32) | AF_INET, SOCK_DGRAM, 0);
    return fd >= 0;
}

static bool traces(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}
static bool makes_namespace(void)
{
    return unshare(CLONE_NEWUSER) == 0;
}
static bool clones_namespace(void)
{
    const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return pid > 0;
}
static bool mounts(void)
{
    return mount("none", outside, "tmpfs", 0, NULL) == 0 || errno != EPERM;
}
static bool uses_keyring(void)
{
    return syscall(SYS_keyctl, 0, -3, 0) >= 0 || errno != EPERM;
}
static bool loads_programs(void)
{
    return syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno != EPERM;
}
static bool uses_rings(void)
{
    return syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno != EPERM;
}

static void *answer(void *argument)
{
    return argument;
}
/* libunbound and libcurl have threads; libc begins with clone3. */
static bool has_threads(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, answer, NULL) == 0 && pthread_join(thread, NULL) == 0;
}
static bool gains_nothing(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static const struct {
    const char *about;
    void (*lay)(void);
    bool (*does)(void);
    bool may;
} cases[] = {
    {"without it a file outside can be read", nothing,            reads_outside,             true },
    {"without it programs can be started",    nothing,            execs,                     true },
    {"without it there is IPv4",              nothing,            has_ipv4,                  true },
    {"what the plan has can be read",         files,              reads_inside,              true },
    {"and is not written to",                 files,              writes_inside,             false},
    {"what may be written can be made",       files,              writes_made,               true },
    {"beside a file that is replaced, too",   files,              writes_log,                true },
    {"no directory outside can be read",      files,              reads_outside,             false},
    {"nothing outside can be made",           files,              writes_outside,            false},
    {"nothing can be moved outside",          files,              renames_out,               false},
    {"what a setting names can be made",      files_of_a_list,    writes_outside,            true },
    {"and nothing above it be read",          files_of_a_list,    reads_above,               false},
    {"users have their names",                files,              reads_users,               true },
    {"a worker knows its size",               files,              reads_own_size,            true },
    {"and looks at no other process",         files,              reads_others_memory,       false},
    {"wake sockets can be bound",             files,              binds,                     true },
    {"Landlock forbids programs too",         files,              execs,                     false},
    {"no program can be started",             calls,              execs,                     false},
    {"unix sockets there are",                calls,              has_unix,                  true },
    {"no IPv4",                               calls,              has_ipv4,                  false},
    {"no other way to write the family",      calls,              has_family_with_high_bits, false},
    {"nothing is traced",                     calls,              traces,                    false},
    {"no namespace",                          calls,              makes_namespace,           false},
    {"no namespace by clone",                 calls,              clones_namespace,          false},
    {"nothing is mounted",                    calls,              mounts,                    false},
    {"no keyring",                            calls,              uses_keyring,              false},
    {"no bpf",                                calls,              loads_programs,            false},
    {"no io_uring, which passes filters by",  calls,              uses_rings,                false},
    {"threads there are",                     calls,              has_threads,               true },
    {"privileges are not gained",             calls,              gains_nothing,             true },
    {"with the network there is IPv4",        calls_with_network, has_ipv4,                  true },
    {"and IPv6",                              calls_with_network, has_ipv6,                  true },
    {"and no family else",                    calls_with_network, has_packets,               false},
    {"nor by high bits",                      calls_with_network, has_family_with_high_bits, false},
    {"who starts others can",                 calls_with_exec,    execs,                     true },
    {"and may not trace them",                calls_with_exec,    traces,                    false},
    {"whom it starts can lay on the rest",    calls_twice,        execs,                     false},
};

Test(confine, holds)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect_eq(child(cases[i].lay, cases[i].does), cases[i].may, "%s", cases[i].about);
}

/* A place that nobody made yet is made in the directory above it, and nowhere else. */
static void files_before_they_are_there(void)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    (void)rmdir(mem_printf(scratch, "%s/made", inside));
    files();
    (void)mkdir(mem_printf(scratch, "%s/made", inside), 0700);
}

Test(confine, lets_a_missing_directory_be_made)
{
    cr_expect(child(files_before_they_are_there, writes_made));
    cr_expect(!child(files_before_they_are_there, writes_outside));
}

/* CERTCTL_CONFINEMENT_PATHS, for tokens and certificates of the database. */
static void files_with_more(void)
{
    static char *items[] = {outside};

    settings.confinement_paths = (struct text_list){items, 1};
    files();
}

Test(confine, takes_further_paths)
{
    cr_expect(child(files_with_more, writes_outside));
}
