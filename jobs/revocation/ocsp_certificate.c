/* jobs/revocation/ocsp_certificate.c: the certificate half of 04 section 12: certctl-jobs alone may
 * ask the signer for the certificate of an OCSP responder, and certctl-pki alone has its key. */
#include "jobs/revocation/ocsp_certificate.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "signer/client.h"

#include "core/banned.h"

#define BACKDATED_S 300
/* After a refusal or a signer that is away, so that a queue is not a loop. */
#define PAUSE_US INT64_C(2000000)

STATEMENT(responder_waiting,
          "SELECT p.issuer_id, p.ca_id, p.node_id, p.wanted_spki, p.wanted_key_path, c.key_ref, "
          "c.not_after FROM ocsp_responders p JOIN ca_instances c ON c.id = p.ca_id "
          "WHERE p.wanted_spki IS NOT NULL AND c.state <> 'lost' AND c.not_after > now() "
          "ORDER BY p.ca_id, p.node_id");

/* $1 issuer, $2 CA, $3 host, $4 the key that was certified, $5 PEM, $6 serial, $7 $8 validity, $9
 * id of the audit row, $10 its details. No row: another key is wanted meanwhile. */
STATEMENT(responder_store,
          "WITH stored AS (UPDATE ocsp_responders SET cert_pem = $5::text, "
          "rotated_from = cert_serial, cert_serial = $6::text, key_path = wanted_key_path, "
          "not_before = $7::timestamptz, not_after = $8::timestamptz, wanted_spki = NULL, "
          "wanted_key_path = NULL, updated_at = now() WHERE issuer_id = $1::text "
          "AND ca_id = $2::text AND node_id = $3::text AND wanted_spki = $4::bytea "
          "RETURNING ca_id) "
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details) SELECT $9::text, 'certctl-job-crl-generation', 'System', "
          "'ocsp_responder_rotated', 'ca', ca_id, $10::jsonb FROM stored");

static char *details_of(TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                        const struct certificate *certificate)
{
    AUTO(json_t) *details = json_object();

    json_set_text(details, "issuer_id", row_text(rows, row, "issuer_id"));
    json_set_text(details, "node_id", row_text(rows, row, "node_id"));
    json_set_text(details, "serial", certificate->serial);
    json_set_text(details, "not_after", time_to_rfc3339(ctx, certificate->not_after));
    return json_to_text(ctx, details);
}

static bool store(struct job_run *run, TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                  const struct certificate *certificate, struct fault *fault)
{
    return db_query(ctx, run->db, &responder_store, fault, TEXT(row_text(rows, row, "issuer_id")),
                    TEXT(row_text(rows, row, "ca_id")), TEXT(row_text(rows, row, "node_id")),
                    BYTEA(row_bytes(ctx, rows, row, "wanted_spki")),
                    TEXT(pem_encode(ctx, "CERTIFICATE", certificate->der)),
                    TEXT(certificate->serial), INSTANT(certificate->not_before),
                    INSTANT(certificate->not_after), TEXT(id_new(ctx, "audit")),
                    TEXT(details_of(ctx, rows, row, certificate))) != NULL;
}

static bool certify(struct job_run *run, const struct rows *rows, size_t row, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const int64_t now_s = clock_now_s();
    const struct ocsp_wish wish = {
        .spki = row_bytes(ctx, rows, row, "wanted_spki"),
        .not_before = now_s - BACKDATED_S,
        .not_after = least(now_s + run->settings->ocsp_responder_validity_ms / 1000,
                           row_time(rows, row, "not_after")),
    };
    struct bytes der;

    if (!signer_sign_ocsp_responder(ctx, run->settings->signer_socket,
                                    row_text(rows, row, "key_ref"), &wish, &der, fault))
        return false;
    const struct certificate *certificate = certificate_from_der(ctx, der, fault);
    return certificate && store(run, ctx, rows, row, certificate, fault);
}

static void say(const struct job_run *run, const struct rows *rows, size_t row)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "OCSP responder certified");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "item", row_text(rows, row, "ca_id"));
    log_text(&line, "node", row_text(rows, row, "node_id"));
    log_end(&line);
}

bool ocsp_certify(struct job_run *run, struct fault *fault)
{
    static int64_t failed_us;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (failed_us > 0 && clock_monotonic_us() - failed_us < PAUSE_US)
        return true;
    struct rows *rows = db_query_params(scratch, run->db, &responder_waiting, fault, NULL, 0);
    if (!rows)
        return false;
    for (size_t i = 0; i < rows->count && !job_should_stop(run); i++) {
        struct fault why = {0};
        if (certify(run, rows, i, &why)) {
            run->items_ok++;
            say(run, rows, i);
        } else {
            failed_us = clock_monotonic_us();
            job_item_failed(run, row_text(rows, i, "ca_id"), &why);
        }
    }
    return true;
}
