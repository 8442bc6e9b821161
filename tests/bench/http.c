/* tests/bench/http.c: HTTP/1.1 over one kept-alive TLS connection. */
#include "tests/bench/http.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define CHUNKED SIZE_MAX

struct http_host http_host_new(TALLOC_CTX *ctx, const struct loop *loop, const char *url,
                               const char *root_file)
{
    const bool tls = text_starts(url, "https://");
    const char *authority = url + strlen(tls ? "https://" : "http://");
    const char *colon = strchr(authority, ':');
    int64_t port;

    if (!colon || !text_to_integer(mem_text_n(ctx, colon + 1, strspn(colon + 1, "0123456789")), 1,
                                   65535, &port))
        give_up("%s: a URL with a port is wanted", url);
    struct http_host host = {
        .loop = loop,
        .address = {.sin_family = AF_INET,
                    .sin_port = htons((uint16_t)port),
                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .name = mem_text_n(ctx, authority, (size_t)(colon - authority)),
        .port = (unsigned)port,
    };
    if (!tls)
        return host;
    host.tls = SSL_CTX_new(TLS_client_method());
    if (!host.tls || SSL_CTX_set_min_proto_version(host.tls, TLS1_3_VERSION) != 1 ||
        (root_file && SSL_CTX_load_verify_locations(host.tls, root_file, NULL) != 1))
        give_up("the root in %s cannot be used", root_file);
    SSL_CTX_set_verify(host.tls, root_file ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(host.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_AUTO_RETRY);
    return host;
}

const char *http_path(const char *url)
{
    const char *authority = strstr(url, "://");
    const char *path = authority ? strchr(authority + 3, '/') : url;

    return path ? path : "/";
}

static void connection_close(struct http *http)
{
    if (http->ssl)
        SSL_free(http->ssl);
    if (http->watcher.fd >= 0)
        (void)close(http->watcher.fd);
    http->ssl = NULL;
    http->watcher.fd = -1;
    http->close = false;
}

/* Loopback: connecting does not wait. */
static void connection_open(struct http *http)
{
    const struct http_host *host = http->host;
    const int one = 1;

    connection_close(http);
    http->watcher.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (http->watcher.fd < 0 || connect(http->watcher.fd, (const struct sockaddr *)&host->address,
                                        sizeof(host->address)) != 0)
        give_up("port %u: %s", host->port, strerror(errno));
    (void)setsockopt(http->watcher.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)fcntl(http->watcher.fd, F_SETFL, O_NONBLOCK);
    if (!host->tls)
        return;
    http->ssl = SSL_new(host->tls);
    if (!http->ssl || SSL_set_fd(http->ssl, http->watcher.fd) != 1 ||
        SSL_set_tlsext_host_name(http->ssl, host->name) != 1 ||
        SSL_set1_host(http->ssl, host->name) != 1)
        give_up("TLS cannot begin");
    SSL_set_connect_state(http->ssl);
}

static void answer_done(struct http *http, unsigned status)
{
    http->answer.status = status;
    http->answer.took_us = clock_monotonic_us() - http->began_us;
    http->busy = false;
    if (status == 0 || http->close)
        connection_close(http);
    http->answered(http);
}

/* Bytes moved; 0: would wait; -1: broken. */
static ssize_t tls_result(struct http *http, int result)
{
    if (result > 0)
        return result;
    const int error = SSL_get_error(http->ssl, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t plain_result(ssize_t result)
{
    if (result > 0)
        return result;
    return result < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t send_some(struct http *http)
{
    const char *data = http->out + http->out_done;
    const size_t size = http->out_size - http->out_done;

    if (http->ssl)
        return tls_result(http, SSL_write(http->ssl, data, (int)size)); /* a few KiB */
    return plain_result(write(http->watcher.fd, data, size));
}

static ssize_t receive_some(struct http *http)
{
    uint8_t *into = http->in + http->in_size;
    const size_t room = sizeof(http->in) - http->in_size;

    if (http->ssl)
        return tls_result(http, SSL_read(http->ssl, into, (int)room)); /* HTTP_ANSWER_MAX */
    return plain_result(read(http->watcher.fd, into, room));
}

static void field_copy(char into[HTTP_FIELD_MAX], const char *value, size_t length)
{
    const size_t size = least(length, (size_t)HTTP_FIELD_MAX - 1);

    memcpy(into, value, size);
    into[size] = '\0';
}

static bool field_named(const char *line, size_t length, const char *name)
{
    const size_t size = strlen(name);

    return length > size && strncasecmp(line, name, size) == 0;
}

static size_t number_at(const char *text)
{
    size_t number = 0;

    for (text += strspn(text, " "); *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (size_t)(*text - '0');
    return number;
}

static void field_read(struct http *http, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    const char *value = colon ? colon + 1 + strspn(colon + 1, " ") : line + length;
    const size_t size = (size_t)(line + length - value);

    if (field_named(line, length, "content-length:"))
        http->body_size = number_at(value);
    else if (field_named(line, length, "transfer-encoding:"))
        http->body_size = CHUNKED;
    else if (field_named(line, length, "connection:"))
        http->close = size >= 5 && strncasecmp(value, "close", 5) == 0;
    else if (field_named(line, length, "replay-nonce:"))
        field_copy(http->answer.nonce, value, size);
    else if (field_named(line, length, "location:"))
        field_copy(http->answer.location, value, size);
}

static bool head_read(struct http *http)
{
    char *text = (char *)http->in; /* octets as text: the head is ASCII */
    const char *end = memmem(text, http->in_size, "\r\n\r\n", 4);

    if (!end)
        return false;
    http->head_size = (size_t)(end + 4 - text);
    http->answer.status = (unsigned)number_at(text + strlen("HTTP/1.1"));
    http->body_size = 0;
    for (const char *line = strstr(text, "\r\n") + 2; line < end;) {
        const char *next = strstr(line, "\r\n");

        field_read(http, line, (size_t)(next - line));
        line = next + 2;
    }
    if (http->head || http->answer.status == 204 || http->answer.status == 304)
        http->body_size = 0;
    return true;
}

/* Joins the chunks in place once the last one is there. */
static bool chunks_read(struct http *http)
{
    uint8_t *into = http->in + http->head_size;
    const uint8_t *end = http->in + http->in_size;
    const uint8_t *at = into;
    uint8_t *put = into;
    size_t size = 1;

    if (http->in_size < http->head_size + 5 || memcmp(end - 5, "0\r\n\r\n", 5) != 0)
        return false;
    while (size > 0) {
        size = 0;
        for (; *at != '\r'; at++)
            size = size * 16 + (size_t)(*at <= '9' ? *at - '0' : (*at | 0x20) - 'a' + 10);
        memmove(put, at + 2, size);
        put += size;
        at += size + 4;
    }
    http->answer.body = (struct bytes){into, (size_t)(put - into)};
    return true;
}

static bool body_read(struct http *http)
{
    if (http->body_size == CHUNKED)
        return chunks_read(http);
    http->answer.body = (struct bytes){http->in + http->head_size, http->body_size};
    return http->in_size >= http->head_size + http->body_size;
}

static bool send_all(struct http *http)
{
    while (http->out_done < http->out_size) {
        const ssize_t sent = send_some(http);

        if (sent < 0)
            return false;
        if (sent == 0)
            break;
        http->out_done += (size_t)sent; /* positive */
    }
    return true;
}

static void on_ready(struct watcher *watcher, uint32_t events)
{
    struct http *http = (struct http *)watcher; /* its first member */
    ssize_t got;

    (void)events;
    if (!http->busy) { /* the server closes what idled */
        connection_close(http);
        return;
    }
    if (!send_all(http)) {
        answer_done(http, 0);
        return;
    }
    while ((got = receive_some(http)) > 0) {
        http->in_size += (size_t)got;
        if ((http->head_size > 0 || head_read(http)) && body_read(http)) {
            answer_done(http, http->answer.status);
            return;
        }
        if (http->in_size == sizeof(http->in))
            give_up("an answer is longer than %d bytes", HTTP_ANSWER_MAX);
    }
    if (got < 0) {
        answer_done(http, 0);
        return;
    }
    loop_watch(http->host->loop, watcher,
               http->out_done < http->out_size && (!http->ssl || SSL_want_write(http->ssl))
                   ? EPOLLIN | EPOLLOUT
                   : EPOLLIN);
}

void http_open(struct http *http, const struct http_host *host)
{
    http->host = host;
    http->watcher = (struct watcher){.fd = -1, .ready = on_ready};
}

void http_request(struct http *http, const char *method, const char *path, const char *type,
                  struct bytes body)
{
    const struct http_host *host = http->host;

    TALLOC_FREE(http->out);
    http->out = mem_printf(http, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: certctl-bench\r\n",
                           method, path, host->name, host->port);
    if (body.data)
        http->out = mem_append(http->out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", type,
                               body.size);
    else
        http->out = mem_append(http->out, "\r\n");
    http->out_size = strlen(http->out);
    http->out = mem_resize(http, http->out, char, http->out_size + body.size);
    if (body.data)
        memcpy(http->out + http->out_size, body.data, body.size);
    http->out_size += body.size;
    http->out_done = 0;
    http->in_size = 0;
    http->head_size = 0;
    http->head = text_equal(method, "HEAD");
    http->answer = (struct http_answer){0};
    http->busy = true;
    const bool fresh = http->watcher.fd < 0;
    if (fresh)
        connection_open(http);
    http->began_us = clock_monotonic_us();
    /* What cannot be sent at once goes out with the next event; a fault shows itself there. */
    (void)send_all(http);
    loop_watch(host->loop, &http->watcher,
               EPOLLIN | (http->out_done < http->out_size && !http->ssl ? EPOLLOUT : 0u));
}
