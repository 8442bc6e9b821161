/* tests/unit/db/fixture.h: databases for tests, in the cluster that with-postgres started. */
#ifndef CERTCTL_TESTS_UNIT_DB_FIXTURE_H
#define CERTCTL_TESTS_UNIT_DB_FIXTURE_H

#include <stdbool.h>
#include <talloc.h>

#include "db/db.h"

/* The SQL files of this source tree. */
#define RELEASE_SQL SOURCE_DIR "/sql"

/* A connection string to a new database: empty, or migrated to this release. */
const char *fixture_database(TALLOC_CTX *ctx, bool migrated);
/* A db of that database as the superuser, or as the role where one is named. */
struct db *fixture_db(TALLOC_CTX *ctx, const char *database, const char *role);

/* Over a connection of its own; the first value of the first row, NULL where there is none. Fails
 * the test where the server refuses. */
const char *fixture_sql(TALLOC_CTX *ctx, const char *database, const char *sql);
/* The SQLSTATE with which the server refuses, as this role; "00000" where it does not. */
const char *fixture_refusal(TALLOC_CTX *ctx, const char *database, const char *role,
                            const char *sql);

/* A directory of its own below the temporary one; removed with ctx. */
const char *fixture_directory(TALLOC_CTX *ctx);
void fixture_write(const char *directory, const char *name, const char *text);

#endif
