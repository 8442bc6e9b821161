/* tests/bench/options.h: --name=value for the programs of this room. */
#ifndef CERTCTL_BENCH_OPTIONS_H
#define CERTCTL_BENCH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

struct option_slot {
    const char *name;
    const char **text;
    int64_t *integer; /* one of both */
};

/* Every option has a default already; one that is unknown ends the program. */
void options_read(int argc, char **argv, const struct option_slot *slots, size_t count);

#endif
