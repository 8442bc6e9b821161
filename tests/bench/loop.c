/* tests/bench/loop.c: one epoll loop for all that a load client holds open. */
#include "tests/bench/loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/macro.h"

#include "core/banned.h"

#define EVENTS_AT_ONCE 64

void give_up(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(EXIT_FAILURE);
}

struct loop loop_new(void)
{
    const struct loop loop = {.fd = epoll_create1(EPOLL_CLOEXEC)};

    if (loop.fd < 0)
        give_up("epoll: %s", strerror(errno));
    return loop;
}

void loop_watch(const struct loop *loop, struct watcher *watcher, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watcher};

    if (epoll_ctl(loop->fd, EPOLL_CTL_ADD, watcher->fd, &event) != 0 &&
        (errno != EEXIST || epoll_ctl(loop->fd, EPOLL_CTL_MOD, watcher->fd, &event) != 0))
        give_up("epoll: %s", strerror(errno));
}

void loop_turn(const struct loop *loop, int wait_ms)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    const int count = epoll_wait(loop->fd, events, ARRAY_SIZE(events), wait_ms);

    for (int i = 0; i < count; i++) {
        struct watcher *watcher = events[i].data.ptr;

        watcher->ready(watcher, events[i].events);
    }
}
