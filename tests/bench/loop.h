/* tests/bench/loop.h: one epoll loop for all that a load client holds open. */
#ifndef CERTCTL_BENCH_LOOP_H
#define CERTCTL_BENCH_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* First member of whatever waits for a descriptor. */
struct watcher {
    int fd; /* -1: none */
    void (*ready)(struct watcher *watcher, uint32_t events);
};

struct loop {
    int fd;
};

struct loop loop_new(void);
/* events of epoll; a second call for the same descriptor changes them. */
void loop_watch(const struct loop *loop, struct watcher *watcher, uint32_t events);
/* Serves what is ready; waits at most so long. */
void loop_turn(const struct loop *loop, int wait_ms);

/* Ends the program: a bench that cannot be run has no figures. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
