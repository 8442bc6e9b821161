/* jobs/revocation/ocsp_presign.c: the keys of this host's OCSP responders (04 section 12, 07
 * section 2), and what is signed with them before anybody asks (ocsp_ahead.c).
 *
 * Runs as certctl-pki, to whom the keys belong; the responder itself only reads them. A key that is
 * due is made here and its public half written down; crl-generation has it certified. The old one
 * answers until then. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "pki/ocsp.h"

#include "jobs/revocation/ocsp_ahead.h"
#include "jobs/run/runner.h"

#include "core/banned.h"

#define BATCH      5000
#define KEY_BEGINS "ocsp-responder-"
/* After a rotation the old key stays so long, for a worker that has not looked since. */
#define OLD_KEY_KEPT_S INT64_C(86400)

/* $1 this host. A retired CA answers as long as somebody may ask about its certificates. ahead_from
 * NULL: nothing is to be signed ahead now; a walk that has ended begins anew after five minutes. */
STATEMENT(
    responder_list,
    "SELECT c.id, c.issuer_id, c.cert_der, i.config->>'ocsp_responder_algorithm' AS algorithm, "
    "p.cert_pem, p.key_path, p.not_after, p.wanted_key_path, p.wanted_spki, p.updated_at, "
    "p.ahead_not_after IS NULL AS ahead_begins, coalesce(p.ahead_serial, '') AS ahead_serial, "
    "CASE WHEN p.cert_pem IS NULL OR i.config->>'ocsp_presign' IS DISTINCT FROM 'true' THEN NULL "
    "WHEN p.ahead_not_after IS NOT NULL THEN p.ahead_not_after::text "
    "WHEN p.ahead_begun_at > now() - interval '5 minutes' THEN NULL "
    "ELSE '-infinity' END AS ahead_from "
    "FROM ca_instances c JOIN issuers i ON i.id = c.issuer_id "
    "LEFT JOIN ocsp_responders p ON p.issuer_id = c.issuer_id AND p.ca_id = c.id "
    "AND p.node_id = $1::text "
    "WHERE c.not_after > now() AND (c.state IN ('active', 'retiring') OR (c.state = 'retired' "
    "AND (EXISTS (SELECT 1 FROM certificate_versions v WHERE v.ca_id = c.id "
    "AND v.not_after > now()) OR EXISTS (SELECT 1 FROM intermediate_cas m "
    "WHERE m.parent_ca_id = c.id AND m.not_after > now())))) ORDER BY c.id");

/* $1 issuer, $2 CA, $3 host, $4 algorithm, $5 public key, $6 path. */
STATEMENT(
    responder_want,
    "INSERT INTO ocsp_responders AS p (issuer_id, ca_id, node_id, key_alg, wanted_spki, "
    "wanted_key_path) VALUES ($1::text, $2::text, $3::text, $4::text, $5::bytea, $6::text) "
    "ON CONFLICT (issuer_id, ca_id, node_id) DO UPDATE SET wanted_spki = EXCLUDED.wanted_spki, "
    "wanted_key_path = EXCLUDED.wanted_key_path, updated_at = now()");

/* $1 host, $2 the file's path, $3 the CA in its name. */
STATEMENT(responder_key_is_old,
          "SELECT NOT EXISTS (SELECT 1 FROM ocsp_responders WHERE node_id = $1::text "
          "AND ($2::text IN (key_path, wanted_key_path) OR (ca_id = $3::text "
          "AND updated_at > now() - interval '1 day'))) AS old");

/* $1 batch. */
STATEMENT(ocsp_rows_expire,
          "DELETE FROM ocsp_response_cache WHERE (issuer_id, serial_hex, hash_alg) IN ("
          "SELECT issuer_id, serial_hex, hash_alg FROM ocsp_response_cache "
          "WHERE next_update < now() LIMIT $1::bigint) AND next_update < now()");

struct task {
    TALLOC_CTX *ctx;
    struct job_run *run;
    const struct rows *rows;
    size_t row;
};

