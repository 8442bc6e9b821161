/* lib/web/serve.c: main() of every responder and the loop around libfcgi, 05 section 1.2.
 *
 * We accept ourselves and hand libfcgi the connection: its own accept has no time limits and
 * would lose a SIGTERM that arrives just before it. */
#include "web/serve.h"
#include "web/web_private.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "db/db.h"
#include "metric/metric.h"

#include "core/banned.h"

#define SOCKET_TIMEOUT_S     10
#define IDLE_CLOSE_MS        60000
#define STATEMENT_TIMEOUT_MS 15000
#define ACCEPTS_IN_A_ROW     8

#ifndef CERTCTL_VERSION
#    define CERTCTL_VERSION "dev"
#endif

/* One process, one of these; all memory of it hangs on root. */
struct worker {
    TALLOC_CTX *root;
    struct settings settings;
    struct web_host host;
    struct web_life life;
    int events;     /* epoll of the listening socket and of signals */
    int signals;    /* signalfd of SIGTERM, SIGINT and SIGQUIT */
    bool db_in_use; /* the connection may be open */
    int in_a_row;   /* connections taken since the signals were looked at */
};

/* How an answer gets out: libfcgi's stream or plain CGI's standard output. */
struct outlet {
    bool (*write)(void *sink, const uint8_t *data, size_t size);
    void *sink;
};

static bool answer_write(const struct outlet *outlet, const struct response *response)
{
    const struct bytes head = bytes_of_text(web_response_head(response->request, response));

    if (!outlet->write(outlet->sink, head.data, head.size))
        return false;
    return !web_response_has_body(response) || response->body.size == 0 ||
           outlet->write(outlet->sink, response->body.data, response->body.size);
}

static enum log_level level_of(const struct response *response, const struct fault *fault)
{
    if (response->status >= 500)
        return LOG_ERROR;
    return fault->reason == EDGE_KEY_WRONG ? LOG_WARN : LOG_INFO;
}

/* What the client calls the request: 05 section 2.3. */
static const char *client_request_id(const struct request *request)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *id = request_header(request, "X-Request-ID");

    if (!id || *id == '\0' || strlen(id) > 64 || id[strspn(id, allowed)] != '\0')
        return NULL;
    return id;
}

static struct db_counts counts_of(const struct web_host *host)
{
    return host->db ? db_counts(host->db) : (struct db_counts){0};
}

/* The one line of a request, 07 section 10.4. The query is left out: it may hold what is secret. */
static void answer_log(const struct web_host *host, const struct response *response,
                       const struct fault *fault, struct db_counts before)
{
    const struct request *request = response->request;
    const struct db_counts after = counts_of(host);
    const char *method = request_param(request, "REQUEST_METHOD");
    struct log_line line;

    log_begin(&line, level_of(response, fault), "request");
    log_text(&line, "request_id", request->request_id);
    log_text(&line, "client_request_id", client_request_id(request));
    log_text(&line, "method", method);
    log_text(&line, "path", *request->path ? request->path : NULL);
    log_integer(&line, "status", response->status);
    log_duration_us(&line, "duration_ms", clock_monotonic_us() - request->started_us);
    log_text(&line, "remote_addr", request->remote_addr);
    log_text(&line, "actor_id", request->actor);
    log_integer(&line, "db_round_trips", (int64_t)(after.round_trips - before.round_trips));
    log_integer(&line, "db_commits", (int64_t)(after.commits - before.commits));
    if (log_enabled(LOG_DEBUG))
        log_integer(&line, "request_bytes", (int64_t)talloc_total_size(request));
    if (fault->reason != REASON_NONE)
        log_fault(&line, fault);
    log_end(&line);
}

/* Serves what has arrived. `release` ends the exchange with the web server, so that it can go on
 * before we tidy up. */
static void exchange(TALLOC_CTX *ctx, const struct web_host *host, const struct web_input *input,
                     const struct outlet *outlet, void (*release)(void *sink))
{
    const struct db_counts before = counts_of(host);
    struct response response;
    struct fault fault;
    struct request *request = web_handle(ctx, host, input, &response, &fault);

    const bool written = answer_write(outlet, &response);
    release(outlet->sink);
    if (host->responder->finish)
        host->responder->finish(request, &response);
    answer_log(host, &response, &fault, before);
    if (!written)
        log_message(LOG_WARN, "the web server did not take the answer of request %s",
                    request->request_id);
    talloc_free(request);
    (void)metric_flush(host->db, METRIC_FLUSH_US);
}

