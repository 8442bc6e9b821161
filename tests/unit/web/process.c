/* tests/unit/web/process.c: the real certctl-probe on a unix socket of its own: what web_main does
 * around libfcgi. The one unit test that starts a process; it stops it by its id. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"
#include "fastcgi.h"

#include "core/banned.h"

#define EDGE_KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BINARY   "fcgi/probe/certctl-probe" /* of the build directory, where `make check` stands */

/* A folder with a listening socket in it. */
struct stage {
    char folder[64];
    char *socket;
    int listening;
};

static struct stage stage_new(TALLOC_CTX *ctx)
{
    struct stage stage = {.folder = "/tmp/certctl-web-XXXXXX"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    cr_assert(mkdtemp(stage.folder));
    stage.socket = mem_printf(ctx, "%s/probe.sock", stage.folder);
    memcpy(address.sun_path, stage.socket, strlen(stage.socket));
    stage.listening = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(bind(stage.listening, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(stage.listening, 16) == 0);
    return stage;
}

static void stage_end(struct stage *stage)
{
    (void)close(stage->listening);
    (void)unlink(stage->socket);
    (void)rmdir(stage->folder);
}

static void child_environment(const struct stage *stage)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    (void)setenv("CERTCTL_EDGE_KEY_SHA256", digest_sha256_hex(scratch, bytes_of_text(EDGE_KEY)), 1);
    (void)setenv("CERTCTL_RUNTIME_DIR", stage->folder, 1);
    (void)setenv("CERTCTL_DATABASE_URL",
                 mem_printf(scratch, "postgresql:///none?host=%s", stage->folder), 1);
}

/* The socket becomes fd `as` of the child; extra is one more "NAME=value" or NULL. */
static pid_t start(const struct stage *stage, int as, char *extra)
{
    const pid_t child = fork();

    if (child != 0)
        return child;
    child_environment(stage);
    if (extra)
        (void)putenv(extra);
    if (as != STDIN_FILENO)
        (void)dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    (void)dup2(stage->listening, as);
    (void)execl(BINARY, BINARY, (char *)NULL);
    _exit(127);
}

/* The exit code; -1 when a signal ended it. */
static int wait_for(pid_t child)
{
    int status = 0;

    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int stop(pid_t child)
{
    cr_assert_eq(kill(child, SIGTERM), 0);
    return wait_for(child);
}

/* Up to three params beyond the usual ones; they come first and so replace them. */
static struct fastcgi_answer ask(TALLOC_CTX *ctx, const struct stage *stage,
                                 const char *const *special, struct bytes body)
{
    const char *params[] = {special[0],
                            special[1],
                            special[2],
                            "CERTCTL_EDGE_KEY=" EDGE_KEY,
                            "CERTCTL_SURFACE=probe",
                            "REQUEST_METHOD=GET",
                            "REQUEST_URI=/health",
                            "REMOTE_ADDR=192.0.2.7",
                            NULL};
    AUTO_FD fd = fastcgi_connect(stage->socket);

    cr_assert(fd >= 0 && fastcgi_begin(fd, FASTCGI_KEEP_CONNECTION) && fastcgi_params(fd, params));
    /* A refused body need not be taken. */
    if (body.size == 0 || fastcgi_stdin(fd, body))
        (void)fastcgi_stdin(fd, (struct bytes){0});
    return fastcgi_read(ctx, fd);
}

#define NOTHING "X1=", "X2=", "X3="

static const struct {
    const char *about;
    const char *special[3];
    size_t body_size;
    int status;
    const char *body; /* the answer begins so */
} cases[] = {
    {"liveness",                {NOTHING},                                     0,     200, "{\"status\":\"healthy\"}\n"},
    {"HEAD",                    {"REQUEST_METHOD=HEAD", "X2=", "X3="},         0,     200, ""                          },
    {"POST",                    {"REQUEST_METHOD=POST", "X2=", "X3="},         0,     405, "{\"error\""                },
    {"an unknown path",         {"REQUEST_URI=/healthz", "X2=", "X3="},        0,     404, "{\"error\""                },
    {"the version",             {"REQUEST_URI=/api/v1/version", "X2=", "X3="}, 0,     200, "{\"version\":\""           },
    {"no edge key",
     {"CERTCTL_EDGE_KEY=", "X2=", "X3="},
     0,                                                                               403,
     "{\"error\":\"Forbidden\",\"message\":\"misrouted request\""                                                      },
    {"another surface",
     {"CERTCTL_SURFACE=acme", "X2=", "X3="},
     0,                                                                               500,
     "{\"error\":\"Internal Server Error\",\"message\":\"misrouted request\""                                          },
    {"a body at the limit",     {"CONTENT_LENGTH=1024", "X2=", "X3="},         1024,  200, "{\"status\""               },
    {"one byte above",          {"CONTENT_LENGTH=1025", "X2=", "X3="},         1025,  413, "{\"error\""                },
    {"a body that ends early",  {"CONTENT_LENGTH=1024", "X2=", "X3="},         1023,  400, "{\"error\""                },
    {"a body nobody announced", {NOTHING},                                     60000, 200, "{\"status\""               },
    {"no database",
     {"REQUEST_URI=/ready", "X2=", "X3="},
     0,                                                                               503,
     "{\"status\":\"db_unavailable\",\"error\":\"database unreachable\"}\n"                                            },
};

Test(process, serves_one_request_after_the_other, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const pid_t worker = start(&stage, STDIN_FILENO, NULL);
    static const uint8_t body[65536];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct fastcgi_answer answer = ask(scratch, &stage, cases[i].special,
                                                 (struct bytes){body, cases[i].body_size});
        cr_expect_eq(answer.status, cases[i].status, "%s: %d", cases[i].about, answer.status);
        cr_expect(text_starts(answer.body, cases[i].body), "%s: %s", cases[i].about, answer.body);
        cr_expect(answer.ended && answer.closed, "%s: the connection stays open", cases[i].about);
        cr_expect(strstr(answer.head, "\r\nX-Request-ID: "), "%s", cases[i].about);
        cr_expect(strstr(answer.head, "\r\nAccess-Control-Allow-Origin: *\r\n"), "%s",
                  cases[i].about);
        cr_expect(strstr(answer.head, "\r\nX-Frame-Options: DENY\r\n"), "%s", cases[i].about);
    }
    cr_expect_eq(stop(worker), 0, "an idle worker ends at once");
    stage_end(&stage);
}

/* libfcgi would say that no more comes, and wait up to 2 s for the web server to say the same. */
Test(process, closes_at_once_what_it_has_read, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const pid_t worker = start(&stage, STDIN_FILENO, NULL);
    const char *const params[] = {"CERTCTL_EDGE_KEY=" EDGE_KEY, "CERTCTL_SURFACE=probe",
                                  "REQUEST_METHOD=GET",         "REQUEST_URI=/health",
                                  "REMOTE_ADDR=192.0.2.7",      NULL};
    AUTO_FD fd = fastcgi_connect(stage.socket);

    cr_assert(fd >= 0 && fastcgi_begin(fd, 0) && fastcgi_params(fd, params));
    cr_assert(fastcgi_stdin(fd, (struct bytes){0}));
    cr_assert_eq(fastcgi_read(scratch, fd).status, 200);
    cr_expect_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1, "the other end still listens");
    cr_expect_eq(stop(worker), 0);
    stage_end(&stage);
}

