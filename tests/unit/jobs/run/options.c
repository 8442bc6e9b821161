/* tests/unit/jobs/run/options.c: the options of a job at their exact limits (07 section 1.6). */

#include "jobs/run/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/banned.h"

static const struct {
    const char *about;
    const char *arguments[4];
    bool read;
    struct job_options wanted;
} cases[] = {
    {"nothing",                   {NULL},                   true,  {0}                       },
    {"force",                     {"--force"},              true,  {.force = true}           },
    {"dry run",                   {"--dry-run"},            true,  {.dry_run = true}         },
    {"two of them",               {"--force", "--dry-run"}, true,  {.force = 1, .dry_run = 1}},
    {"check",                     {"--check-statements"},   true,  {.check_statements = true}},
    {"version",                   {"--version"},            true,  {.version = true}         },
    {"help",                      {"--help"},               true,  {.help = true}            },
    {"linger",                    {"--linger=25s"},         true,  {.linger_ms = 25000}      },
    {"linger, two words",         {"--linger", "1m"},       true,  {.linger_ms = 60000}      },
    {"linger for an hour",        {"--linger=1h"},          true,  {.linger_ms = 3600000}    },
    {"linger for longer",         {"--linger=1h1ms"},       false, {0}                       },
    {"linger without unit",       {"--linger=25"},          false, {0}                       },
    {"linger without value",      {"--linger"},             false, {0}                       },
    {"limit of one",              {"--limit=1"},            true,  {.limit = 1}              },
    {"limit of none",             {"--limit=0"},            false, {0}                       },
    {"the highest limit",         {"--limit=1000000"},      true,  {.limit = 1000000}        },
    {"a limit above",             {"--limit=1000001"},      false, {0}                       },
    {"a limit that is no number", {"--limit=1x"},           false, {0}                       },
    {"empty host",                {"--host="},              false, {0}                       },
    {"unknown",                   {"--frobnicate"},         false, {0}                       },
    {"a word",                    {"now"},                  false, {0}                       },
    {"good, then bad",            {"--force", "--limit=0"}, false, {0}                       },
};

static int arguments_of(const char *const *from, char **to, char *room, size_t size)
{
    int count = 0;

    to[count++] = room;
    (void)snprintf(room, size, "certctl-job-x");
    for (size_t at = strlen(room) + 1; count < 5 && from[count - 1]; count++) {
        to[count] = room + at;
        at += (size_t)snprintf(room + at, size - at, "%s", from[count - 1]) + 1;
    }
    to[count] = NULL;
    return count;
}

Test(options, are_read_or_refused_whole)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char room[256];
        char *arguments[6];
        const int count = arguments_of(cases[i].arguments, arguments, room, sizeof room);
        struct job_options options = {.limit = 77};
        const bool read = job_options_parse(count, arguments, &options);
        const struct job_options untouched = {.limit = 77};
        const struct job_options *wanted = cases[i].read ? &cases[i].wanted : &untouched;

        cr_expect_eq(read, cases[i].read, "%s", cases[i].about);
        cr_expect_eq(options.force, wanted->force, "%s", cases[i].about);
        cr_expect_eq(options.dry_run, wanted->dry_run, "%s", cases[i].about);
        cr_expect_eq(options.check_statements, wanted->check_statements, "%s", cases[i].about);
        cr_expect_eq(options.version, wanted->version, "%s", cases[i].about);
        cr_expect_eq(options.help, wanted->help, "%s", cases[i].about);
        cr_expect_eq(options.linger_ms, wanted->linger_ms, "%s", cases[i].about);
        cr_expect_eq(options.limit, wanted->limit, "%s", cases[i].about);
    }
}

Test(options, host_is_taken_as_it_is)
{
    char program[] = "certctl-job-x";
    char host[] = "--host=node-7";
    char *arguments[] = {program, host, NULL};
    struct job_options options;

    cr_assert(job_options_parse(2, arguments, &options));
    cr_expect_str_eq(options.host, "node-7");
}
