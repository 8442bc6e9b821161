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
#define INPUT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfcgi forgets 48 octets for a management record of a type that it does not know. Only the web
 * server can send one, and a worker that has grown leaves. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfcgi.so";
}

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
    if (size > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
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
