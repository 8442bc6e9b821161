/* signer/certctl-signer.c: the process that holds the CA keys. 04 section 4.0, design section 1. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "core/auto.h"
#include "core/confine.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "signer/signer.h"

#include "core/banned.h"

#define SECURE_HEAP_OCTETS (64 * 1024)
#define SECURE_HEAP_LEAST  16
#define LISTEN_FD          0
#define SYSTEMD_FIRST_FD   3
/* Before a refused start ends, so that a supervisor does not spin. */
#define REFUSED_PAUSE_S 1
/* When descriptors or memory are out for a moment. */
#define ACCEPT_PAUSE_US 100000

static volatile sig_atomic_t leaving;

/* A signal that comes between the look at `leaving` and accept would be slept through: the alarm
 * ends accept once more, every second until we are gone. */
static void leave(int unused)
{
    (void)unused;
    leaving = 1;
    (void)alarm(1);
}

static _Noreturn void refuse_start(const struct fault *fault)
{
    struct log_line line;

    log_begin(&line, LOG_ERROR, "certctl-signer does not start");
    log_fault(&line, fault);
    log_end(&line);
    (void)sleep(REFUSED_PAUSE_S);
    exit(EX_CONFIG);
}

static void watch_signals(void)
{
    /* No SA_RESTART: accept must return. SIGQUIT: multiwatch 1.0.0 sends it for -s TERM. */
    struct sigaction action = {.sa_handler = leave};
    static const int ends[] = {SIGTERM, SIGINT, SIGQUIT, SIGALRM};

    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        (void)sigaction(ends[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

/* systemd passes the socket as descriptor 3 and says so; spawn-fcgi passes it as 0. */
static void take_passed_socket(void)
{
    const char *pid_text = getenv("LISTEN_PID");
    int64_t pid;

    if (!pid_text || !text_to_integer(pid_text, 1, INT32_MAX, &pid) || pid != getpid())
        return;
    if (text_equal(getenv("LISTEN_FDS"), "1") && dup2(SYSTEMD_FIRST_FD, LISTEN_FD) == LISTEN_FD)
        (void)close(SYSTEMD_FIRST_FD);
}

static int socket_option(int option)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(LISTEN_FD, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool check_socket(struct fault *fault)
{
    if (socket_option(SO_DOMAIN) != AF_UNIX || socket_option(SO_TYPE) != SOCK_STREAM ||
        socket_option(SO_ACCEPTCONN) != 1)
        return fault_set(fault, SETTING_INVALID, NULL,
                         "descriptor 0 is no listening unix stream socket: start it by spawn-fcgi "
                         "or a systemd socket unit");
    /* accept wakes one process where poll would wake all of them. */
    const int flags = fcntl(LISTEN_FD, F_GETFL);
    if (flags < 0 || fcntl(LISTEN_FD, F_SETFL, flags & ~O_NONBLOCK) != 0)
        return fault_set(fault, SETTING_INVALID, NULL, "descriptor 0 cannot be set to wait");
    return true;
}

/* Before the first key is read: no core dump, no ptrace by others of this user, no privileges
 * gained by exec. The sanitizers need /proc/self, which a process that is not dumpable lacks. */
static bool harden(struct fault *fault)
{
    const struct rlimit none = {0, 0};

    (void)umask(S_IWGRP | S_IRWXO);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
        return fault_set(fault, SETTING_INVALID, NULL, "the process cannot give up its rights");
#ifndef CERTCTL_SANITIZED
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fault_set(fault, SETTING_INVALID, NULL, "the process stays dumpable");
#endif
    const int heap = CRYPTO_secure_malloc_init(SECURE_HEAP_OCTETS, SECURE_HEAP_LEAST);
    if (heap == 0)
        return fault_set(fault, SETTING_INVALID, NULL, "there is no secure heap for the keys");
    if (heap == 2)
        log_message(LOG_WARN, "the secure heap cannot be locked or guarded: keys may reach the "
                              "swap space");
    return true;
}

/* Key directory and log; unix sockets, since names of users may come over one (nss). */
static const struct confine_path confine_paths[] = {
    {CONFINE_WRITE,  AT(settings, ca_key_dir),      NULL},
    {CONFINE_BESIDE, AT(settings, signer_log_path), NULL},
};
static const struct confine_plan confine_plan = {.paths = confine_paths,
                                                 .path_count = ARRAY_SIZE(confine_paths)};

/* A token's module is somebody else's code, which opens its own configuration, tokens and sockets,
 * and does so anew when the token was away: the settings name them, since nobody else can. */
static const struct confine_path confine_paths_token[] = {
    {CONFINE_WRITE,       AT(settings, ca_key_dir),      NULL},
    {CONFINE_BESIDE,      AT(settings, signer_log_path), NULL},
    {CONFINE_READ_BESIDE, AT(settings, pkcs11_module),   NULL},
    {CONFINE_READ_BESIDE, AT(settings, pkcs11_pin_file), NULL},
};
static const struct confine_plan confine_plan_token = {
    .paths = confine_paths_token,
    .path_count = ARRAY_SIZE(confine_paths_token),
    .list = AT(settings, pkcs11_paths),
};

static void confine(const struct settings *settings)
{
    const bool token = settings->pkcs11_module != NULL;
    const struct confine_plan *plan = token ? &confine_plan_token : &confine_plan;
    struct fault fault = {0};
    struct log_line line;

    if (confine_process(plan, settings, token && settings->pkcs11_network, &fault))
        return;
    log_begin(&line, LOG_WARN, "confinement");
    log_fault(&line, &fault);
    log_end(&line);
}

static struct signer *start(TALLOC_CTX *ctx, bool admin, struct fault *fault)
{
    struct signer *signer = mem_new(ctx, struct signer);
    struct settings *settings = &signer->settings;

    settings_load_or_exit(settings);
    if (!settings->ca_key_dir || !settings->signer_log_path)
        return fault_set(fault, SETTING_INVALID, NULL,
                         "CERTCTL_CA_KEY_DIR and CERTCTL_SIGNER_LOG_PATH must be set");
    take_passed_socket();
    if (!check_socket(fault) || !harden(fault))
        return NULL;
    signer->policy = peer_policy_now(admin);
    signer->keys = key_store_new(signer, settings);
    signer->log = signature_log_open(signer, settings->signer_log_path,
                                     settings->node_id ? settings->node_id : "", fault);
    return signer->log ? signer : NULL;
}

static void announce(const struct signer *signer)
{
    const char *name = peer_socket_name(&signer->policy);

    log_message(LOG_INFO, "certctl-signer %s serves %s, keys in %s", CERTCTL_VERSION, name,
                signer->settings.ca_key_dir);
    if (signer->policy.one_uid)
        log_message(LOG_WARN,
                    "running as uid %u and not as certctl-signer: every process of that user may "
                    "ask for anything on %s and can read the CA keys; nothing separates the "
                    "responders from them",
                    signer->policy.own, name);
}

/* False: there is nothing to wait for any more. */
static bool accept_again(int error)
{
    if (error == EINTR || error == ECONNABORTED || error == EAGAIN)
        return true;
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
        return false;
    log_message(LOG_ERROR, "accept: %s", strerror(error));
    (void)usleep(ACCEPT_PAUSE_US);
    return true;
}

static int serve(struct signer *signer)
{
    while (!leaving) {
        AUTO_FD connection = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);
        if (connection >= 0) {
            serve_connection(signer, connection);
        } else if (!accept_again(errno)) {
            log_message(LOG_ERROR, "accept: %s", strerror(errno));
            return EX_OSERR;
        }
    }
    return EX_OK;
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *root = talloc_new(NULL);
    struct fault fault = {0};
    const bool admin = argc == 2 && text_equal(argv[1], "--admin");

    if (argc > 1 && !admin) {
        (void)fputs("usage: certctl-signer [--admin]   (a listening unix socket on descriptor 0)\n",
                    stderr);
        return EX_USAGE;
    }
    struct signer *signer = start(root, admin, &fault);
    if (!signer)
        refuse_start(&fault);
    watch_signals();
    confine(&signer->settings);
    announce(signer);
    return serve(signer);
}
