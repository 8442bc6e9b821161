/* jobs/run/options.c: the options that all job binaries share (07 section 1.6). */
#include "jobs/run/options.h"

#include <getopt.h>
#include <stdio.h>

#include "core/text.h"

#include "core/banned.h"

enum option_letter {
    OPTION_FORCE = 1000,
    OPTION_DRY_RUN,
    OPTION_LINGER,
    OPTION_LIMIT,
    OPTION_HOST,
    OPTION_CHECK_STATEMENTS,
    OPTION_VERSION,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"force",            no_argument,       NULL, OPTION_FORCE           },
    {"dry-run",          no_argument,       NULL, OPTION_DRY_RUN         },
    {"linger",           required_argument, NULL, OPTION_LINGER          },
    {"limit",            required_argument, NULL, OPTION_LIMIT           },
    {"host",             required_argument, NULL, OPTION_HOST            },
    {"check-statements", no_argument,       NULL, OPTION_CHECK_STATEMENTS},
    {"version",          no_argument,       NULL, OPTION_VERSION         },
    {"help",             no_argument,       NULL, OPTION_HELP            },
    {NULL,               0,                 NULL, 0                      },
};

static bool refused(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    return false;
}

static bool take_value(int letter, const char *value, struct job_options *options)
{
    switch (letter) {
    case OPTION_LINGER:
        return (text_to_duration_ms(value, &options->linger_ms) &&
                options->linger_ms <= JOB_LINGER_MAX) ||
               refused("--linger must be a duration of at most 1h, like 25s");
    case OPTION_LIMIT:
        return text_to_integer(value, 1, JOB_LIMIT_MAX, &options->limit) ||
               refused("--limit must be a number from 1 to 1000000");
    case OPTION_HOST:
        options->host = value;
        return (*value && strlen(value) <= 255) || refused("--host must be 1 to 255 bytes");
    default:
        return false;
    }
}

static bool take(int letter, const char *value, struct job_options *options)
{
    switch (letter) {
    case OPTION_FORCE:
        options->force = true;
        return true;
    case OPTION_DRY_RUN:
        options->dry_run = true;
        return true;
    case OPTION_CHECK_STATEMENTS:
        options->check_statements = true;
        return true;
    case OPTION_VERSION:
        options->version = true;
        return true;
    case OPTION_HELP:
        options->help = true;
        return true;
    default:
        return value && take_value(letter, value, options);
    }
}

bool job_options_parse(int argc, char **argv, struct job_options *ret_options)
{
    struct job_options options = {0};

    optind = 0; /* GNU: start anew, so that a test may parse twice */
    for (;;) {
        const int letter = getopt_long(argc, argv, "", long_options, NULL);
        if (letter == -1)
            break;
        if (!take(letter, optarg, &options))
            return false;
    }
    if (optind < argc)
        return refused("a job takes options only");
    *ret_options = options;
    return true;
}

void job_options_usage(const char *name)
{
    (void)printf("usage: certctl-job-%s [--force] [--dry-run] [--linger=DURATION] [--limit=N]\n"
                 "       [--host=NAME] [--check-statements] [--version] [--help]\n"
                 "\n"
                 "One bounded run of the job, when it is due and nobody else runs it.\n"
                 "  --force             run although it is not due\n"
                 "  --dry-run           write nothing; print what would be done as JSON lines\n"
                 "  --linger=DURATION   stay and look again when woken and every 2 s\n"
                 "  --limit=N           at most N items per look\n"
                 "  --host=NAME         instead of the host's own name\n"
                 "  --check-statements  check every statement under the job's database role\n",
                 name);
}