Test(process, says_that_it_drains, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const char *drain = mem_printf(scratch, "%s/drain", stage.folder);
    const char *const ready[] = {"REQUEST_URI=/ready", "X2=", "X3="};
    AUTO_FD file = open(drain, O_CREAT | O_WRONLY, 0600);
    const pid_t worker = start(&stage, STDIN_FILENO, NULL);

    cr_assert(file >= 0);
    const struct fastcgi_answer answer = ask(scratch, &stage, ready, (struct bytes){0});
    cr_expect_eq(answer.status, 503);
    cr_expect_str_eq(answer.body, "{\"status\":\"draining\"}\n");
    cr_expect_eq(stop(worker), 0);
    (void)unlink(drain);
    stage_end(&stage);
}

/* Strangers of the web server's user reach the socket: noise ends their connection, not us. */
Test(process, outlives_noise, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const char *const plain[] = {NOTHING};
    static const char *const noise[] = {"", "GET / HTTP/1.0\r\n\r\n", "\001\001",
                                        "\001\004\377\377\377\377\377\377"};
    const pid_t worker = start(&stage, STDIN_FILENO, NULL);

    /* What comes then must not be taken for the request before it. */
    cr_expect_eq(ask(scratch, &stage, plain, (struct bytes){0}).status, 200);
    for (size_t i = 0; i < ARRAY_SIZE(noise); i++) {
        AUTO_FD fd = fastcgi_connect(stage.socket);
        cr_assert(fd >= 0);
        (void)send(fd, noise[i], strlen(noise[i]), MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        const struct fastcgi_answer answer = fastcgi_read(scratch, fd);
        cr_expect_eq(answer.status, 0, "noise %zu", i);
    }
    cr_expect_eq(ask(scratch, &stage, plain, (struct bytes){0}).status, 200);
    cr_expect_eq(stop(worker), 0);
    stage_end(&stage);
}

/* Half a set of params could lack the very ones that restrict a request. */
Test(process, serves_no_half_request, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const char *const params[] = {"CERTCTL_EDGE_KEY=" EDGE_KEY, "CERTCTL_SURFACE=probe",
                                  "REQUEST_METHOD=GET", "REQUEST_URI=/health", NULL};
    const pid_t worker = start(&stage, STDIN_FILENO, NULL);

    for (int whole = 0; whole < 2; whole++) {
        AUTO_FD fd = fastcgi_connect(stage.socket);
        cr_assert(fd >= 0 && fastcgi_begin(fd, 0));
        cr_assert(whole ? fastcgi_params(fd, params) : fastcgi_some_params(fd, params));
        (void)shutdown(fd, SHUT_WR);
        cr_expect_eq(fastcgi_read(scratch, fd).status, whole ? 200 : 0, "whole: %d", whole);
    }
    cr_expect_eq(stop(worker), 0);
    stage_end(&stage);
}

/* A request whose body is half sent: it holds its worker. */
static int hold(const struct stage *stage)
{
    const char *const params[] = {"CERTCTL_EDGE_KEY=" EDGE_KEY, "CERTCTL_SURFACE=probe",
                                  "REQUEST_METHOD=GET",         "REQUEST_URI=/health",
                                  "CONTENT_LENGTH=4",           NULL};
    const int fd = fastcgi_connect(stage->socket);

    cr_assert(fd >= 0 && fastcgi_begin(fd, 0) && fastcgi_params(fd, params) &&
              fastcgi_stdin(fd, bytes_of_text("ab")));
    return fd;
}

/* Whether the worker has yet to read what it was sent (unix(7)). */
static bool waits_unread(int fd)
{
    int unread = 0;

    cr_assert_eq(ioctl(fd, TIOCOUTQ, &unread), 0);
    return unread > 0;
}

static int let_go(TALLOC_CTX *ctx, int fd)
{
    cr_assert(fastcgi_stdin(fd, bytes_of_text("cd")) && fastcgi_stdin(fd, (struct bytes){0}));
    const int status = fastcgi_read(ctx, fd).status;
    (void)close(fd);
    return status;
}

static void finishes_and_obeys(int number)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const char *const plain[] = {NOTHING};
    const pid_t worker = start(&stage, STDIN_FILENO, NULL);

    cr_assert_eq(ask(scratch, &stage, plain, (struct bytes){0}).status, 200, "it is up");
    const int fd = hold(&stage);
    while (waits_unread(fd))
        (void)usleep(10000);
    cr_assert_eq(kill(worker, number), 0);
    (void)usleep(100000);
    cr_expect_eq(waitpid(worker, NULL, WNOHANG), 0, "signal %d: it left in the middle", number);
    cr_expect_eq(let_go(scratch, fd), 200);
    cr_expect_eq(wait_for(worker), 0, "signal %d", number);
    stage_end(&stage);
}

