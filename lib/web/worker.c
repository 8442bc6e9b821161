/* lib/web/worker.c: how a worker begins and when it leaves, 05 section 1.2. */
#include "web/web_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/text.h"

#include "core/banned.h"

#define LIFE_LEAST_US     INT64_C(60000000)
#define RSS_LOOK_REQUESTS 100
#define SYSTEMD_FIRST_FD  3 /* sd_listen_fds(3) */

/* So that workers that began together do not leave together. */
static int64_t with_random_tenth(int64_t value)
{
    uint32_t dice = 0;

    random_bytes((uint8_t *)&dice, sizeof(dice)); /* any bytes make a number */
    return value + (int64_t)(dice % (uint32_t)(value / 10 % UINT32_MAX + 1));
}

struct web_life web_life_new(const struct settings *settings, int64_t now_us)
{
    return (struct web_life){
        .until_us = now_us + with_random_tenth(LIFE_LEAST_US),
        .requests_max = with_random_tenth(settings->worker_max_requests),
        .rss_max_bytes = settings->worker_max_rss_bytes,
    };
}

bool web_life_spent(struct web_life *life, int64_t now_us, int64_t (*rss_bytes)(void))
{
    life->requests++;
    if (life->rss_max_bytes > 0 && life->requests % RSS_LOOK_REQUESTS == 0)
        life->grown = rss_bytes() > life->rss_max_bytes;
    if (life->grown)
        return true;
    return life->requests_max > 0 && life->requests >= life->requests_max &&
           now_us >= life->until_us;
}

/* The second number of statm: pages that are resident (proc(5)). */
int64_t web_rss_bytes(void)
{
    char text[128];
    AUTO_FD statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    const ssize_t size = statm < 0 ? -1 : read(statm, text, sizeof(text) - 1);

    if (size <= 0)
        return 0;
    text[size] = '\0';
    char *pages = strchr(text, ' ');
    if (!pages)
        return 0;
    pages++;
    pages[strcspn(pages, " ")] = '\0';
    int64_t resident = 0;
    if (!text_to_integer(pages, 0, INT64_MAX / 65536, &resident))
        return 0;
    return resident * sysconf(_SC_PAGESIZE);
}

/* Sockets need no right to files; what is below is looked at, e.g. the drain file. */
static const struct confine_path usual_paths[] = {
    WEB_CONFINE_PATHS,
};
const struct confine_plan web_confine_usual = {.paths = usual_paths,
                                               .path_count = ARRAY_SIZE(usual_paths)};

void web_ignore_signals(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN); /* nothing is reloaded by signal */
}

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t size = sizeof(listening);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening == 1;
}

bool web_listening(void)
{
    if (is_listening(STDIN_FILENO))
        return true;
    if (!text_equal(getenv("LISTEN_FDS"), "1") || !is_listening(SYSTEMD_FIRST_FD) ||
        dup2(SYSTEMD_FIRST_FD, STDIN_FILENO) != STDIN_FILENO)
        return false;
    (void)close(SYSTEMD_FIRST_FD);
    return true;
}
