/* jobs/ca/load.c: the files of CERTCTL_CA_CERT_PATH and CERTCTL_CA_KEY_PATH, in the order of 04
 * section 3.2. The key is the signer's to open. */
#include "jobs/ca/load.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "lifecycle/ca_submit.h"

#include "jobs/ca/store.h"

#include "core/banned.h"

#define ISSUER   "iss-local"
#define FILE_MAX 65536

/* $1 issuer, $2 CA, $3 SHA-256 of the request. */
STATEMENT(ca_load_known,
          "SELECT EXISTS (SELECT 1 FROM ca_instances WHERE id = $2::text AND issuer_id = $1::text) "
          "OR EXISTS (SELECT 1 FROM ca_requests WHERE issuer_id = $1::text AND kind = 'import' "
          "AND fields_sha256 = $3::text AND state IN ('pending', 'approved', 'failed')) AS known");

/* $1 issuer, $2 what is wrong, or NULL. */
STATEMENT(
    ca_load_state,
    "UPDATE issuers SET test_status = CASE WHEN $2::text IS NULL THEN 'success' "
    "ELSE 'failed' END, last_error = $2::text, last_tested_at = now() "
    "WHERE id = $1::text AND (last_error IS DISTINCT FROM $2::text OR test_status = 'untested')");

/* What was told last, by this process. */
static char told[sizeof((struct fault){0}.detail)];

static bool read_file(TALLOC_CTX *ctx, const char *path, const char **ret, struct fault *fault)
{
    char *text = mem_array(ctx, char, FILE_MAX + 1);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t size = fd < 0 ? -1 : read(fd, text, FILE_MAX + 1);

    if (size < 0) {
        fault_set(fault, INPUT_INVALID, "chain", "ca_cert_path not accessible: %s", path);
        return fault_cause_errno(fault, path);
    }
    if (size > FILE_MAX || memchr(text, 0, (size_t)size))
        return fault_set(fault, INPUT_INVALID, "chain",
                         "invalid CA certificate PEM (expected CERTIFICATE block)");
    text[size] = '\0';
    *ret = text;
    return true;
}

static bool is_its_key(const struct ca_work *work, const char *reference,
                       const struct certificate *certificate, struct fault *fault)
{
    const struct signer_request request = {.kind = SIGNER_PUBLIC_KEY, .key_ref = reference};
    struct signer_reply reply;

    if (!ca_ask(work, &request, &reply, fault))
        return false;
    return bytes_equal(reply.spki, certificate->spki) ||
           fault_set(fault, INPUT_INVALID, "key_ref", "CA key does not match CA certificate");
}

/* The order of an import, once everything that can be known holds. */
static bool judge(const struct ca_work *work, struct ca_order *order,
                  struct certificate **ret_certificate, struct fault *fault)
{
    const struct settings *settings = work->run->settings;
    struct certificate **chain = NULL;
    size_t count = 0;

    if (!settings->ca_cert_path || !settings->ca_key_path)
        return fault_set(fault, SETTING_INVALID, NULL,
                         "ca_cert_path and ca_key_path must both be set for sub-CA mode");
    if (!read_file(work->ctx, settings->ca_cert_path, &order->chain, fault) ||
        !ca_chain_read(work->ctx, order->chain, &chain, &count, fault) ||
        !ca_chain_check(chain, count, clock_now_s(), fault))
        return false;
    order->key_ref = settings->ca_key_path;
    *ret_certificate = chain[0];
    return is_its_key(work, order->key_ref, chain[0], fault);
}

static bool submit_once(const struct ca_work *work, struct ca_order *order,
                        const struct certificate *certificate, struct fault *fault)
{
    const struct ca_asker asker = {.actor = CA_ACTOR, .actor_type = "System"};
    const char *id;

    ca_order_urls(work->ctx, work->run->settings->pki_base_url, ISSUER, order);
    AUTO(json_t) *body = ca_order_to_body(order);
    const struct ca_request request = {ca_order_kind_text(CA_IMPORT), ISSUER, CA_ACTOR, body};
    struct rows *rows = db_query(
        work->ctx, work->run->db, &ca_load_known, fault, TEXT(ISSUER),
        TEXT(mem_printf(work->ctx, "ca-%.16s", certificate->fingerprint_sha256)),
        TEXT(ca_request_sha256(work->ctx, &request)));
    if (!rows)
        return false;
    if (row_bool(rows, 0, "known"))
        return true;
    if (work->run->dry_run) {
        job_would("ask for the import of", work->run->settings->ca_cert_path, 1);
        return true;
    }
    if (!lifecycle_ca_request(work->ctx, work->run->db, &request, &asker, &id, fault))
        return false;
    work->run->items_ok++;
    return true;
}

/* A signer or database that is away is no word about the CA. */
static bool tell(const struct ca_work *work, const struct fault *why, struct fault *fault)
{
    const char *wrong = why->reason == REASON_NONE ? NULL : why->detail;

    if (why->reason == SIGNER_UNREACHABLE || work->run->dry_run)
        return true;
    if (wrong && !text_equal(told, wrong)) {
        (void)snprintf(told, sizeof told, "%s", wrong);
        job_item_failed(work->run, "CERTCTL_CA_CERT_PATH", why);
    }
    return db_query(work->ctx, work->run->db, &ca_load_state, fault, TEXT(ISSUER), TEXT(wrong)) !=
           NULL;
}

bool ca_load(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct ca_work work = {.ctx = ctx, .run = run};
    struct ca_order order = {.kind = CA_IMPORT, .path_len = -1};
    struct certificate *certificate = NULL;
    struct fault why = {0};

    if (!run->settings->ca_cert_path && !run->settings->ca_key_path)
        return true;
    if (!judge(&work, &order, &certificate, &why) || !certificate)
        return tell(&work, &why, fault);
    return submit_once(&work, &order, certificate, fault) && tell(&work, &why, fault);
}
