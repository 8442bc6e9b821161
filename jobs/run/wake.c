/* jobs/run/wake.c: the wake socket of a process that stays (07 section 1.8, 00 decision 44). */
#include "jobs/run/wake.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

static bool bind_in_place(int fd, const struct sockaddr_un *address, struct fault *fault)
{
    /* A stale one would make bind fail for ever. Its owner is gone: callers hold the host lock. */
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return fault_set(fault, FILE_FAILED, NULL, "the stale wake socket cannot be removed") ||
               fault_cause_errno(fault, address->sun_path);
    /* The cast is the sockets interface's own. */
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        chmod(address->sun_path, 0660) != 0)
        return fault_set(fault, FILE_FAILED, NULL, "the wake socket cannot be bound") ||
               fault_cause_errno(fault, address->sun_path);
    return true;
}

bool wake_listen(TALLOC_CTX *ctx, const char *runtime_dir, const char *name, struct wake *ret_wake,
                 struct fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *directory = mem_printf(ctx, "%s/wake", runtime_dir);
    char *path = mem_printf(ctx, "%s/%s.sock", directory, name);
    struct stat status;

    *ret_wake = (struct wake){.fd = -1, .path = path};
    if (strlen(path) >= sizeof address.sun_path)
        return fault_set(fault, FILE_FAILED, NULL, "the path of the wake socket is too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    /* Where the package's tmpfiles did not make it; a failure shows at bind. */
    (void)mkdir(directory, 02770);

    AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fault_set(fault, FILE_FAILED, NULL, "no socket") ||
               fault_cause_errno(fault, "socket");
    if (!bind_in_place(fd, &address, fault))
        return false;
    if (stat(path, &status) == 0) {
        ret_wake->device = status.st_dev;
        ret_wake->inode = status.st_ino;
    }
    ret_wake->fd = TAKE_FD(fd);
    return true;
}

bool wake_wait(const struct wake *wake, int64_t timeout_ms)
{
    struct pollfd poll_fd = {.fd = wake->fd, .events = POLLIN};
    const int64_t bounded = most(INT64_C(0), least(timeout_ms, INT64_C(60000)));
    char datagram[16];
    bool woken = false;

    if (poll(&poll_fd, 1, (int)bounded) <= 0) /* bounded above: fits */
        return false;
    while (recv(wake->fd, datagram, sizeof datagram, MSG_DONTWAIT) >= 0)
        woken = true;
    return woken;
}

void wake_close(struct wake *wake)
{
    struct stat status;

    if (wake->fd < 0)
        return;
    (void)close(wake->fd);
    wake->fd = -1;
    if (stat(wake->path, &status) == 0 && status.st_dev == wake->device &&
        status.st_ino == wake->inode)
        (void)unlink(wake->path);
}
