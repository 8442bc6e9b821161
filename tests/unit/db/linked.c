/* tests/unit/db/linked.c: the linker, told to drop what nobody refers to, keeps every statement.
 *
 * A program of its own, since Criterion's tests do not survive --gc-sections themselves. */
#include <stdlib.h>

#include "db/db.h"

#include "core/banned.h"

STATEMENT(linked_here, "SELECT 1");

/* This one, and db_schema_version of connection.c, which db_new brings in. */
int main(void)
{
    const struct db_options options = {.url = NULL};
    struct db *db = db_new(NULL, &options);
    size_t count;
    const struct statement *list = statements(&count);
    bool here = false;
    bool there = false;
    for (size_t i = 0; i < count; i++) {
        here = here || text_equal(list[i].name, "linked_here");
        there = there || text_equal(list[i].name, "db_schema_version");
    }
    talloc_free(db);
    return here && there && count == 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
