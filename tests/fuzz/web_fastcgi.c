/* tests/fuzz/web_fastcgi.c: what stands on the wire when anybody writes to a responder's socket:
 * FastCGI records as libfcgi reads them (CVE-2025-23016 was in ReadParams), and then ours. */
#include <assert.h>
#include <fcgiapp.h>
#include <sys/socket.h>

#include "../unit/web/rig.h"
#include "core/auto.h"
#include "core/log.h"
#include "core/memory.h"

#include "core/banned.h"

/* Less than a socket takes without a reader. */
#define INPUT_MAX   65536
#define HEADER_SIZE 8
#define BEGIN       1
#define PARAMS      4
#define LENGTH_MAX  (1u << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfcgi forgets 48 octets for a management record of a type that it does not know. Only the web
 * server can send one, and a worker that has grown leaves. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfcgi.so";
}

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
/* A request as a web server sends it: its beginning, its params, its body. With anything else
 * among the records (management, another request, padding, params before the beginning) libfcgi
 * takes some for params and leaves out others, and we cannot tell what it reads as a length. */
static bool is_plain(struct bytes wire)
{
    const uint8_t *first = wire.data;

    for (bool begun = false; wire.size >= HEADER_SIZE; begun = true) {
        const uint8_t *header = wire.data;
        const size_t content = (size_t)header[4] << 8 | header[5];
        const size_t step = least(HEADER_SIZE + content, wire.size);
        const bool ours = header[2] == first[2] && header[3] == first[3] && header[2] + header[3];
        if (!ours || header[6] != 0 || (header[1] == BEGIN) == begun)
            return false;
        wire = (struct bytes){wire.data + step, wire.size - step};
    }
    return true;
}

/* Whether any octet could begin a length above LENGTH_MAX. */
static bool could_announce(struct bytes wire)
{
    for (size_t i = 0; i < wire.size; i++)
        if (wire.data[i] > 0x80)
            return true;
    return false;
}

/* All that records of params hold, one after the other. */
static struct bytes params_of(TALLOC_CTX *ctx, struct bytes wire)
{
    uint8_t *all = mem_array(ctx, uint8_t, wire.size + 1);
    size_t used = 0;

    while (wire.size >= HEADER_SIZE) {
        const size_t announced = (size_t)wire.data[4] << 8 | wire.data[5];
        const size_t content = least(announced, wire.size - HEADER_SIZE);
        const size_t step = least(HEADER_SIZE + content + wire.data[6], wire.size);
        if (wire.data[1] == PARAMS)
            memcpy(all + used, wire.data + HEADER_SIZE, content);
        used += wire.data[1] == PARAMS ? content : 0;
        wire = (struct bytes){wire.data + step, wire.size - step};
    }
    return (struct bytes){all, used};
}

/* One octet, or four with the top bit set. SIZE_MAX: cut off. */
static size_t take_length(struct bytes *from)
{
    const size_t octets = from->size > 0 && from->data[0] & 0x80 ? 4 : 1;
    size_t length = 0;

    if (from->size < octets)
        return SIZE_MAX;
    for (size_t i = 0; i < octets; i++)
        length = length << 8 | (i == 0 && octets == 4 ? from->data[0] & 0x7f : from->data[i]);
    *from = (struct bytes){from->data + octets, from->size - octets};
    return length;
}

/* libfcgi asks malloc for what is announced, and ends the process when there is none: two gigabytes
 * are its limit, and what its int wraps to is above all limits (Debian's 2.4.2-2+deb12u1). That
 * ends a worker, and only the web server can ask for it; here it would be the end of the search. */
static bool announces_too_much(TALLOC_CTX *ctx, struct bytes wire)
{
    struct bytes left = params_of(ctx, wire);

    if (!is_plain(wire))
        return could_announce(wire);
    while (left.size > 0) {
        const size_t name = take_length(&left);
        const size_t value = name == SIZE_MAX ? SIZE_MAX : take_length(&left);
        if (value == SIZE_MAX)
            return false;
        if (name > LENGTH_MAX || value > LENGTH_MAX)
            return true;
        const size_t step = least(name + value, left.size);
        left = (struct bytes){left.data + step, left.size - step};
    }
    return false;
}

#else
/* The corpus is replayed whole. */
static bool announces_too_much(TALLOC_CTX *ctx, struct bytes wire)
{
    (void)ctx;
    (void)wire;
    return false;
}
#endif

/* The answer is cut at any octet by our closing, never by our waiting. */
static void drain(int fd)
{
    uint8_t octets[4096];

    while (recv(fd, octets, sizeof(octets), MSG_DONTWAIT) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    static FCGX_Request connection;
    struct rig *rig = rig_new(scratch);
    int ends[2];

    log_configure(LOG_ERROR, LOG_JSON);
    if (size > INPUT_MAX || announces_too_much(scratch, (struct bytes){data, size}) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return 0;
    assert(FCGX_Init() == 0);
    assert(FCGX_InitRequest(&connection, -1, FCGI_FAIL_ACCEPT_ON_INTR) == 0);
    assert(send(ends[0], data, size, MSG_NOSIGNAL) == (ssize_t)size || size == 0);
    assert(shutdown(ends[0], SHUT_WR) == 0);
    web_connection_serve(scratch, &rig->host, &connection, ends[1]);
    drain(ends[0]);
    (void)close(ends[0]);
    return 0;
}
