/* tests/fault/seam.c: breaks the n-th call that a shipped binary makes through a seam (database,
 * signer, network, file), kills it there, or shifts its clock. Loaded by LD_PRELOAD; README.md. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/seam.h"

#include "core/banned.h"

/* The same function in the library behind us: libc, or a sanitizer's in front of it. */
#define REAL(name) ((__typeof__(&name))real(#name))
#define FDS        1024

static struct seam_page *page;
static char program[SEAM_NAME_BYTES];
static unsigned char kinds[FDS]; /* of sockets that were connected or accepted */

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void seam_open(void)
{
    const char *path = getenv("SEAM_PAGE");
    const int fd = path ? REAL(open)(path, O_RDWR | O_CLOEXEC) : -1;

    (void)snprintf(program, sizeof(program), "%s", program_invocation_short_name);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map != MAP_FAILED && ((struct seam_page *)map)->magic == SEAM_MAGIC)
        page = map;
}

/* The page is read at each call: a test changes its mind while the program runs. */
static bool is_counted(enum seam_kind kind)
{
    return page && page->at > 0 && (page->kinds & (uint32_t)kind) &&
           strncmp(page->program, program, SEAM_NAME_BYTES) == 0;
}

static bool is_turn(enum seam_kind kind, const char *name)
{
    if (!is_counted(kind))
        return false;
    const uint64_t turn = __atomic_add_fetch(&page->count, 1, __ATOMIC_SEQ_CST);
    if (turn != page->at && !(page->every && turn > page->at))
        return false;
    (void)__atomic_add_fetch(&page->fired, 1, __ATOMIC_SEQ_CST);
    (void)snprintf(page->last, sizeof(page->last), "%s", name);
    if (page->action == SEAM_KILL_BEFORE)
        (void)kill(getpid(), SIGKILL);
    return true;
}

static bool is_kept_from(bool turn)
{
    return turn && page->action == SEAM_FAIL;
}

static ssize_t broken(void)
{
    errno = page->error;
    return -1;
}

/* A socket that fails is broken in fact, for both sides: who only heard an error would wait for
 * ever for the answer of a peer that is well. */
static ssize_t broken_socket(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
    return broken();
}

/* What the caller sees of a call that was made. */
static ssize_t seen(bool turn, ssize_t result)
{
    if (!turn)
        return result;
    if (page->action == SEAM_KILL_AFTER)
        (void)kill(getpid(), SIGKILL);
    return page->action == SEAM_FAIL_AFTER ? broken() : result;
}

static ssize_t seen_on(int fd, bool turn, ssize_t result)
{
    if (turn && page->action == SEAM_FAIL_AFTER)
        (void)shutdown(fd, SHUT_RDWR);
    return seen(turn, result);
}

static enum seam_kind kind_of_path(const char *path)
{
    if (strstr(path, ".s.PGSQL."))
        return SEAM_DATABASE;
    return strstr(path, "signer") ? SEAM_SIGNER : SEAM_NETWORK;
}

static void note(int fd, enum seam_kind kind)
{
    if (fd >= 0 && fd < FDS)
        kinds[fd] = (unsigned char)kind;
}

/* A descriptor that nobody told us about is a file; sockets are told by connect and accept. */
static enum seam_kind kind_of(int fd)
{
    struct stat status;

    if (fd >= 0 && fd < FDS && kinds[fd])
        return kinds[fd];
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        return SEAM_FILE;
    return 0;
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    const struct sockaddr_un *local = (const struct sockaddr_un *)(const void *)address;
    const enum seam_kind kind = address->sa_family == AF_UNIX ? kind_of_path(local->sun_path)
                                                              : SEAM_NETWORK;
    const bool turn = is_turn(kind, "connect");

    note(fd, kind);
    return (int)(is_kept_from(turn) ? broken() : seen(turn, REAL(connect)(fd, address, size)));
}

/* The signer's peers are its seam; a responder's is the web server. */
static enum seam_kind kind_of_peers(void)
{
    return strcmp(program, "certctl-signer") == 0 ? SEAM_SIGNER : SEAM_NETWORK;
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    const int got = REAL(accept4)(fd, address, size, flags);

    note(got, kind_of_peers());
    return got;
}

int close(int fd)
{
    note(fd, 0);
    return REAL(close)(fd);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    const bool turn = is_turn(kind_of(fd), "send");

    return is_kept_from(turn) ? broken_socket(fd)
                              : seen_on(fd, turn, REAL(send)(fd, data, size, flags));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    const bool turn = is_turn(kind_of(fd), "sendmsg");

    return is_kept_from(turn) ? broken_socket(fd)
                              : seen_on(fd, turn, REAL(sendmsg)(fd, message, flags));
}

