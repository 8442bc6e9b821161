/* lib/pki/ocsp_edge.c: see ocsp_edge.h. As much of HTTP/1.1 as a web server of ours speaks. */
#include "pki/ocsp_edge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/ocsp.h"

#include "core/banned.h"

#define PATH_BEGINS "/.well-known/pki/ocsp/"
#define BUFFER_SIZE 32768

/* Both web servers close a connection after so many requests: nginx after 1000, Apache after 100 as
 * Debian has it. */
#define REQUESTS_MOST 100

struct ocsp_edge {
    const char *place;
    int fd; /* -1: none */
    bool by_spelling;
    size_t sent;    /* requests on this connection */
    size_t awaited; /* answers to them that did not come yet */
    int64_t deadline_us;
    size_t used;
    char buffer[BUFFER_SIZE]; /* what came and was not counted yet */
};

static void *failed(struct fault *fault, const char *what)
{
    const int error = errno;

    fault_set(fault, NET_CONNECTION, NULL, "the web server's cache cannot be told");
    errno = error;
    return fault_cause_errno(fault, what);
}

/* Writing. */

static char *put_head(char *text, const char *method, const char *issuer, const char *tail)
{
    return mem_append(text,
                      "%s " PATH_BEGINS "%s%s HTTP/1.1\r\nHost: localhost\r\n"
                      "Cache-Control: max-age=0\r\n",
                      method, issuer, tail);
}

/* base64 in a path. nginx looks at the decoded one, Apache at what was written: its configuration
 * keeps two spellings. */
static char *escape(TALLOC_CTX *ctx, const char *base64, const char *slash)
{
    char *text = mem_text(ctx, "/");

    for (; *base64; base64++)
        text = *base64 == '+'   ? mem_append(text, "%%2B")
               : *base64 == '=' ? mem_append(text, "%%3D")
               : *base64 == '/' ? mem_append(text, "%s", slash)
                                : mem_append(text, "%c", *base64);
    return text;
}

/* Requests as they are gathered. */
struct gathered {
    TALLOC_CTX *ctx;
    const char *issuer;
    struct bytes all;
    size_t count;
};

static void gather(struct gathered *to, const char *head, struct bytes body)
{
    const struct bytes text = bytes_of_text(head);
    uint8_t *data = mem_array(to->ctx, uint8_t, to->all.size + text.size + body.size);

    if (to->all.size > 0)
        memcpy(data, to->all.data, to->all.size);
    memcpy(data + to->all.size, text.data, text.size);
    if (body.size > 0)
        memcpy(data + to->all.size + text.size, body.data, body.size);
    to->all = (struct bytes){data, to->all.size + text.size + body.size};
    to->count++;
}

static void gather_get(struct gathered *to, const char *tail)
{
    char *get = put_head(mem_text(to->ctx, ""), "GET", to->issuer, tail);

    gather(to, mem_append(get, "\r\n"), (struct bytes){0});
}

/* One CertID, asked for by POST and by GET. */
static void gather_both(struct gathered *to, const struct ocsp_cert_id *id, bool by_spelling)
{
    const struct bytes der = ocsp_request_encode(to->ctx, ocsp_cert_id_encode(to->ctx, id));
    const char *base64 = base64_from_bytes(to->ctx, der);
    char *post = put_head(mem_text(to->ctx, ""), "POST", to->issuer, "");

    post = mem_append(post, "Content-Type: application/ocsp-request\r\nContent-Length: %zu\r\n\r\n",
                      der.size);
    gather(to, post, der);
    gather_get(to, escape(to->ctx, base64, "/"));
    if (by_spelling && strchr(base64, '/'))
        gather_get(to, escape(to->ctx, base64, "%2F"));
}

struct bytes ocsp_edge_requests(TALLOC_CTX *ctx, const struct ocsp_edge_target *target,
                                bool by_spelling, size_t *ret_count)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct gathered to = {.ctx = scratch, .issuer = target->issuer_id};
    struct ocsp_cert_id id = {0};

    *ret_count = 0;
    if (!serial_to_octets(scratch, target->serial, &id.serial))
        return to.all; /* no serial of ours */
    for (int i = 0; i < 4; i++) {
        const bool sha1 = i < 2;
        id.hash = sha1 ? OCSP_SHA1 : OCSP_SHA256;
        id.null_parameters = i % 2 == 0;
        id.name_hash = sha1 ? target->name_sha1 : target->name_sha256;
        id.key_hash = sha1 ? target->key_sha1 : target->key_sha256;
        gather_both(&to, &id, by_spelling);
    }
    gather_get(&to, mem_printf(scratch, "/%s", target->serial));
    *ret_count = to.count;
    return bytes_copy(ctx, to.all);
}

/* Connecting. */

static int release(struct ocsp_edge *edge)
{
    if (edge->fd >= 0)
        (void)close(edge->fd);
    edge->fd = -1;
    return 0;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The cast is the sockets interface's own; a full backlog answers EAGAIN at once. */
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return TAKE_FD(fd);
}

/* Numbers alone: who may be asked is on this host, and no name is looked up for it. */
static int connect_loopback(const char *place)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *colon = strrchr(place, ':');
    struct sockaddr_in address = {.sin_family = AF_INET};
    int64_t port = 0;

    errno = EINVAL;
    if (!colon || !text_to_integer(colon + 1, 1, 65535, &port))
        return -1;
    const char *host = mem_text_n(scratch, place, (size_t)(colon - place)); /* behind place */
    if (inet_pton(AF_INET, text_equal(host, "localhost") ? "127.0.0.1" : host, &address.sin_addr) !=
        1)
        return -1;
    address.sin_port = htons((uint16_t)port); /* within its limits */
    AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return TAKE_FD(fd);
}

