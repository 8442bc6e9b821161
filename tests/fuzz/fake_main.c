/* tests/fuzz/fake_main.c: web_main, which keeps the responder instead of serving it. */
#include "fake_main.h"

#include "core/banned.h"

const struct responder *fake_responder;

int web_main(const struct responder *responder, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fake_responder = responder;
    return 0;
}
