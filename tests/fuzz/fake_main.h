/* tests/fuzz/fake_main.h: web_main, which keeps the responder instead of serving it. */
#ifndef CERTCTL_TESTS_FUZZ_FAKE_MAIN_H
#define CERTCTL_TESTS_FUZZ_FAKE_MAIN_H

#include "web/serve.h"

/* Of the last web_main. */
extern const struct responder *fake_responder;

/* The mains of the responders, renamed. */
int certctl_acme_main(int argc, char **argv);
int certctl_api_main(int argc, char **argv);

#endif
