/* tests/unit/web/fastcgi.c: records of the FastCGI specification 1.0, sections 3.3 to 5.5. */
#include "fastcgi.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

enum record { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

int fastcgi_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = 15};
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, strlen(path));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
        return -1;
    return TAKE_FD(fd);
}

static bool send_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_record(int fd, enum record type, struct bytes content)
{
    const uint8_t header[8] = {
        1, (uint8_t)type, 0, 1, (uint8_t)(content.size >> 8), (uint8_t)content.size};
    return content.size <= 0xffff && send_all(fd, header, sizeof(header)) &&
           send_all(fd, content.data, content.size);
}

bool fastcgi_begin(int fd, uint8_t flags)
{
    const uint8_t body[8] = {0, 1, flags};
    return send_record(fd, BEGIN_REQUEST, BYTES_OF(body));
}

/* Section 3.4: lengths always in four bytes, which every reader must take. */
static size_t put_length(uint8_t *into, size_t length)
{
    into[0] = (uint8_t)(0x80 | length >> 24);
    into[1] = (uint8_t)(length >> 16);
    into[2] = (uint8_t)(length >> 8);
    into[3] = (uint8_t)length;
    return 4;
}

static bool send_param(int fd, const char *param)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const size_t name = strcspn(param, "=");
    const size_t value = strlen(param) - name - 1;
    uint8_t *content = mem_array(scratch, uint8_t, 8 + name + value);
    size_t used = put_length(content, name);

    used += put_length(content + used, value);
    memcpy(content + used, param, name);
    memcpy(content + used + name, param + name + 1, value);
    return send_record(fd, PARAMS, (struct bytes){content, used + name + value});
}

bool fastcgi_some_params(int fd, const char *const *params)
{
    for (; *params; params++)
        if (!send_param(fd, *params))
            return false;
    return true;
}

bool fastcgi_params(int fd, const char *const *params)
{
    return fastcgi_some_params(fd, params) && send_record(fd, PARAMS, (struct bytes){0});
}

bool fastcgi_stdin(int fd, struct bytes data)
{
    return send_record(fd, STDIN, data);
}

static bool receive_all(int fd, uint8_t *into, size_t size)
{
    while (size > 0) {
        const ssize_t got = recv(fd, into, size, 0);
        if (got <= 0)
            return false;
        into += got;
        size -= (size_t)got;
    }
    return true;
}

/* CGI's head ends with an empty line. */
static void split(TALLOC_CTX *ctx, const char *output, struct fastcgi_answer *answer)
{
    const char *end = strstr(output, "\r\n\r\n");
    int64_t status = 0;

    if (!end || !text_starts(output, "Status: ") ||
        !text_to_integer(mem_text_n(ctx, output + 8, 3), 100, 599, &status))
        return;
    answer->status = (int)status;
    answer->head = mem_text_n(ctx, output, (size_t)(end - output) + 2);
    answer->body = mem_text(ctx, end + 4);
}

struct fastcgi_answer fastcgi_read(TALLOC_CTX *ctx, int fd)
{
    struct fastcgi_answer answer = {.head = "", .body = ""};
    char *output = mem_text(ctx, "");
    uint8_t header[8];
    uint8_t content[0xffff + 0xff];

    while (!answer.ended && receive_all(fd, header, sizeof(header))) {
        const size_t size = (size_t)header[4] << 8 | header[5];
        if (!receive_all(fd, content, size + header[6]))
            break;
        if (header[1] == STDOUT)
            output = mem_append(output, "%.*s", (int)size, (const char *)content);
        answer.ended = header[1] == END_REQUEST && size == 8 &&
                       memcmp(content, "\0\0\0\0\0", 5) == 0;
    }
    answer.closed = answer.ended && recv(fd, header, 1, 0) == 0;
    split(ctx, output, &answer);
    return answer;
}
