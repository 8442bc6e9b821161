/* lib/core/confine.c: no new privileges, Landlock, seccomp. Design section 5.
 *
 * Landlock has no library: three system calls, of which older headers know a part. What a kernel
 * offers is asked of it (landlock(7), ABI 1 is of 5.13). */
#include "core/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

/* linux/landlock.h of 6.15, as far as we use it. Attributes may be shorter than the kernel's. */
struct landlock_ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};
struct landlock_beneath {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

#define LANDLOCK_ASK_ABI      1u
#define LANDLOCK_PATH_BENEATH 1

#define FILE_EXECUTE     (UINT64_C(1) << 0)
#define FILE_WRITE       (UINT64_C(1) << 1)
#define FILE_READ        (UINT64_C(1) << 2)
#define FILE_READ_DIR    (UINT64_C(1) << 3)
#define FILE_REMOVE_DIR  (UINT64_C(1) << 4)
#define FILE_REMOVE_FILE (UINT64_C(1) << 5)
#define FILE_MAKE_CHAR   (UINT64_C(1) << 6)
#define FILE_MAKE_DIR    (UINT64_C(1) << 7)
#define FILE_MAKE_REG    (UINT64_C(1) << 8)
#define FILE_MAKE_SOCK   (UINT64_C(1) << 9)
#define FILE_MAKE_FIFO   (UINT64_C(1) << 10)
#define FILE_MAKE_BLOCK  (UINT64_C(1) << 11)
#define FILE_MAKE_SYM    (UINT64_C(1) << 12)
#define FILE_REFER       (UINT64_C(1) << 13) /* ABI 2 */
#define FILE_TRUNCATE    (UINT64_C(1) << 14) /* ABI 3 */
#define FILE_IOCTL       (UINT64_C(1) << 15) /* ABI 5, devices */
#define TCP_BOTH         UINT64_C(3)         /* ABI 4: bind and connect */
#define SCOPE_ABSTRACT   UINT64_C(1)         /* ABI 6: unix sockets without a path */
#define SCOPE_SIGNALS    UINT64_C(2)         /* likewise: to processes outside */

#define FILE_BASE   ((FILE_MAKE_SYM << 1) - 1)
#define RIGHTS_READ (FILE_READ | FILE_READ_DIR)
#define RIGHTS_WRITE                                                                               \
    (RIGHTS_READ | FILE_WRITE | FILE_REMOVE_DIR | FILE_REMOVE_FILE | FILE_MAKE_DIR |               \
     FILE_MAKE_REG | FILE_MAKE_SOCK | FILE_MAKE_SYM | FILE_REFER | FILE_TRUNCATE)
/* The only ones that a rule for something else than a directory may name. */
#define RIGHTS_OF_A_FILE (FILE_EXECUTE | FILE_WRITE | FILE_READ | FILE_TRUNCATE | FILE_IOCTL)

/* Names of users and hosts, libraries, trust anchors, zones; what libc and OpenSSL look at. Files
 * in /etc are replaced by rename, and a rule is bound to what it was given: so all of /etc, whose
 * secrets are kept by their modes. */
static const struct confine_path system_paths[] = {
    {CONFINE_READ,  CONFINE_FIXED, "/etc"                   },
    {CONFINE_READ,  CONFINE_FIXED, "/usr"                   },
    {CONFINE_READ,  CONFINE_FIXED, "/lib"                   },
    {CONFINE_READ,  CONFINE_FIXED, "/lib64"                 },
    {CONFINE_READ,  CONFINE_FIXED, "/run/systemd/resolve"   },
    {CONFINE_READ,  CONFINE_FIXED, "/run/systemd/userdb"    },
    {CONFINE_READ,  CONFINE_FIXED, "/var/lib/sss"           },
    {CONFINE_READ,  CONFINE_FIXED, "/dev/urandom"           },
    {CONFINE_READ,  CONFINE_FIXED, "/proc/self"             },
    {CONFINE_READ,  CONFINE_FIXED, "/proc/sys"              },
    {CONFINE_READ,  CONFINE_FIXED, "/sys/devices/system/cpu"},
    {CONFINE_WRITE, CONFINE_FIXED, "/dev/null"              },
};

static bool left_out(struct fault *fault, const char *layer, const char *call)
{
    fault_set(fault, CONFINEMENT_PARTIAL, NULL, "this process is not confined by %s", layer);
    return fault_cause_errno(fault, call);
}

bool confine_privileges(struct fault *fault)
{
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
        return left_out(fault, "prctl", "prctl");
#ifndef CERTCTL_SANITIZED
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return left_out(fault, "prctl", "PR_SET_DUMPABLE");
#endif
    return true;
}

static uint64_t files_of_abi(long abi)
{
    return FILE_BASE | (abi >= 2 ? FILE_REFER : 0) | (abi >= 3 ? FILE_TRUNCATE : 0) |
           (abi >= 5 ? FILE_IOCTL : 0);
}

static int ruleset_new(const struct confine_plan *plan, bool network, uint64_t *ret_files)
{
    const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_ASK_ABI);
    struct landlock_ruleset ruleset = {0};

