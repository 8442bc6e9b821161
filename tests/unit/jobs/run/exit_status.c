/* tests/unit/jobs/run/exit_status.c: which fault ends a job with which status (07 section 1.5). */

#include <criterion/criterion.h>
#include <sysexits.h>

#include "jobs/run/runner.h"

#include "core/banned.h"

Test(exit_status, says_whose_fault_it_was)
{
    static const struct {
        enum fault_reason reason;
        int status;
    } cases[] = {
        {DATABASE_UNREACHABLE, EX_TEMPFAIL   },
        {FILE_FAILED,          EX_TEMPFAIL   },
        {SCHEMA_MISMATCH,      EX_UNAVAILABLE},
        {SETTING_INVALID,      EX_CONFIG     },
        {INTERNAL,             EX_SOFTWARE   },
        {DATABASE_FAILED,      1             },
        {SIGNER_REFUSED,       1             },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct fault fault = {.reason = cases[i].reason};
        cr_expect_eq(job_exit_status(&fault), cases[i].status, "%s",
                     fault_reason_slug(fault.reason));
    }
}
