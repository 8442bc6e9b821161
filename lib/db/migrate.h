/* lib/db/migrate.h: bringing a database to the schema of this release (05 section 6.1).
 *
 * A directory holds roles.sql, the migrations NNNN_name.sql, functions/, seeds.sql and grants/.
 * Everything runs under one advisory lock and, but for roles.sql, as certctl_owner. Only
 * certctl-migrate and tests use this; a responder never changes a schema. */
#ifndef CERTCTL_DB_MIGRATE_H
#define CERTCTL_DB_MIGRATE_H

#include <stdbool.h>

#include "core/fault.h"
#include "db/db.h"

enum migrate_mode {
    MIGRATE_UP,
    MIGRATE_DRY_RUN, /* says what up would apply */
    MIGRATE_STATUS,  /* says of each file whether it is applied */
};

struct migrate_options {
    const char *directory;
    enum migrate_mode mode;
    void (*report)(const char *line); /* one line without its end, for a person */
};

/* Stops at the first file that fails, whose transaction is undone; what went before stays. The
 * fault's detail names the file and line: it is meant for the operator. */
bool migrate(const struct db_options *options, const struct migrate_options *migration,
             struct fault *fault);

#endif