    if (abi < 1)
        return -1;
    ruleset.files = files_of_abi(abi) & ~(plan->may_exec ? FILE_EXECUTE : 0);
    if (abi >= 4 && !plan->may_network && !network)
        ruleset.network = TCP_BOTH;
    if (abi >= 6)
        ruleset.scopes = network ? SCOPE_SIGNALS : SCOPE_SIGNALS | SCOPE_ABSTRACT;
    *ret_files = ruleset.files;
    const size_t size = abi >= 6 ? sizeof(ruleset) : (abi >= 4 ? 2 : 1) * sizeof(uint64_t);
    return (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0); /* a descriptor */
}

static bool allow(int ruleset, uint64_t handled, enum confine_access access, int fd)
{
    const bool reads = access == CONFINE_READ || access == CONFINE_READ_BESIDE;
    struct landlock_beneath rule = {.allowed = reads ? RIGHTS_READ : RIGHTS_WRITE, .fd = fd};
    struct stat status;

    if (fstat(fd, &status) != 0)
        return false;
    if (!S_ISDIR(status.st_mode))
        rule.allowed &= RIGHTS_OF_A_FILE;
    rule.allowed &= handled;
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) == 0;
}

static char *directory_of(TALLOC_CTX *ctx, const char *path)
{
    return dirname(mem_text(ctx, path)); /* which writes into the copy */
}

/* What this host does not have is nobody's loss. */
static bool allow_path(int ruleset, uint64_t handled, enum confine_access access, const char *path)
{
    AUTO_FD fd = open(path, O_PATH | O_CLOEXEC);

    return fd < 0 || allow(ruleset, handled, access, fd);
}

/* A place that is not there yet will be made in the directory above it. */
static bool allow_place(int ruleset, uint64_t handled, enum confine_access access, const char *path)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stat status;
    const bool beside = access == CONFINE_BESIDE || access == CONFINE_READ_BESIDE;
    const bool above = beside || stat(path, &status) != 0;

    return allow_path(ruleset, handled, access, above ? directory_of(scratch, path) : path);
}

static const char *path_text(TALLOC_CTX *ctx, const struct confine_path *path,
                             const struct settings *settings)
{
    const char *rest = path->rest ? path->rest : "";
    const char *value = NULL;

    if (path->setting == CONFINE_FIXED)
        return rest;
    memcpy(&value, (const char *)settings + path->setting, sizeof(value)); /* counts octets */
    return value ? mem_printf(ctx, "%s%s", value, rest) : NULL;
}

static bool allow_list(int ruleset, uint64_t handled, const struct text_list *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        if (!allow_path(ruleset, handled, CONFINE_WRITE, paths->items[i]))
            return false;
    return true;
}

static bool allow_plan(int ruleset, uint64_t handled, const struct confine_plan *plan,
                       const struct settings *settings)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(system_paths); i++)
        if (!allow_path(ruleset, handled, system_paths[i].access, system_paths[i].rest))
            return false;
    for (size_t i = 0; i < plan->path_count; i++) {
        const char *path = path_text(scratch, &plan->paths[i], settings);
        if (path && !allow_place(ruleset, handled, plan->paths[i].access, path))
            return false;
    }
    struct text_list list = {0};
    if (plan->list != 0)
        memcpy(&list, (const char *)settings + plan->list, sizeof(list)); /* counts octets */
    return allow_list(ruleset, handled, &list) &&
           allow_list(ruleset, handled, &settings->confinement_paths);
}

bool confine_files(const struct confine_plan *plan, const struct settings *settings, bool network,
                   struct fault *fault)
{
    uint64_t handled = 0;

    if (plan->any_file)
        return true;
    AUTO_FD ruleset = ruleset_new(plan, network, &handled);
    if (ruleset < 0)
        return left_out(fault, "Landlock", "landlock_create_ruleset");
    if (!allow_plan(ruleset, handled, plan, settings))
        return left_out(fault, "Landlock", "landlock_add_rule");
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        return left_out(fault, "Landlock", "landlock_restrict_self");
    return true;
}