/* A look that finds nothing yet is no call: how often a program looks is a matter of luck. */
static bool is_empty(int fd)
{
    char octet;

    return page && page->at > 0 && REAL(recv)(fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           errno == EAGAIN;
}

ssize_t recv(int fd, void *into, size_t size, int flags)
{
    const bool turn = !is_empty(fd) && is_turn(kind_of(fd), "recv");

    return is_kept_from(turn) ? broken_socket(fd)
                              : seen_on(fd, turn, REAL(recv)(fd, into, size, flags));
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    const bool turn = !is_empty(fd) && is_turn(kind_of(fd), "recvmsg");

    return is_kept_from(turn) ? broken_socket(fd)
                              : seen_on(fd, turn, REAL(recvmsg)(fd, message, flags));
}

static bool is_socket(enum seam_kind kind)
{
    return kind == SEAM_DATABASE || kind == SEAM_SIGNER || kind == SEAM_NETWORK;
}

ssize_t read(int fd, void *into, size_t size)
{
    const enum seam_kind kind = kind_of(fd);
    const bool turn = is_socket(kind) && is_turn(kind, "read");

    return is_kept_from(turn) ? broken_socket(fd) : seen_on(fd, turn, REAL(read)(fd, into, size));
}

ssize_t write(int fd, const void *data, size_t size)
{
    /* a program's own log is no seam */
    const enum seam_kind kind = kind_of(fd);
    const bool turn = fd != STDERR_FILENO && fd != STDOUT_FILENO && is_turn(kind, "write");

    if (is_kept_from(turn))
        return is_socket(kind) ? broken_socket(fd) : broken();
    if (turn && page->action == SEAM_SHORT)
        size /= 2;
    return seen(turn, REAL(write)(fd, data, size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    const bool turn = is_turn(kind_of(fd), "pwrite");

    if (is_kept_from(turn))
        return broken();
    if (turn && page->action == SEAM_SHORT)
        size /= 2;
    return seen(turn, REAL(pwrite)(fd, data, size, offset));
}

int open(const char *path, int flags, ...)
{
    const bool turn = (flags & (O_WRONLY | O_RDWR)) && strncmp(path, "/proc/", 6) != 0 &&
                      strncmp(path, "/dev/", 5) != 0 && is_turn(SEAM_FILE, "open");
    mode_t mode = 0;
    va_list more;

    va_start(more, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(more, mode_t);
    va_end(more);
    return (int)(is_kept_from(turn) ? broken() : seen(turn, REAL(open)(path, flags, mode)));
}

/* One wrapper for each function that changes a file and returns 0 or -1. */
#define FILE_CALL(name, parameters, arguments)                                                     \
    int name parameters                                                                            \
    {                                                                                              \
        const bool turn = is_turn(SEAM_FILE, #name);                                               \
                                                                                                   \
        return (int)(is_kept_from(turn) ? broken() : seen(turn, REAL(name) arguments));            \
    }

FILE_CALL(fsync, (int fd), (fd))
FILE_CALL(fdatasync, (int fd), (fd))
FILE_CALL(ftruncate, (int fd, off_t size), (fd, size))
FILE_CALL(flock, (int fd, int operation), (fd, operation))
FILE_CALL(mkdir, (const char *path, mode_t mode), (path, mode))
FILE_CALL(unlink, (const char *path), (path))
FILE_CALL(rename, (const char *from, const char *to), (from, to))
FILE_CALL(link, (const char *from, const char *to), (from, to))
FILE_CALL(symlink, (const char *target, const char *path), (target, path))
FILE_CALL(renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
          (from_fd, from, to_fd, to, flags))

static int64_t shift_s(void)
{
    if (!page || page->shift_s == 0)
        return 0;
    const size_t length = strnlen(page->clock_program, SEAM_NAME_BYTES);
    const bool prefix = length > 0 && page->clock_program[length - 1] == '*';
    return strncmp(page->clock_program, program, prefix ? length - 1 : SEAM_NAME_BYTES) == 0
               ? page->shift_s
               : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    const int result = REAL(clock_gettime)(clock, now);

    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += shift_s();
    return result;
}

/* in parentheses: ours is banned */
time_t(time)(time_t *ret)
{
    const time_t now = REAL(time)(NULL) + shift_s();

    if (ret)
        *ret = now;
    return now;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    const int result = REAL(gettimeofday)(now, zone);

    if (result == 0)
        now->tv_sec += shift_s();
    return result;
}
