/* tests/unit/jobs/place.h: a directory of a test's own. */
#ifndef CERTCTL_TESTS_JOBS_PLACE_H
#define CERTCTL_TESTS_JOBS_PLACE_H

#include <talloc.h>

/* On ctx; removed with all that is in it when ctx is freed. */
const char *place_make(TALLOC_CTX *ctx);

#endif
