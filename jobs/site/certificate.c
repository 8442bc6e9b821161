/* jobs/site/certificate.c: the web server's own certificate on this host, issued by our own CA (07
 * section 2, 00 decision 61). It must not expire unseen: no client could reach what would tell. */
#include <stdio.h>
#include <time.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "lifecycle/issue.h"
#include "pki/certificate.h"

#include "jobs/run/runner.h"
#include "jobs/site/file.h"
#include "jobs/site/probe.h"
#include "jobs/site/request.h"

#include "core/banned.h"

/* How long the reload may take. */
#define SERVED_WITHIN_S 60
/* Profile or CA changed between reading and commit: so often we read again. */
#define STALE_TRIES 3

/* $1 profile. */
STATEMENT(site_profile,
          "SELECT coalesce(p.enroll_owner_id, 'o-enrollment') AS owner_id, "
          "coalesce(p.enroll_team_id, 't-enrollment') AS team_id, "
          /* this job is the one that renews it */
          "'rp-none' AS renewal_policy_id, " ISSUE_COLUMNS
          "FROM certificate_profiles p JOIN issuers i ON i.id = coalesce(p.issuer_id, "
          "(SELECT min(o.id::text) FROM issuers o WHERE o.enabled HAVING count(*) = 1)) "
          "LEFT JOIN issuing_cas c ON c.issuer_id = i.id WHERE p.id = $1::text");

/* $1 fingerprint. Of ours, and not revoked. */
STATEMENT(site_certificate_good,
          "SELECT EXISTS (SELECT 1 FROM certificate_versions v WHERE v.fingerprint_sha256 = "
          "$1::text AND NOT EXISTS (SELECT 1 FROM certificate_revocations r WHERE r.issuer_id = "
          "v.issuer_id AND r.serial_number = v.serial_number AND r.lifted_at IS NULL)) AS good");

/* $1 id, $2 message, $3 payload, $4 key: told once for a certificate. */
STATEMENT(site_alert,
          "INSERT INTO notification_events (id, type, channel, recipient, message, severity, "
          "subject, payload, dedup_key) VALUES ($1::text, 'SystemAlert', 'Email', '', $2::text, "
          "'critical', 'The web server does not serve its certificate', $3::text::jsonb, "
          "$4::text) ON CONFLICT (dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING");

static bool wanted_here(const struct settings *settings)
{
    return settings->site_cert_names.count > 0;
}

static bool same_names(const struct name_list *a, const struct name_list *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!name_list_has(b, &a->items[i]))
            return false;
    return a->count == b->count;
}

/* A third of the life is left, or less. */
static bool is_old(const struct certificate *certificate)
{
    const int64_t life_s = certificate->not_after - certificate->not_before;

    return clock_now_s() >= certificate->not_after - life_s / 3;
}

static const struct certificate *current_certificate(TALLOC_CTX *ctx, const struct job_run *run)
{
    struct fault ignored = {0};
    const char *chain = site_file_chain(ctx, run->settings->site_cert_dir);

    return chain ? certificate_from_pem(ctx, chain, &ignored) : NULL;
}

/* *ret_due with the reason in words, or NULL. */
static bool ask_due(struct job_run *run, const struct certificate *certificate,
                    const struct issue_grant *grant, const char **ret_due, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    *ret_due = NULL;
    if (!certificate)
        *ret_due = "there is none";
    else if (!same_names(&certificate->names, issue_grant_names(grant)))
        *ret_due = "its names are others";
    else if (is_old(certificate))
        *ret_due = "a third of its life is left";
    if (*ret_due)
        return true;
    struct rows *rows = db_query(scratch, run->db, &site_certificate_good, fault,
                                 TEXT(certificate->fingerprint_sha256));
    if (rows && !row_bool(rows, 0, "good"))
        *ret_due = "it is revoked, or not of this CA";
    return rows != NULL;
}

static bool issue_once(TALLOC_CTX *ctx, struct job_run *run, const struct issue_grant *grant,
                       const struct site_request *request, const char **ret_chain,
                       struct fault *fault)
{
    const char *profile_id = run->settings->site_cert_profile_id;
    struct issue_request wanted;
    struct issue_result result = {0};

    struct rows *rows = db_query(ctx, run->db, &site_profile, fault, TEXT(profile_id));
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, PROFILE_UNAVAILABLE, "CERTCTL_SITE_CERT_PROFILE_ID",
                         "there is no profile %s with an issuer", profile_id ? profile_id : "");
    if (!issue_request_from_row(ctx, rows, &wanted, fault))
        return false;
    wanted.grant = grant;
    wanted.csr_der = request->csr_der;
    wanted.actor = "certctl-job-site-certificate";
    if (!lifecycle_issue(ctx, run->db, run->settings, &wanted, &result, fault))
        return false;
    *ret_chain = mem_printf(ctx, "%s%s", pem_encode(ctx, "CERTIFICATE", result.certificate->der),
                            wanted.ca->chain_pem);
    return true;
}