static const char *field(const struct task *task, const char *name)
{
    return row_text(task->rows, task->row, name);
}

/* The key is there, is the certificate's, and that is its CA's and lives for more than so long;
 * else NULL. */
static const struct ocsp_signer *signer_of(const struct task *task, int64_t more_than_s,
                                           const struct certificate **ret_ca)
{
    struct fault ignored = {0};

    if (!field(task, "cert_pem") || !field(task, "key_path") ||
        row_time(task->rows, task->row, "not_after") <= clock_now_s() + more_than_s)
        return NULL;
    *ret_ca = certificate_from_der(
        task->ctx, row_bytes(task->ctx, task->rows, task->row, "cert_der"), &ignored);
    return *ret_ca ? ocsp_signer_load(task->ctx, task->run->settings->ocsp_responder_key_dir,
                                      field(task, "key_path"), field(task, "cert_pem"), *ret_ca,
                                      &ignored)
                   : NULL;
}

/* A key that already waits for its certificate, and is there. */
static bool waits(const struct task *task)
{
    struct fault ignored = {0};
    struct bytes spki;

    return field(task, "wanted_key_path") &&
           ocsp_key_read(task->ctx, task->run->settings->ocsp_responder_key_dir,
                         field(task, "wanted_key_path"), &spki, &ignored) &&
           bytes_equal(spki, row_bytes(task->ctx, task->rows, task->row, "wanted_spki"));
}

/* A file that no row names, where we are killed before the row is, goes after a day. */
static bool make_key(const struct task *task, struct fault *fault)
{
    const char *asked = field(task, "algorithm");
    const char *algorithm = text_equal(asked, "RSA-2048") ? "RSA-2048" : "ECDSA-P256";
    uint8_t unique[4];
    struct bytes spki;

    random_bytes(unique, sizeof unique);
    const char *path = mem_printf(task->ctx, "%s/" KEY_BEGINS "%s-%s.key",
                                  task->run->settings->ocsp_responder_key_dir, field(task, "id"),
                                  hex_from_bytes(task->ctx, BYTES_OF(unique)));
    return ocsp_key_generate(task->ctx, path, algorithm, &spki, fault) &&
           db_query(task->ctx, task->run->db, &responder_want, fault,
                    TEXT(field(task, "issuer_id")), TEXT(field(task, "id")),
                    TEXT(task->run->settings->node_id), TEXT(algorithm), BYTEA(spki),
                    TEXT(path)) != NULL;
}

static void look_at(struct job_run *run, const struct rows *rows, size_t row)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct task task = {scratch, run, rows, row};
    const struct certificate *ca = NULL;
    struct fault fault = {0};

    if (signer_of(&task, run->settings->ocsp_responder_rotation_grace_ms / 1000, &ca))
        return;
    if (run->dry_run) {
        job_would("make a key for", field(&task, "id"), 1);
        return;
    }
    if (!waits(&task)) {
        if (!make_key(&task, &fault)) {
            job_item_failed(run, field(&task, "id"), &fault);
            return;
        }
        run->items_ok++;
    }
    db_wake(run->db, "crl-generation");
}

/* One CA whose issuer wants answers before anybody asks. What fails is tried at the next look. */
static void sign_ahead(struct job_run *run, const struct rows *rows, size_t row)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct task task = {scratch, run, rows, row};
    const struct certificate *ca = NULL;
    struct fault fault = {0};
    bool more = false;

    if (!field(&task, "ahead_from"))
        return;
    const struct ocsp_signer *signer = signer_of(&task, 0, &ca);
    if (!signer)
        return; /* look_at sees to it */
    const struct ocsp_ahead ahead = {
        .ca_id = field(&task, "id"),
        .issuer_id = field(&task, "issuer_id"),
        .certificate = ca,
        .signer = signer,
        .begins = row_bool(rows, row, "ahead_begins"),
        .not_after = field(&task, "ahead_from"),
        .serial = field(&task, "ahead_serial"),
    };
    if (!ocsp_sign_ahead(run, &ahead, &more, &fault))
        job_item_failed(run, ahead.ca_id, &fault);
    if (more)
        run->look_again_ms = 1;
}

