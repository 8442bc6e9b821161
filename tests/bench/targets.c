/* tests/bench/targets.c: a DNS server and a web server for http-01 (RFC 8555 section 8.3). */
#include "tests/bench/targets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/memory.h"

#include "core/banned.h"

#define DNS_HEAD     12
#define DNS_MAX      512
#define DNS_TYPE_A   1
#define REQUEST_MAX  4096
#define HOST_MAX     256
#define TOKEN_BEFORE "GET /.well-known/acme-challenge/"

struct targets {
    const struct loop *loop;
    struct targets_ops ops;
    struct watcher dns;
    struct watcher http;
};

/* The two listeners are members of struct targets; each connection is one of these. */
struct visitor {
    struct watcher watcher; /* first */
    struct targets *targets;
    char request[REQUEST_MAX];
    size_t size;
};

/* The one question of a query, its name walked over: the octets up to its end, or 0. */
static size_t question_end(const uint8_t *query, size_t size)
{
    size_t at = DNS_HEAD;

    while (at < size && query[at] != 0)
        at += query[at] + 1U;
    return at + 5 <= size ? at + 5 : 0;
}

static void on_dns(struct watcher *watcher, uint32_t events)
{
    static const uint8_t record[] = {0xc0, DNS_HEAD, 0, DNS_TYPE_A, 0,   1, 0, 0,
                                     0,    60,       0, 4,          127, 0, 0, 1};
    uint8_t packet[DNS_MAX + sizeof(record)];
    struct sockaddr_in peer;
    socklen_t peer_size = sizeof(peer);
    const ssize_t got = recvfrom(watcher->fd, packet, DNS_MAX, 0, (struct sockaddr *)&peer,
                                 &peer_size);

    (void)events;
    if (got < DNS_HEAD)
        return;
    const size_t end = question_end(packet, (size_t)got);
    if (end == 0)
        return;
    const bool known = packet[end - 3] == DNS_TYPE_A && packet[end - 4] == 0;
    const uint8_t head[] = {0x81, 0x80, 0, 1, 0, known, 0, 0, 0, 0};
    memcpy(packet + 2, head, sizeof(head));
    memcpy(packet + end, record, sizeof(record));
    (void)sendto(watcher->fd, packet, end + (known ? sizeof(record) : 0), 0,
                 (const struct sockaddr *)&peer, peer_size);
}

static void visitor_end(struct visitor *visitor)
{
    (void)close(visitor->watcher.fd);
    talloc_free(visitor);
}

static void proof_send(struct visitor *visitor, const char *token, const char *host)
{
    const struct targets_ops *ops = &visitor->targets->ops;
    const char *thumbprint = ops->thumbprint(ops->arg, host);
    const char *body = thumbprint ? mem_printf(visitor, "%s.%s", token, thumbprint) : "";
    const char *answer = mem_printf(
        visitor, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
        thumbprint ? "200 OK" : "404 Not Found", strlen(body), body);

    (void)send(visitor->watcher.fd, answer, strlen(answer), MSG_NOSIGNAL);
    if (thumbprint)
        ops->fetched(ops->arg, host);
}

static void visitor_answer(struct visitor *visitor)
{
    const char *line = strcasestr(visitor->request, "\r\nhost:");
    const char *token = visitor->request + strlen(TOKEN_BEFORE);
    char host[HOST_MAX] = "";

    if (strncmp(visitor->request, TOKEN_BEFORE, strlen(TOKEN_BEFORE)) != 0 || !line)
        return;
    line += strlen("\r\nhost:");
    line += strspn(line, " ");
    const size_t length = strcspn(line, ":\r");
    if (length < sizeof(host))
        memcpy(host, line, length);
    proof_send(visitor, mem_text_n(visitor, token, strcspn(token, " ")), host);
}

static void on_visitor(struct watcher *watcher, uint32_t events)
{
    struct visitor *visitor = (struct visitor *)watcher; /* its first member */
    const ssize_t got = read(watcher->fd, visitor->request + visitor->size,
                             sizeof(visitor->request) - 1 - visitor->size);

    (void)events;
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0) {
        visitor->size += (size_t)got; /* positive */
        visitor->request[visitor->size] = '\0';
        if (!strstr(visitor->request, "\r\n\r\n") && visitor->size < sizeof(visitor->request) - 1)
            return;
        visitor_answer(visitor);
    }
    visitor_end(visitor);
}

static void on_http(struct watcher *watcher, uint32_t events)
{
    struct targets *targets = (struct targets *)((char *)watcher - offsetof(struct targets, http));
    const int fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    struct visitor *visitor = mem_new(targets, struct visitor);
    visitor->targets = targets;
    visitor->watcher = (struct watcher){.fd = fd, .ready = on_visitor};
    loop_watch(targets->loop, &visitor->watcher, EPOLLIN);
}

static int socket_at(int type, unsigned port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port), /* 65535 at most */
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int one = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        (type == SOCK_STREAM && listen(fd, SOMAXCONN) != 0))
        give_up("port %u: %s", port, strerror(errno));
    return fd;
}

struct targets *targets_new(TALLOC_CTX *ctx, const struct loop *loop, unsigned dns_port,
                            unsigned http_port, const struct targets_ops *ops)
{
    struct targets *targets = mem_new(ctx, struct targets);

    targets->loop = loop;
    targets->ops = *ops;
    targets->dns = (struct watcher){.fd = socket_at(SOCK_DGRAM, dns_port), .ready = on_dns};
    targets->http = (struct watcher){.fd = socket_at(SOCK_STREAM, http_port), .ready = on_http};
    loop_watch(loop, &targets->dns, EPOLLIN);
    loop_watch(loop, &targets->http, EPOLLIN);
    return targets;
}
