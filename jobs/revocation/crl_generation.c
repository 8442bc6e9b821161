/* jobs/revocation/crl_generation.c: builds the CRLs that are due, publishes files on this host, and
 * has the keys of OCSP responders certified (07 section 2, 04 sections 9 and 12). Nobody else does
 * (00 decision 53). */
#include "core/auto.h"
#include "core/log.h"

#include "jobs/revocation/crl_build.h"
#include "jobs/revocation/crl_publish.h"
#include "jobs/revocation/ocsp_certificate.h"

#include "core/banned.h"

static void say_built(struct job_run *run, const char *ca_id)
{
    struct log_line line;

    run->items_ok++;
    log_begin(&line, LOG_INFO, "CRL built");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "item", ca_id);
    log_end(&line);
}

/* A CA whose list cannot be built does not keep the others from theirs. */
static void build_due(struct job_run *run, const struct rows *due)
{
    for (size_t i = 0; i < due->count && !job_should_stop(run); i++) {
        struct fault why = {0};
        bool built = false;

        if (!crl_build(run, due, i, &built, &why))
            job_item_failed(run, row_text(due, i, "id"), &why);
        else if (built)
            say_built(run, row_text(due, i, "id"));
    }
}

static bool look(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *due = crl_due(scratch, run, NULL, fault);

    if (!due)
        return false;
    if (run->dry_run) {
        for (size_t i = 0; i < due->count; i++)
            job_would("build", row_text(due, i, "id"), 1);
        return true;
    }
    build_due(run, due);
    return ocsp_certify(run, fault) && crl_publish(run, fault) &&
           crl_due_next_ms(run, &run->look_again_ms, fault);
}

static const struct confine_path confine_paths[] = {
    JOB_CONFINE_PATHS, {CONFINE_WRITE, AT(settings, pki_publish_dir), NULL}
};
static const struct confine_plan confine_plan = {.paths = confine_paths,
                                                 .path_count = ARRAY_SIZE(confine_paths)};

static const struct job crl_generation = {
    .name = "crl-generation",
    .interval_ms = 10000,
    .limit_s = 300,
    .confine = &confine_plan,
    .run = look,
};

int main(int argc, char **argv)
{
    return job_main(&crl_generation, argc, argv);
}
