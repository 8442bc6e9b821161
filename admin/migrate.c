/* admin/migrate.c: certctl-migrate, the only program that changes the schema (05 section 6.1). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/settings.h"
#include "db/migrate.h"

#include "core/banned.h"

static const char usage[] =
    "usage: certctl-migrate [--up | --dry-run | --status]\n"
    "  --up       apply what is missing (the default)\n"
    "  --dry-run  say what --up would apply\n"
    "  --status   say of each migration whether it is applied\n"
    "The database is CERTCTL_DATABASE_URL, the files are in CERTCTL_DATABASE_MIGRATIONS_PATH\n"
    "(default " CERTCTL_DATADIR "/sql).\n";

static void print_line(const char *line)
{
    (void)printf("%s\n", line);
    (void)fflush(stdout);
}

static bool read_mode(int argc, char **argv, enum migrate_mode *ret_mode)
{
    static const struct option options[] = {
        {"up",      no_argument, NULL, MIGRATE_UP     },
        {"dry-run", no_argument, NULL, MIGRATE_DRY_RUN},
        {"status",  no_argument, NULL, MIGRATE_STATUS },
        {NULL,      0,           NULL, 0              },
    };
    *ret_mode = MIGRATE_UP;
    int found;
    while ((found = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (found == '?')
            return false;
        *ret_mode = (enum migrate_mode)found; /* one of the values above */
    }
    return optind == argc;
}

static int exit_code(const struct fault *fault)
{
    return fault->reason == DATABASE_UNREACHABLE || fault->reason == DATABASE_BUSY ? EX_TEMPFAIL
                                                                                   : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    enum migrate_mode mode;
    if (!read_mode(argc, argv, &mode)) {
        (void)fputs(usage, stderr);
        return EX_USAGE;
    }
    struct settings settings;
    settings_load_or_exit(&settings);

    const struct db_options database = {
        .url = settings.database_url,
        .application_name = "certctl-migrate",
    };
    const struct migrate_options options = {
        .directory = settings.database_migrations_path,
        .mode = mode,
        .report = print_line,
    };
    struct fault fault = {0};
    if (migrate(&database, &options, &fault))
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "certctl-migrate: %s%s%s\n", fault.detail, fault.cause[0] ? ": " : "",
                  fault.cause);
    return exit_code(&fault);
}
