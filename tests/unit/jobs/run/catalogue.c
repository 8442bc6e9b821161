/* tests/unit/jobs/run/catalogue.c: the list of jobs holds together (07 section 2). */

#include "jobs/run/catalogue.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/id.h"
#include "core/text.h"

#include "core/banned.h"

Test(catalogue, names_and_numbers_are_unique)
{
    size_t count = 0;
    const struct job_entry *entries = job_catalogue(&count);

    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++) {
        cr_expect(id_valid(entries[i].name), "%s names files and sockets", entries[i].name);
        cr_expect_eq(job_entry_by_name(entries[i].name), &entries[i]);
        for (size_t other = 0; other < i; other++)
            cr_expect_neq(entries[other].number, entries[i].number, "%s and %s share a lock",
                          entries[other].name, entries[i].name);
    }
    cr_expect_null(job_entry_by_name("no-such-job"));
    cr_expect_null(job_entry_by_name(NULL));
}

/* One user, one role: certctl-tick opens one connection for all jobs of its user. */
Test(catalogue, each_user_has_one_role)
{
    size_t count = 0;
    const struct job_entry *entries = job_catalogue(&count);

    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(job_role_of_user(entries[i].user), entries[i].role);
    cr_expect_str_eq(job_role_of_user("certctl-ca"), "certctl_ca", "not the role of the others");
    cr_expect_null(job_role_of_user("certctl-acme"));
    cr_expect_null(job_role_of_user(NULL));
}

Test(catalogue, parallel_jobs_have_a_row_for_each_host)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct job_entry alone = {.name = "a", .mode = JOB_SINGLETON};
    const struct job_entry shared = {.name = "b", .mode = JOB_PARALLEL};

    cr_expect_str_eq(job_state_key(scratch, &alone, "h1"), "a");
    cr_expect_str_eq(job_state_key(scratch, &shared, "h1"), "b@h1");
    cr_expect_str_eq(job_state_key(scratch, &shared, "h2"), "b@h2");
}
