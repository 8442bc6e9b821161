/* lib/db/migrate_files.h: the SQL files of a release, read into memory in their order. */
#ifndef CERTCTL_DB_MIGRATE_FILES_H
#define CERTCTL_DB_MIGRATE_FILES_H

#include <stdbool.h>
#include <talloc.h>

#include "core/fault.h"

struct sql_file {
    const char *name;     /* as below the directory, e.g. "grants/acme.sql" */
    char version[5];      /* four digits; "" for files that are no migrations */
    const char *text;     /* ends with NUL */
    const char *checksum; /* SHA-256, hex */
    bool no_transaction;  /* its first line says so */
};

struct sql_files {
    struct sql_file *items;
    size_t count;
};

struct release_files {
    struct sql_file roles;
    struct sql_files migrations; /* by number */
    struct sql_files others;     /* functions, seeds, grants, in the order in which they run */
    const char *others_checksum; /* over the names and contents of roles.sql and the others */
};

/* Hangs on ctx. Refuses files that are missing, unreadable, above 4 MiB or numbered twice. */
struct release_files *release_files_read(TALLOC_CTX *ctx, const char *directory,
                                         struct fault *fault);

#endif