Test(process, finishes_its_request_before_it_obeys, .timeout = 180)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        finishes_and_obeys(numbers[i]);
}

/* The last of three held requests is answered first, which takes three workers. Then each sees
 * connections that another takes, and must not hang in accept, deaf to SIGTERM. */
Test(process, shares_its_socket, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const char *const plain[] = {NOTHING};
    pid_t workers[3];
    int held[3];

    for (size_t i = 0; i < 3; i++)
        workers[i] = start(&stage, STDIN_FILENO, NULL);
    for (size_t i = 0; i < 3; i++)
        held[i] = hold(&stage);
    for (size_t i = 3; i > 0; i--)
        cr_expect_eq(let_go(scratch, held[i - 1]), 200, "request %zu", i);
    for (int i = 0; i < 60; i++)
        cr_assert_eq(ask(scratch, &stage, plain, (struct bytes){0}).status, 200);
    for (size_t i = 0; i < 3; i++)
        cr_expect_eq(stop(workers[i]), 0, "worker %zu", i);
    stage_end(&stage);
}

Test(process, takes_the_socket_of_systemd, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const char *const plain[] = {NOTHING};
    char fds[] = "LISTEN_FDS=1";
    const pid_t worker = start(&stage, 3, fds);

    cr_expect_eq(ask(scratch, &stage, plain, (struct bytes){0}).status, 200);
    cr_expect_eq(stop(worker), 0);
    stage_end(&stage);
}