/* By group. Names that this architecture lacks are passed over. */
static const char *const denied_calls[] = {
    /* other processes */
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    /* file systems */
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "swapon", "swapoff", "quotactl",
    "quotactl_fd", "open_by_handle_at", "name_to_handle_at", "fanotify_init", "acct",
    /* the kernel's own code */
    "init_module", "finit_module", "delete_module", "create_module", "kexec_load",
    "kexec_file_load", "reboot", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
    "io_uring_enter", "io_uring_register", "lookup_dcookie", "nfsservctl", "_sysctl", "syslog",
    /* keyrings */
    "keyctl", "add_key", "request_key",
    /* namespaces; clone is looked at by its flags */
    "unshare", "setns",
    /* clocks, names, ports */
    "clock_settime", "clock_settime64", "settimeofday", "stime", "adjtimex", "clock_adjtime",
    "clock_adjtime64", "sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "vhangup",
    "personality"};

static const char *const exec_calls[] = {"execve", "execveat"};

static const uint64_t namespace_flags[] = {
    0x00020000, /* CLONE_NEWNS */
    0x02000000, /* CLONE_NEWCGROUP */
    0x04000000, /* CLONE_NEWUTS */
    0x08000000, /* CLONE_NEWIPC */
    0x10000000, /* CLONE_NEWUSER */
    0x20000000, /* CLONE_NEWPID */
    0x40000000, /* CLONE_NEWNET */
};

static int deny(scmp_filter_ctx filter, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int number = seccomp_syscall_resolve_name(names[i]);
        if (number == __NR_SCMP_ERROR)
            continue;
        const int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
        if (result != 0)
            return result;
    }
    return 0;
}

/* clone3 hides its flags behind a pointer: libc takes clone when it is told that there is none. */
static int deny_namespaces(scmp_filter_ctx filter)
{
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(namespace_flags); i++)
        result = seccomp_rule_add(
            filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]));
    return result;
}

static int deny_family(scmp_filter_ctx filter, enum scmp_compare compare, unsigned family)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                            SCMP_A0(compare, family, 0));
}

/* libc asks netlink which addresses this host has before it resolves a name. */
static int deny_sockets(scmp_filter_ctx filter, bool network)
{
    int result = 0;

    if (!network)
        return deny_family(filter, SCMP_CMP_NE, AF_UNIX);
    for (unsigned family = 0; result == 0 && family < AF_MAX; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
            result = deny_family(filter, SCMP_CMP_EQ, family);
    return result == 0 ? deny_family(filter, SCMP_CMP_GE, AF_MAX) : result;
}

/* Typing into a terminal that is not ours. The kernel looks at 32 bits of the request. */
static int deny_terminals(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, TIOCSTI));
}

static int fill(scmp_filter_ctx filter, const struct confine_plan *plan, bool network)
{
    int result = deny(filter, denied_calls, ARRAY_SIZE(denied_calls));

    if (result == 0 && !plan->may_exec)
        result = deny(filter, exec_calls, ARRAY_SIZE(exec_calls));
    if (result == 0)
        result = deny_namespaces(filter);
    if (result == 0)
        result = deny_sockets(filter, plan->may_network || network);
    if (result == 0)
        result = deny_terminals(filter);
    return result == 0 ? seccomp_load(filter) : result;
}

bool confine_calls(const struct confine_plan *plan, bool network, struct fault *fault)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (!filter)
        return left_out(fault, "seccomp", "seccomp_init");
    const int result = fill(filter, plan, network);
    seccomp_release(filter);
    if (result == 0)
        return true;
    errno = -result;
    return left_out(fault, "seccomp", "seccomp_load");
}

#ifndef CERTCTL_SANITIZED
static bool refreshes_by_port(const struct confine_plan *plan, const struct settings *settings)
{
    const char *place = settings->ocsp_refresh_socket;
    return plan->may_refresh && place && *place && *place != '/';
}
#endif

bool confine_process(const struct confine_plan *plan, const struct settings *settings, bool network,
                     struct fault *fault)
{
    if (!confine_privileges(fault))
        return false;
#ifdef CERTCTL_SANITIZED
    (void)plan, (void)settings, (void)network;
    return true;
#else
    if (!settings->confinement) {
        fault_set(fault, CONFINEMENT_PARTIAL, NULL, "this process is not confined");
        return fault_cause(fault, "CERTCTL_CONFINEMENT is off");
    }
    /* Both, whatever comes of the first. */
    const bool dials = network || refreshes_by_port(plan, settings);
    const bool files = confine_files(plan, settings, dials, fault);
    return confine_calls(plan, dials, fault) && files;
#endif
}
