/* lib/metric/expose.h: metrics as Prometheus reads them, text format 0.0.4. */
#ifndef CERTCTL_METRIC_EXPOSE_H
#define CERTCTL_METRIC_EXPOSE_H

#include <stddef.h>

#include "core/memory.h"

/* A series as the database has it; a histogram's buckets are counted each for itself. */
struct metric_sample {
    const char *name;
    const char *labels; /* "a=\"b\",c=\"d\"", values escaped; "" where there are none */
    double value;
};

/* Every family with its HELP and TYPE, by name; its series by their labels. Series of no family are
 * left out. Sorts `samples`. Child of ctx. */
char *metric_expose(TALLOC_CTX *ctx, struct metric_sample *samples, size_t count);

#endif