/* Where nothing is left unread, not even the end of the input, the connection can be closed at
 * once. Otherwise libfcgi's close is needed: it says that no more will come, waits until the web
 * server has closed, and so keeps it from meeting a reset before it has read the answer. */
static void close_at_once_if_read(FCGX_Request *connection)
{
    if (FCGX_GetChar(connection->in) == EOF && FCGX_GetError(connection->in) == 0)
        (void)FCGX_Detach(connection); /* always 0; the close is then a plain one */
}

static size_t fastcgi_read(void *source, uint8_t *into, size_t size)
{
    FCGX_Request *connection = source;
    const int wanted = (int)least(size, (size_t)INT32_MAX); /* libfcgi counts in int */
    const int got = FCGX_GetStr((char *)into, wanted, connection->in);
    if (got == wanted)
        close_at_once_if_read(connection);
    return got > 0 ? (size_t)got : 0;
}

static bool fastcgi_write(void *sink, const uint8_t *data, size_t size)
{
    FCGX_Request *connection = sink;
    const int wanted = (int)least(size, (size_t)INT32_MAX);
    return FCGX_PutStr((const char *)data, wanted, connection->out) == wanted;
}

/* A request that announced no body ends right behind its params, mostly in the same packet. */
static bool announces_body(const FCGX_Request *connection)
{
    const char *length = FCGX_GetParam("CONTENT_LENGTH", connection->envp);
    return length && *length && !text_equal(length, "0");
}

static void fastcgi_end(FCGX_Request *connection)
{
    connection->keepConnection = 0; /* whatever the web server wished: 00 decision 3 */
    FCGX_Finish_r(connection);
}

static void fastcgi_release(void *sink)
{
    FCGX_Request *connection = sink;

    if (!announces_body(connection))
        close_at_once_if_read(connection);
    fastcgi_end(connection);
}