Test(process, refuses_to_start_without_its_key_or_a_socket, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    char no_key[] = "CERTCTL_EDGE_KEY_SHA256=";
    const int64_t began_us = clock_monotonic_us();

    cr_expect_eq(wait_for(start(&stage, STDIN_FILENO, no_key)), 78);
    cr_expect_geq(clock_monotonic_us() - began_us, 1000000, "a crash loop must be slow");
    cr_expect_eq(wait_for(start(&stage, 3, NULL)), 78, "fd 3 without LISTEN_FDS is not ours");
    stage_end(&stage);
}

/* Standard output of a CGI run. */
static char *run_cgi(TALLOC_CTX *ctx, const struct stage *stage)
{
    int out[2];
    char *output = mem_array(ctx, char, 4096);

    cr_assert_eq(pipe(out), 0);
    const pid_t child = fork();
    if (child == 0) {
        child_environment(stage);
        (void)putenv(mem_text(ctx, "CERTCTL_EDGE_KEY=" EDGE_KEY));
        (void)putenv(mem_text(ctx, "CERTCTL_SURFACE=probe"));
        (void)putenv(mem_text(ctx, "REQUEST_METHOD=GET"));
        (void)putenv(mem_text(ctx, "REQUEST_URI=/health"));
        (void)dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)execl(BINARY, BINARY, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    for (size_t used = 0; used < 4095;) {
        const ssize_t got = read(out[0], output + used, 4095 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    (void)close(out[0]);
    cr_expect_eq(wait_for(child), 0);
    return output;
}

Test(process, serves_plain_cgi, .timeout = 180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct stage stage = stage_new(scratch);
    const char *output = run_cgi(scratch, &stage);

    cr_expect(text_starts(output, "Status: 200 OK\r\n"), "%s", output);
    cr_expect(text_ends(output, "\r\n\r\n{\"status\":\"healthy\"}\n"), "%s", output);
    stage_end(&stage);
}