static bool renew(struct job_run *run, const struct issue_grant *grant, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *chain = NULL;
    struct site_request request;

    if (!site_request_make(scratch, issue_grant_names(grant), &request, fault))
        return false;
    for (int i = 0; i < STALE_TRIES && !chain; i++)
        if (!issue_once(scratch, run, grant, &request, &chain, fault) &&
            fault->reason != ISSUANCE_STALE)
            return false;
    return chain && site_file_replace(run->settings->site_cert_dir, request.key_pem, chain, fault);
}

static void say_renewed(struct job_run *run, const char *why)
{
    struct log_line line;

    run->items_ok++;
    log_begin(&line, LOG_INFO, "the site's certificate was renewed");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "why", why);
    log_end(&line);
}

/* The first DNS name of the certificate, for a web server that has several. */
static const char *server_name(const struct certificate *certificate)
{
    for (size_t i = 0; i < certificate->names.count; i++)
        if (certificate->names.items[i].kind == NAME_DNS)
            return certificate->names.items[i].value;
    return NULL;
}

static void alert(struct job_run *run, const struct certificate *certificate, const char *served,
                  const struct fault *why)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *payload = json_object();
    struct fault ignored = {0};

    json_set_text(payload, "kind", "site_certificate");
    json_set_text(payload, "host", run->host);
    json_set_text(payload, "probe", run->settings->site_cert_probe);
    json_set_text(payload, "written_sha256", certificate->fingerprint_sha256);
    json_set_text(payload, "served_sha256", served);
    json_set_text(payload, "error", served ? NULL : why->detail);
    const char *message = mem_printf(
        scratch, "[ALERT] %s does not serve the certificate that was written for it on %s.",
        run->settings->site_cert_probe, run->host);
    const char *once = mem_printf(scratch, "site-certificate:%s:%s", run->host,
                                  certificate->fingerprint_sha256);
    if (db_query(scratch, run->db, &site_alert, &ignored, TEXT(id_new(scratch, "ntf")),
                 TEXT(message), TEXT(json_to_text(scratch, payload)), TEXT(once)))
        db_wake(run->db, "notification-process");
    else
        job_item_failed(run, "alert", &ignored);
}

static void pause_a_second(void)
{
    const struct timespec second = {.tv_sec = 1};

    (void)nanosleep(&second, NULL);
}

/* What was written must be what is served: the reload is somebody else's. */
static bool see_it_served(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t until_us = clock_monotonic_us() + SERVED_WITHIN_S * INT64_C(1000000);
    const struct certificate *written = current_certificate(scratch, run);
    const char *served = NULL;

    if (!written)
        return fault_set(fault, FILE_FAILED, NULL, "the site's certificate cannot be read back");
    while (!job_should_stop(run)) {
        served = site_probe(scratch, run->settings->site_cert_probe, server_name(written), fault);
        if (text_equal(served, written->fingerprint_sha256))
            return true;
        if (clock_monotonic_us() >= until_us)
            break;
        pause_a_second();
    }
    if (job_should_stop(run))
        return true;
    alert(run, written, served, fault);
    return fault_set(fault, RESOURCE_STATE, NULL,
                     "what is served is not the certificate that was written");
}

static bool look(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct issue_grant *grant = issue_grant_for_site(scratch, run->settings, fault);
    const char *why = NULL;

    if (!grant || !ask_due(run, current_certificate(scratch, run), grant, &why, fault))
        return false;
    if (run->dry_run) {
        if (why)
            job_would("renew", why, 1);
        return true;
    }
    if (why) {
        if (!renew(run, grant, fault))
            return false;
        say_renewed(run, why);
    }
    return see_it_served(run, fault);
}

static const struct confine_path confine_paths[] = {
    JOB_CONFINE_PATHS, {CONFINE_WRITE, AT(settings, site_cert_dir), NULL}
};
static const struct confine_plan confine_plan = {
    .paths = confine_paths, .path_count = ARRAY_SIZE(confine_paths), .may_network = true};

static const struct job site_certificate = {
    .name = "site-certificate",
    .interval_setting = AT(settings, site_certificate_interval_ms),
    .limit_s = 300,
    .enabled = wanted_here,
    .confine = &confine_plan,
    .run = look,
};

int main(int argc, char **argv)
{
    return job_main(&site_certificate, argc, argv);
}
