/* tests/unit/jobs/place.c: a directory of a test's own. */
#include "place.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/memory.h"

#include "core/banned.h"

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int place_gone(char *path)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

const char *place_make(TALLOC_CTX *ctx)
{
    char *path = mem_text(ctx, "/tmp/certctl-jobs-XXXXXX");

    cr_assert_not_null(mkdtemp(path));
    talloc_set_destructor(path, place_gone);
    return path;
}
