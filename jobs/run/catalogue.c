/* jobs/run/catalogue.c: the one list of job binaries (07 section 2). */
#include "jobs/run/catalogue.h"

#include "core/macro.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

static const struct job_entry catalogue[] = {
    {"job-processor",    2,  "certctl-jobs",      "certctl_jobs",      JOB_PARALLEL,  true },
    {"job-timeout",      4,  "certctl-jobs",      "certctl_jobs",      JOB_SINGLETON, false},
    {"crl-generation",   13, "certctl-jobs",      "certctl_jobs",      JOB_PARALLEL,  true },
    {"acme-gc",          14, "certctl-jobs",      "certctl_jobs",      JOB_SINGLETON, false},
    {"rate-limit-gc",    16, "certctl-jobs",      "certctl_jobs",      JOB_SINGLETON, false},
    {"housekeeping",     22, "certctl-jobs",      "certctl_jobs",      JOB_SINGLETON, false},
    {"acme-validate",    23, "certctl-jobs",      "certctl_jobs",      JOB_PARALLEL,  true },
    {"certificate-lint", 34, "certctl-jobs",      "certctl_jobs",      JOB_SINGLETON, false},
    {"acme-finalize",    24, "certctl-jobs",      "certctl_jobs",      JOB_PARALLEL,  true },
    {"site-certificate", 33, "certctl-jobs",      "certctl_jobs",      JOB_PARALLEL,  false},
    {"ca-hierarchy",     25, "certctl-ca",        "certctl_ca",        JOB_SINGLETON, true },
    {"signer-reconcile", 32, "certctl-reconcile", "certctl_reconcile", JOB_PARALLEL,  true },
    {"ocsp-presign",     27, "certctl-pki",       "certctl_pki",       JOB_PARALLEL,  true },
    {"ocsp-refresh",     26, "certctl-jobs",      "certctl_jobs",      JOB_PARALLEL,  true },
};

const struct job_entry *job_catalogue(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(catalogue);
    return catalogue;
}

const struct job_entry *job_entry_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(catalogue); i++) {
        if (text_equal(catalogue[i].name, name))
            return &catalogue[i];
    }
    return NULL;
}

const char *job_role_of_user(const char *user)
{
    for (size_t i = 0; i < ARRAY_SIZE(catalogue); i++) {
        if (text_equal(catalogue[i].user, user))
            return catalogue[i].role;
    }
    return NULL;
}

char *job_state_key(TALLOC_CTX *ctx, const struct job_entry *entry, const char *host)
{
    if (entry->mode == JOB_SINGLETON)
        return mem_text(ctx, entry->name);
    return mem_printf(ctx, "%s@%s", entry->name, host);
}
