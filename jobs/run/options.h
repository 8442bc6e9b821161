/* jobs/run/options.h: the options that all job binaries share (07 section 1.6). */
#ifndef CERTCTL_JOBS_RUN_OPTIONS_H
#define CERTCTL_JOBS_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/macro.h"

#define JOB_LIMIT_MAX  1000000
#define JOB_LINGER_MAX (3600 * INT64_C(1000)) /* ms */

struct job_options {
    bool force;            /* skip the due gate, never the locks */
    bool dry_run;          /* reads only; says as JSON lines what it would do */
    bool check_statements; /* prepare every statement under the job's role and leave */
    bool version;
    bool help;
    int64_t linger_ms;
    int64_t limit;    /* 0: the job's own */
    const char *host; /* NULL: gethostname */
};

/* False after a line on stderr: exit 64. */
bool job_options_parse(int argc, char **argv, struct job_options *ret_options) MUST_USE;
void job_options_usage(const char *name);

#endif