static bool connect_anew(struct ocsp_edge *edge, struct fault *fault)
{
    (void)release(edge);
    edge->fd = edge->by_spelling ? connect_loopback(edge->place) : connect_unix(edge->place);
    edge->sent = edge->awaited = edge->used = 0;
    return edge->fd >= 0 || failed(fault, edge->place);
}

struct ocsp_edge *ocsp_edge_open(TALLOC_CTX *ctx, const char *place, struct fault *fault)
{
    struct ocsp_edge *edge = mem_new(ctx, struct ocsp_edge);

    edge->place = mem_text(edge, place);
    edge->fd = -1;
    edge->by_spelling = place[0] != '/';
    talloc_set_destructor(edge, release);
    if (connect_anew(edge, fault))
        return edge;
    talloc_free(edge);
    return NULL;
}

/* Waiting for answers. */

static bool wait_for(const struct ocsp_edge *edge, short events, int64_t deadline_us)
{
    struct pollfd watched = {.fd = edge->fd, .events = events};
    const int64_t left_us = deadline_us - clock_monotonic_us();

    errno = ETIMEDOUT;
    if (left_us <= 0)
        return false;
    return poll(&watched, 1, (int)least(left_us / 1000 + 1, INT64_C(60000))) > 0;
}

static bool send_all(const struct ocsp_edge *edge, struct bytes data, int64_t deadline_us)
{
    while (data.size > 0) {
        const ssize_t sent = send(edge->fd, data.data, data.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (sent < 0 && !wait_for(edge, POLLOUT, deadline_us))
            return false;
        if (sent > 0)
            data = (struct bytes){data.data + sent, data.size - (size_t)sent};
    }
    return true;
}

/* The length of the body that a head announces; false: none does, and where it ends is unknown. */
static bool body_length(const char *head, const char *end, size_t *ret_length)
{
    for (const char *at = head; at < end; at++) {
        int64_t length = 0;
        if (strncasecmp(at, "\r\nContent-Length: ", 18) != 0)
            continue;
        for (at += 18; *at >= '0' && *at <= '9' && length < BUFFER_SIZE; at++)
            length = length * 10 + *at - '0';
        *ret_length = (size_t)length; /* at most ten times BUFFER_SIZE */
        return true;
    }
    return false;
}

/* Whether the web server had its answer from the responder: a page that says it is overloaded, or
 * that nobody answered, replaces nothing of what it keeps. */
static bool was_answered(const char *head)
{
    return strncmp(head, "HTTP/1.1 ", 9) == 0 && head[9] < '5' && strncmp(head + 9, "429", 3) != 0;
}

/* Takes one answer from the front of the buffer. *ret_broken: it is none that we can use. */
static bool take_answer(struct ocsp_edge *edge, bool *ret_broken)
{
    edge->buffer[edge->used] = '\0';
    const char *end = strstr(edge->buffer, "\r\n\r\n");
    size_t length = 0;

    *ret_broken = !end && edge->used == BUFFER_SIZE - 1;
    if (!end)
        return false;
    if (!was_answered(edge->buffer) || !body_length(edge->buffer, end, &length) ||
        (size_t)(end - edge->buffer) + 4 + length >= BUFFER_SIZE) {
        *ret_broken = true;
        return false;
    }
    const size_t whole = (size_t)(end - edge->buffer) + 4 + length;
    if (edge->used < whole)
        return false;
    memmove(edge->buffer, edge->buffer + whole, edge->used - whole);
    edge->used -= whole;
    return true;
}

static bool receive(struct ocsp_edge *edge, int64_t deadline_us)
{
    const ssize_t got = recv(edge->fd, edge->buffer + edge->used, BUFFER_SIZE - 1 - edge->used,
                             MSG_DONTWAIT);

    if (got > 0)
        edge->used += (size_t)got; /* positive */
    if (got == 0)
        errno = ECONNRESET;
    return got > 0 ||
           (got < 0 && (errno == EAGAIN || errno == EINTR) && wait_for(edge, POLLIN, deadline_us));
}

bool ocsp_edge_send(struct ocsp_edge *edge, const struct ocsp_edge_target *target,
                    int64_t deadline_us, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    size_t count = 0;
    const struct bytes requests = ocsp_edge_requests(scratch, target, edge->by_spelling, &count);

    if (edge->sent + count > REQUESTS_MOST && !connect_anew(edge, fault))
        return false;
    edge->sent += count;
    edge->awaited += count;
    edge->deadline_us = deadline_us;
    return send_all(edge, requests, deadline_us) || failed(fault, "sending");
}

bool ocsp_edge_wait(struct ocsp_edge *edge, struct fault *fault)
{
    bool broken = false;

    while (edge->awaited > 0) {
        if (take_answer(edge, &broken)) {
            edge->awaited--;
            continue;
        }
        errno = EBADMSG;
        if (broken || !receive(edge, edge->deadline_us))
            return failed(fault, "the answers");
    }
    return true;
}

bool ocsp_edge_refresh(struct ocsp_edge *edge, const struct ocsp_edge_target *target,
                       int64_t deadline_us, struct fault *fault)
{
    return ocsp_edge_send(edge, target, deadline_us, fault) && ocsp_edge_wait(edge, fault);
}