static size_t cgi_read(void *source, uint8_t *into, size_t size)
{
    size_t used = 0;

    (void)source;
    while (used < size) {
        const ssize_t got = read(STDIN_FILENO, into + used, size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got; /* positive */
    }
    return used;
}

static bool cgi_write(void *sink, const uint8_t *data, size_t size)
{
    (void)sink;
    while (size > 0) {
        const ssize_t put = write(STDOUT_FILENO, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        data += put;
        size -= (size_t)put; /* positive */
    }
    return true;
}

static void cgi_release(void *sink)
{
    (void)sink;
}

/* The two fields below libfcgi's "don't use" line: a connection of ours is one that it kept. */
void web_connection_serve(TALLOC_CTX *ctx, const struct web_host *host, FCGX_Request *connection,
                          int fd)
{
    const struct timeval limit = {.tv_sec = SOCKET_TIMEOUT_S};

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    connection->ipcFd = fd;
    connection->keepConnection = 1;
    /* Where the connection breaks among the params, libfcgi takes those that came for all. */
    if (FCGX_Accept_r(connection) < 0 || FCGX_GetError(connection->in) != 0) {
        log_message(LOG_WARN, "a connection brought no whole FastCGI request");
        fastcgi_end(connection); /* its params are those of an earlier one, or none */
        return;
    }
    const struct web_input input = {connection->envp, fastcgi_read, connection};
    const struct outlet outlet = {fastcgi_write, connection};
    exchange(ctx, host, &input, &outlet, fastcgi_release);
}

static bool watch(int events, int fd, uint32_t mask)
{
    struct epoll_event event = {.events = mask, .data.fd = fd};
    return epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* SIGTERM is read as an event and never interrupts a request; SIGQUIT is what multiwatch 1.0.0
 * sends when it is told -s TERM. EPOLLEXCLUSIVE: a connection wakes one worker of the pool, not
 * all; the socket does not block, since another may be faster. */
static bool worker_listen(struct worker *worker, struct fault *fault)
{
    sigset_t stops;

    (void)sigemptyset(&stops);
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGINT);
    (void)sigaddset(&stops, SIGQUIT);
    worker->events = epoll_create1(EPOLL_CLOEXEC);
    worker->signals = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    if (worker->events >= 0 && worker->signals >= 0 && sigprocmask(SIG_BLOCK, &stops, NULL) == 0 &&
        fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK) == 0 &&
        watch(worker->events, worker->signals, EPOLLIN) &&
        watch(worker->events, STDIN_FILENO, EPOLLIN | EPOLLEXCLUSIVE) && FCGX_Init() == 0)
        return true;
    fault_set(fault, INTERNAL, NULL, "the listening socket cannot be watched");
    return fault_cause_errno(fault, "epoll, signalfd or libfcgi");
}

enum event { EVENT_STOP, EVENT_CONNECTION, EVENT_IDLE };

/* Until there is something to do without a request: counts to write, a connection to give back. */
static int worker_pause_ms(const struct worker *worker)
{
    const int most_ms = worker->db_in_use ? IDLE_CLOSE_MS : -1;

    return worker->host.db ? metric_pause_ms(most_ms) : most_ms;
}

static enum event worker_wait(const struct worker *worker)
{
    struct epoll_event ready[2];
    int count = 0;

    do
        count = epoll_wait(worker->events, ready, ARRAY_SIZE(ready), worker_pause_ms(worker));
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return EVENT_STOP;
    for (int i = 0; i < count; i++)
        if (ready[i].data.fd == worker->signals)
            return EVENT_STOP;
    return count > 0 ? EVENT_CONNECTION : EVENT_IDLE;
}

static bool accept_may_be_tried_again(int error)
{
    return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == EPROTO;
}

/* A connection that waits already, or -1. After so many in a row the signals get their turn. */
static int connection_next(struct worker *worker)
{
    const bool turn = worker->in_a_row < ACCEPTS_IN_A_ROW;
    const int fd = turn ? accept4(STDIN_FILENO, NULL, NULL, SOCK_CLOEXEC) : -1;

    if (!turn)
        errno = EAGAIN;
    worker->in_a_row = fd < 0 ? 0 : worker->in_a_row + 1;
    return fd;
}

/* False when the worker should leave. */
static bool worker_serve(struct worker *worker, FCGX_Request *connection, int fd)
{
    web_connection_serve(worker->root, &worker->host, connection, fd);
    worker->db_in_use = worker->host.db;
    return !web_life_spent(&worker->life, clock_monotonic_us(), web_rss_bytes);
}

/* Counts that wait go first; their statement may open the connection that the next round closes. */
static void worker_idle(struct worker *worker)
{
    if (metric_pending()) {
        (void)metric_flush(worker->host.db, METRIC_FLUSH_US);
        worker->db_in_use = true;
        return;
    }
    db_close(worker->host.db);
    worker->db_in_use = false;
}

/* False when the worker should leave. */
static bool worker_rest(struct worker *worker)
{
    const enum event event = worker_wait(worker);

    if (event == EVENT_IDLE)
        worker_idle(worker);
    return event != EVENT_STOP;
}

static void worker_loop(struct worker *worker)
{
    FCGX_Request connection;
    bool on = FCGX_InitRequest(&connection, -1, FCGI_FAIL_ACCEPT_ON_INTR) == 0;

    while (on) {
        const int fd = connection_next(worker);
        if (fd >= 0)
            on = worker_serve(worker, &connection, fd);
        else
            on = accept_may_be_tried_again(errno) && worker_rest(worker);
    }
    (void)close(worker->events);
    (void)close(worker->signals);
}

static void worker_open_db(struct worker *worker, const struct responder *responder)
{
    const struct db_options options = {
        .url = worker->settings.database_url,
        .role = responder->role,
        .application_name = responder->name,
        .statement_timeout_ms = responder->statement_timeout_ms > 0
                                    ? responder->statement_timeout_ms
                                    : STATEMENT_TIMEOUT_MS,
        .connect_timeout_s = responder->statement_timeout_ms / 1000,
        .checks_schema = true,
        .wake_dir = mem_printf(worker->root, "%s/wake", worker->settings.runtime_dir),
    };

    worker->host.db = responder->role ? db_new(worker->root, &options) : NULL;
}

static bool worker_edge_key(struct worker *worker, struct fault *fault)
{
    const char *expected = worker->settings.edge_key_sha256;
    struct bytes digest = {0};

    if (!expected || !hex_to_bytes(worker->root, expected, &digest) ||
        digest.size != sizeof(worker->host.edge_digest))
        return fault_set(fault, SETTING_INVALID, "CERTCTL_EDGE_KEY_SHA256",
                         "CERTCTL_EDGE_KEY_SHA256 must be set: 64 lower-case hex digits");
    memcpy(worker->host.edge_digest, digest.data, digest.size);
    return true;
}

static bool worker_start(struct worker *worker, struct fault *fault)
{
    const struct responder *responder = worker->host.responder;

    if (!worker_edge_key(worker, fault))
        return false;
    if (!responder->start)
        return true;
    worker->host.worker = responder->start(worker->root, &worker->settings, fault);
    return worker->host.worker || fault->reason == REASON_NONE;
}

/* A pause, so that a supervisor that starts us again at once does not spin (00 decision 45). */
static int cannot_start(const struct fault *fault)
{
    struct log_line line;

    log_begin(&line, LOG_ERROR, "cannot start");
    log_fault(&line, fault);
    log_end(&line);
    (void)sleep(1);
    return EX_CONFIG;
}

/* Plain CGI: one request from the environment, then the end. */
static int serve_cgi(struct worker *worker)
{
    const struct web_input input = {environ, cgi_read, NULL};
    const struct outlet outlet = {cgi_write, NULL};

    exchange(worker->root, &worker->host, &input, &outlet, cgi_release);
    (void)metric_flush(worker->host.db, 0);
    return EX_OK;
}

/* What could not be given up is told once. */
static void worker_confine(const struct worker *worker)
{
    const struct responder *responder = worker->host.responder;
    const struct confine_plan *plan = responder->confine ? responder->confine : &web_confine_usual;
    const bool network = responder->role && !db_is_local(worker->settings.database_url);
    struct fault fault = {0};
    struct log_line line;

    if (confine_process(plan, &worker->settings, network, &fault))
        return;
    log_begin(&line, LOG_WARN, "confinement");
    log_fault(&line, &fault);
    log_end(&line);
}

static int serve(struct worker *worker)
{
    struct fault fault = {0};
    const bool listening = web_listening();

    if (!listening && !getenv("REQUEST_METHOD")) {
        fault_set(&fault, SETTING_INVALID, NULL,
                  "fd 0 is no listening socket and the environment no CGI request");
        return cannot_start(&fault);
    }
    web_ignore_signals();
    (void)confine_privileges(&fault); /* before secrets are read; told below */
    if (!worker_start(worker, &fault))
        return cannot_start(&fault);
    worker_confine(worker);
    metric_worker_is(listening ? worker->host.responder->surface : NULL);
    if (!listening)
        return serve_cgi(worker);
    worker->life = web_life_new(&worker->settings, clock_monotonic_us());
    if (!worker_listen(worker, &fault))
        return cannot_start(&fault);
    worker_loop(worker);
    if (worker->host.responder->stop)
        worker->host.responder->stop(worker->host.worker, worker->host.db);
    (void)metric_flush(worker->host.db, 0);
    return EX_OK;
}

static int check_statements(struct worker *worker)
{
    struct fault fault = {0};

    if (!worker->host.db || db_check_statements(worker->host.db, &fault))
        return EX_OK;
    struct log_line line;
    log_begin(&line, LOG_ERROR, "statements do not fit the database");
    log_fault(&line, &fault);
    log_end(&line);
    return EXIT_FAILURE;
}

/* doc/openapi.yaml is held against this: the table is what is served. */
static int print_routes(const struct responder *responder)
{
    static const struct {
        enum method method;
        const char *token;
    } methods[] = {
        {GET,    "GET"   },
        {POST,   "POST"  },
        {PUT,    "PUT"   },
        {PATCH,  "PATCH" },
        {DELETE, "DELETE"}
    };

    for (size_t i = 0; i < responder->route_count; i++) {
        const struct route *route = &responder->routes[i];
        const char *access = responder->access_name ? responder->access_name(route->access) : "-";
        for (size_t j = 0; j < ARRAY_SIZE(methods); j++)
            if (route->methods & methods[j].method)
                (void)printf("%s\t%s\t%s\n", methods[j].token, route->pattern, access);
    }
    return EX_OK;
}

int web_main(const struct responder *responder, int argc, char **argv)
{
    const char *option = argc == 2 ? argv[1] : NULL;
    const bool check = text_equal(option, "--check-statements");

    if (text_equal(option, "--version"))
        return printf("%s %s\n", responder->name, CERTCTL_VERSION) > 0 ? EX_OK : EX_IOERR;
    if (text_equal(option, "--routes"))
        return print_routes(responder);
    if (argc != 1 && !check) {
        (void)fprintf(stderr, "usage: %s [--version | --routes | --check-statements]\n",
                      responder->name);
        return EX_USAGE;
    }
    AUTO(TALLOC_CTX) *root = talloc_named_const(NULL, 0, responder->name);
    struct worker *worker = mem_new(root, struct worker);
    worker->root = root;
    settings_load_or_exit(&worker->settings);
    worker->host.responder = responder;
    worker->host.settings = &worker->settings;
    worker_open_db(worker, responder);
    if (responder->declare)
        responder->declare(worker->root, worker->host.db);
    return check ? check_statements(worker) : serve(worker);
}
