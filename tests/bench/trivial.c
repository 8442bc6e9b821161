/* tests/bench/trivial.c: the plainest FastCGI responder: a pool that answers a fixed text, as the
 * limit that no responder of ours can pass. usage: trivial SOCKET WORKERS BYTES */
#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/text.h"
#include "tests/bench/loop.h"

#include "core/banned.h"

#define BACKLOG 1024

static void serve(int fd, int64_t size)
{
    FCGX_Request request;

    if (FCGX_InitRequest(&request, fd, 0) != 0)
        give_up("libfcgi does not begin");
    while (FCGX_Accept_r(&request) == 0) {
        (void)FCGX_FPrintF(request.out,
                           "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                           "Cache-Control: public, max-age=60\r\n\r\n",
                           (int)size);
        for (int64_t i = 0; i < size; i++)
            (void)FCGX_PutChar('x', request.out);
        FCGX_Finish_r(&request);
    }
}

int main(int argc, char **argv)
{
    int64_t workers = 0;
    int64_t size = 0;

    if (argc != 4 || !text_to_integer(argv[2], 1, 64, &workers) ||
        !text_to_integer(argv[3], 0, 65536, &size))
        give_up("usage: trivial SOCKET WORKERS BYTES");
    (void)umask(0);
    if (FCGX_Init() != 0)
        give_up("libfcgi does not begin");
    const int fd = FCGX_OpenSocket(argv[1], BACKLOG);
    if (fd < 0)
        give_up("%s: no socket can be made", argv[1]);
    for (int64_t i = 1; i < workers; i++)
        if (fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            break;
        }
    serve(fd, size);
    return EXIT_SUCCESS;
}
