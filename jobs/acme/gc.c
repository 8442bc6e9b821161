/* jobs/acme/gc.c: orders and authorizations of ACME end, old ones go, nonce keys change (01 section
 * 15).
 *
 * Spent nonces leave with the rest of replay_guard (rate-limit-gc). Accounts are never deleted. */
#include <openssl/crypto.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/macro.h"
#include "core/memory.h"
#include "metric/metric.h"
#include "seal/seal.h"

#include "jobs/run/runner.h"

#include "core/banned.h"

#define BATCH          5000
#define NONCE_KEY_SIZE 32

/* $1 batch, $2 audit id. */
STATEMENT(acme_gc_authz, "SELECT acme_gc_authorizations($1::integer, $2::text) AS swept");
STATEMENT(acme_gc_order, "SELECT acme_gc_orders($1::integer, $2::text) AS swept");
/* $3 retention in ms. */
STATEMENT(acme_gc_unissued,
          "SELECT acme_gc_purge($1::integer, $3::bigint * interval '1 millisecond', false, "
          "$2::text) AS swept");
STATEMENT(acme_gc_issued,
          "SELECT acme_gc_purge($1::integer, $3::bigint * interval '1 millisecond', true, "
          "$2::text) AS swept");
/* Sealing takes 0.1 s, so it is asked first. */
STATEMENT(acme_gc_nonce_due,
          "SELECT EXISTS (SELECT 1 FROM acme_nonce_keys WHERE retired_at IS NULL AND created_at < "
          "now() - interval '24 hours') AS due");
/* $1 secret, $2 life of a nonce in ms, $3 audit id. */
STATEMENT(acme_gc_nonce_key, "SELECT acme_nonce_rotate($1::bytea, interval '24 hours', "
                             "$2::bigint * interval '1 millisecond', $3::text) AS swept");

STATEMENT(acme_gc_due,
          "SELECT (SELECT count(*) FROM acme_authorizations WHERE status IN ('pending', 'valid') "
          "AND expires_at < now()) AS authorizations, (SELECT count(*) FROM acme_orders "
          "WHERE status IN ('pending', 'ready') AND expires_at < now()) AS orders");

/* Orders with certificates that live on are looked at in vain: the first run of an hour does it. */
STATEMENT(acme_gc_hour, "SELECT NOT EXISTS (SELECT 1 FROM scheduler_state WHERE job = 'acme-gc' "
                        "AND last_success_at >= date_trunc('hour', now())) AS first");

struct sweep {
    const char *what;
    const struct statement *statement;
    int64_t retention_ms; /* 0: the statement knows none */
    enum metric counted;  /* METRIC_COUNT: nowhere */
};

static int64_t sweep_once(struct job_run *run, const struct sweep *sweep, int64_t batch,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct db_param params[] = {INTEGER(batch), TEXT(id_new(scratch, "audit")),
                                      INTEGER(sweep->retention_ms)};
    struct rows *rows = db_query_params(scratch, run->db, sweep->statement, fault, params,
                                        sweep->retention_ms > 0 ? 3 : 2);

    return rows ? row_integer(rows, 0, "swept") : -1;
}

/* Batches until one is not full. What fails is told, and keeps no other sweep from its work. */
static void sweep_all(struct job_run *run, const struct sweep *sweep)
{
    const int64_t batch = job_batch(run, BATCH);
    struct fault why = {0};
    int64_t swept = batch;

    while (swept == batch && !job_should_stop(run)) {
        swept = sweep_once(run, sweep, batch, &why);
        if (swept < 0) {
            job_item_failed(run, sweep->what, &why);
            return;
        }
        run->items_ok += swept;
        if (sweep->counted != METRIC_COUNT)
            metric_add(sweep->counted, NULL, swept);
        if (run->limit > 0)
            return;
    }
}

/* -1: failed. */
static int64_t change_nonce_key(struct job_run *run, TALLOC_CTX *scratch, struct fault *fault)
{
    const struct seal_passphrases passphrases = seal_passphrases_of(run->settings);
    uint8_t secret[NONCE_KEY_SIZE];

    random_bytes(secret, sizeof(secret));
    const struct bytes *sealed = seal_write(scratch, &passphrases, BYTES_OF(secret), fault);
    OPENSSL_cleanse(secret, sizeof(secret));
    struct rows *rows = !sealed
                            ? NULL
                            : db_query(scratch, run->db, &acme_gc_nonce_key, fault, BYTEA(*sealed),
                                       INTEGER(run->settings->acme_nonce_ttl_ms),
                                       TEXT(id_new(scratch, "audit")));
    return rows ? row_integer(rows, 0, "swept") : -1;
}

static void rotate_nonce_key(struct job_run *run)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault why = {0};
    struct rows *rows = db_query_params(scratch, run->db, &acme_gc_nonce_due, &why, NULL, 0);
    int64_t changed = rows ? 0 : -1;

    if (rows && row_bool(rows, 0, "due"))
        changed = change_nonce_key(run, scratch, &why);
    if (changed >= 0)
        run->items_ok += changed;
    else
        job_item_failed(run, "nonce key", &why);
}

static bool say_what_is_due(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query_params(scratch, run->db, &acme_gc_due, fault, NULL, 0);

    if (!rows)
        return false;
    job_would("expire", "acme_authorizations", row_integer(rows, 0, "authorizations"));
    job_would("expire", "acme_orders", row_integer(rows, 0, "orders"));
    return true;
}

static bool collect(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct sweep authorizations = {"authorizations", &acme_gc_authz, 0,
                                         METRIC_ACME_GC_AUTHZS};
    const struct sweep orders = {"orders", &acme_gc_order, 0, METRIC_ACME_GC_ORDERS};
    const int64_t retention_ms = run->settings->acme_retention_ms;
    const struct sweep unissued = {"orders without certificate", &acme_gc_unissued, retention_ms,
                                   METRIC_COUNT};
    const struct sweep issued = {"orders of old certificates", &acme_gc_issued, retention_ms,
                                 METRIC_COUNT};

    if (run->dry_run)
        return say_what_is_due(run, fault);
    struct rows *rows = db_query_params(scratch, run->db, &acme_gc_hour, fault, NULL, 0);
    if (!rows)
        return false;
    sweep_all(run, &authorizations);
    sweep_all(run, &orders);
    if (retention_ms > 0) {
        sweep_all(run, &unissued);
        if (row_bool(rows, 0, "first"))
            sweep_all(run, &issued);
    }
    rotate_nonce_key(run);
    metric_add(METRIC_ACME_GC_RUNS, NULL, 1);
    metric_add(METRIC_ACME_GC_FAILURES, NULL, run->items_failed > 0);
    return true;
}

static bool wanted_here(const struct settings *settings)
{
    return settings->acme_enabled && settings->acme_gc_interval_ms > 0;
}

static const struct job acme_gc = {
    .name = "acme-gc",
    .interval_setting = AT(settings, acme_gc_interval_ms),
    .limit_s = 60,
    .enabled = wanted_here,
    .run = collect,
};

int main(int argc, char **argv)
{
    return job_main(&acme_gc, argc, argv);
}
