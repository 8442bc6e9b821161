/* tests/fuzz/fake_db.h: lib/db without a database. One flat table answers every statement: a row
 * whose columns have the values given here. Text parameters must be UTF-8, as for PostgreSQL. */
#ifndef CERTCTL_TESTS_FUZZ_FAKE_DB_H
#define CERTCTL_TESTS_FUZZ_FAKE_DB_H

#include "db/db.h"

struct fake_column {
    const char *name;
    const char *value; /* NULL: SQL NULL; octets are hex; arrays are separated by newlines */
};

/* Borrowed. What stands first counts. */
extern const struct fake_column *fake_columns;
extern size_t fake_column_count;
/* Statements with these names give no row; NULL at the end. */
extern const char *const *fake_empty;

struct db *fake_db_new(TALLOC_CTX *ctx);

#endif