/* "ocsp-responder-<CA>-<8 hex>.key" to the CA's id, or NULL. */
static const char *ca_in_name(TALLOC_CTX *ctx, const char *name)
{
    static const char ending[] = "-12345678.key";
    const size_t length = strlen(name);

    if (!text_starts(name, KEY_BEGINS) || !text_ends(name, ".key") ||
        length <= strlen(KEY_BEGINS) + strlen(ending))
        return NULL;
    return mem_text_n(ctx, name + strlen(KEY_BEGINS), length - strlen(KEY_BEGINS) - strlen(ending));
}

static bool is_aged(int directory, const char *name)
{
    struct stat status;

    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
           status.st_mtim.tv_sec < clock_now_s() - OLD_KEY_KEPT_S;
}

/* One file: gone when nobody names it, nor has for a day. */
static void sweep_file(const struct job_run *run, int directory, const char *name)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *ca = ca_in_name(scratch, name);
    struct fault ignored = {0};

    if (!ca || !is_aged(directory, name))
        return;
    const char *path = mem_printf(scratch, "%s/%s", run->settings->ocsp_responder_key_dir, name);
    struct rows *rows = db_query(scratch, run->db, &responder_key_is_old, &ignored,
                                 TEXT(run->settings->node_id), TEXT(path), TEXT(ca));
    if (rows && row_bool(rows, 0, "old"))
        (void)unlinkat(directory, name, 0);
}

static void sweep_keys(struct job_run *run)
{
    AUTO(DIR) *directory = opendir(run->settings->ocsp_responder_key_dir);

    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry;
         entry = readdir(directory))
        sweep_file(run, dirfd(directory), entry->d_name);
}

static bool expire_rows(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t batch = job_batch(run, BATCH);
    int64_t gone = batch;

    while (gone == batch && !job_should_stop(run)) {
        struct rows *rows = db_query(scratch, run->db, &ocsp_rows_expire, fault, INTEGER(batch));
        if (!rows)
            return false;
        gone = rows->affected;
        talloc_free(rows);
    }
    return true;
}

/* What costs more than a look is done once a minute, however often we are woken. */
static bool tidy(struct job_run *run, struct fault *fault)
{
    static int64_t tidied_us;
    const int64_t now_us = clock_monotonic_us();

    if (run->dry_run || (tidied_us > 0 && now_us - tidied_us < INT64_C(60000000)))
        return true;
    tidied_us = now_us;
    sweep_keys(run);
    return expire_rows(run, fault);
}

static bool look(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *directory = run->settings->ocsp_responder_key_dir;
    struct rows *rows = db_query(scratch, run->db, &responder_list, fault,
                                 TEXT(run->settings->node_id));

    if (!rows)
        return false;
    (void)mkdir(directory, 0700); /* where nobody made it; a failure shows at the first key */
    run->look_again_ms = 0;
    for (size_t i = 0; i < rows->count && !job_should_stop(run); i++)
        look_at(run, rows, i);
    for (size_t i = 0; i < rows->count && !job_should_stop(run); i++)
        sign_ahead(run, rows, i);
    return tidy(run, fault);
}

static const struct confine_path confine_paths[] = {
    JOB_CONFINE_PATHS, {CONFINE_WRITE, AT(settings, ocsp_responder_key_dir), NULL}
};
static const struct confine_plan confine_plan = {.paths = confine_paths,
                                                 .path_count = ARRAY_SIZE(confine_paths)};

static const struct job ocsp_presign = {
    .name = "ocsp-presign",
    .interval_ms = 10000,
    .limit_s = 600,
    .confine = &confine_plan,
    .run = look,
};

int main(int argc, char **argv)
{
    return job_main(&ocsp_presign, argc, argv);
}
