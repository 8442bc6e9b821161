/* jobs/revocation/crl_build.c: one CA's CRL, from its revocations to crl_cache (04 sections 9.2 to
 * 9.4).
 *
 * Two transactions. The first takes the number and is over at once: revocations, which touch the
 * same row, never wait for a signature, and a number is used once whatever happens later. A CA
 * whose number is above that of its stored list has an unfinished build, and is due. */
#include "jobs/revocation/crl_build.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "lifecycle/revoke.h"
#include "pki/crl_memory.h"
#include "signer/client.h"

#include "core/banned.h"

#define ETAG_OCTETS 16
#define PIECE       (1024 * 1024)
#define EVENTS_KEPT "200"
/* So that a revocation of many is one list (04 section 9.4). */
#define SETTLES "interval '2 s'"
/* Since when a list is wanted: of one certificate, or of the last batch of many. The earlier of the
 * two, so that one does not wait for many. */
#define CHANGED "least(crl_dirty_since, crl_batched_at)"
/* After a failure: no list is tried more often. */
#define PAUSES "interval '5 s'"

/* $1 interval in ms, $2 validity in ms, $3 one CA or NULL, $4 revocations make it due.
 * A lost key signs nothing; a CA that has expired has nobody left who asks. */
STATEMENT(
    crl_due_list,
    "SELECT c.id, c.issuer_id, c.key_ref, c.key_algorithm, c.subject_der, c.ski, c.cert_der "
    "FROM ca_instances c LEFT JOIN crl_cache k "
    "ON k.issuer_id = c.issuer_id AND k.ca_id = c.id AND k.kind = 'full' "
    "WHERE c.state <> 'lost' AND c.not_after > now() AND ($3::text IS NULL OR c.id = $3::text) "
    "AND (k.ca_id IS NULL OR k.crl_number < c.crl_number "
    "OR ($4::boolean AND " CHANGED " <= now() - " SETTLES ") "
    "OR k.generated_at + $1::bigint * interval '1 millisecond' <= now() "
    "OR k.next_update - now() < $2::bigint * interval '0.5 millisecond') "
    "AND NOT EXISTS (SELECT 1 FROM crl_generation_events e WHERE e.ca_id = c.id "
    "AND NOT e.succeeded AND e.started_at > now() - " PAUSES ") ORDER BY c.id");

STATEMENT(crl_due_soon, "SELECT CASE WHEN count(*) > 0 THEN greatest(1, ceil(extract(epoch FROM "
                        "min(" CHANGED ") + " SETTLES " - now()) * 1000)) END::bigint AS ms "
                        "FROM ca_instances "
                        "WHERE state <> 'lost' AND " CHANGED " > now() - " SETTLES);

/* $1 CA. Alone in its statement: a planner may evaluate a lock function in WHERE twice. */
STATEMENT(crl_lock,
          "SELECT pg_try_advisory_xact_lock(hashtextextended('crl:' || $1::text, 0)) AS taken");

/* $1 CA. */
STATEMENT(crl_take_number,
          "UPDATE ca_instances SET crl_number = crl_number + 1, crl_dirty_since = NULL, "
          "crl_batched_at = NULL WHERE id = $1::text RETURNING crl_number");

/* $1 CA. The database's time: all hosts have the same. */
STATEMENT(crl_number_now,
          "SELECT crl_number, now() AS moment FROM ca_instances WHERE id = $1::text");

/* $1 CA, $2 look-back in ms. Every unexpired entry, and every other one until it has stood on a
 * list after its expiry (RFC 5280 section 3.3). */
STATEMENT(crl_entries, "SELECT serial_number, revoked_at, reason, invalidity_date, crl_entry_der "
                       "FROM certificate_revocations WHERE ca_id = $1::text AND lifted_at IS NULL "
                       "AND NOT short_lived AND (crl_permanent OR not_after IS NULL "
                       "OR not_after >= now() - $2::bigint * interval '1 millisecond') "
                       "ORDER BY revoked_at, serial_number");

/* $1 CA, $2 place in the list, $3 octets. */
STATEMENT(crl_piece, "INSERT INTO crl_pieces (ca_id, position, piece) "
                     "VALUES ($1::text, $2::integer, $3::bytea)");

/* $1 CA. */
STATEMENT(crl_pieces_clear, "DELETE FROM crl_pieces WHERE ca_id = $1::text");

/* $1 issuer, $2 CA, whose pieces are the list, $3 number, $4 $5 times, $6 ms, $7 entries, $8 ETag.
 * The number never goes back, whoever stores last. */
STATEMENT(crl_store,
          "INSERT INTO crl_cache AS k (issuer_id, ca_id, kind, crl_der, crl_number, this_update, "
          "next_update, generated_at, generation_duration_ms, revoked_count, etag) "
          "SELECT $1::text, $2::text, 'full', string_agg(piece, ''::bytea ORDER BY position), "
          "$3::bigint, $4::timestamptz, $5::timestamptz, now(), $6::integer, $7::integer, $8::text "
          "FROM crl_pieces WHERE ca_id = $2::text "
          "ON CONFLICT (issuer_id, ca_id, kind) DO UPDATE SET crl_der = EXCLUDED.crl_der, "
          "crl_number = EXCLUDED.crl_number, this_update = EXCLUDED.this_update, "
          "next_update = EXCLUDED.next_update, generated_at = EXCLUDED.generated_at, "
          "generation_duration_ms = EXCLUDED.generation_duration_ms, "
          "revoked_count = EXCLUDED.revoked_count, etag = EXCLUDED.etag, updated_at = now() "
          "WHERE k.crl_number < EXCLUDED.crl_number");

/* $1 issuer, $2 CA, $3 started, $4 ms, $5 succeeded, $6 number, $7 entries, $8 error. */
STATEMENT(crl_event,
          "INSERT INTO crl_generation_events (issuer_id, ca_id, started_at, duration_ms, "
          "succeeded, crl_number, revoked_count, error) VALUES ($1::text, $2::text, "
          "$3::timestamptz, $4::integer, $5::boolean, nullif($6::bigint, 0), $7::integer, "
          "$8::text)");

/* $1 CA. */
STATEMENT(crl_events_trim, "DELETE FROM crl_generation_events WHERE ca_id = $1::text AND id <= "
                           "(SELECT id FROM crl_generation_events WHERE ca_id = $1::text "
                           "ORDER BY id DESC OFFSET " EVENTS_KEPT " LIMIT 1)");

struct build {
    TALLOC_CTX *ctx;
    struct job_run *run;
    const char *ca_id;
    const char *issuer_id;
    const char *key_ref;
    struct bytes ca_der;
    struct crl_head head; /* this_update and number as they become known */
    struct crl_memory *memory;
    int64_t began_us;
    int64_t began_s;
};

struct rows *crl_due(TALLOC_CTX *ctx, struct job_run *run, const char *ca_id, struct fault *fault)
{
    return db_query(ctx, run->db, &crl_due_list, fault,
                    INTEGER(run->settings->crl_generation_interval_ms),
                    INTEGER(run->settings->crl_validity_ms), TEXT(ca_id),
                    BOOLEAN(run->settings->crl_regenerate_on_revoke));
}

bool crl_due_next_ms(struct job_run *run, int64_t *ret_ms, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!run->settings->crl_regenerate_on_revoke)
        return true;
    struct rows *rows = db_query_params(scratch, run->db, &crl_due_soon, fault, NULL, 0);
    if (!rows)
        return false;
    *ret_ms = row_integer(rows, 0, "ms");
    return true;
}

/* Two generation intervals or one validity, whichever is longer (04 section 9.3). */
static int64_t lookback_ms(const struct settings *settings)
{
    return most(2 * settings->crl_generation_interval_ms, settings->crl_validity_ms);
}

static bool try_lock(const struct build *build, bool *ret_taken, struct fault *fault)
{
    struct rows *rows = db_query(build->ctx, build->run->db, &crl_lock, fault, TEXT(build->ca_id));

    *ret_taken = rows && row_bool(rows, 0, "taken");
    return rows != NULL;
}

/* Under the lock nobody else builds, so that what is due stays so. */
static bool take_number_locked(struct build *build, bool *ret_taken, struct fault *fault)
{
    struct rows *due = crl_due(build->ctx, build->run, build->ca_id, fault);

    *ret_taken = false;
    if (!due || due->count == 0)
        return due != NULL;
    struct rows *rows = db_query(build->ctx, build->run->db, &crl_take_number, fault,
                                 TEXT(build->ca_id));
    if (!rows)
        return false;
    build->head.number = row_integer(rows, 0, "crl_number");
    *ret_taken = true;
    return true;
}

/* *ret_taken false: another host builds, or has just built. */
static bool take_number(struct build *build, bool *ret_taken, struct fault *fault)
{
    struct db *db = build->run->db;

    if (!db_begin(db, fault))
        return false;
    if (try_lock(build, ret_taken, fault) &&
        (!*ret_taken || take_number_locked(build, ret_taken, fault)) && db_commit(db, fault))
        return true;
    db_rollback(db);
    return false;
}

static bool add_row(void *arg, const struct rows *rows, struct fault *fault)
{
    struct build *build = arg;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes der = row_bytes(scratch, rows, 0, "crl_entry_der");
    struct crl_entry entry = {
        .serial = row_text(rows, 0, "serial_number"),
        .revoked_at = row_time(rows, 0, "revoked_at"),
        .invalidity_date = row_time(rows, 0, "invalidity_date"),
    };

    if (!revocation_reason_from_text(row_text(rows, 0, "reason"), &entry.reason))
        return fault_set(fault, INTERNAL, NULL, "a revocation has an unknown reason");
    return crl_memory_add(build->memory, der, &entry, fault);
}

/* *ret_mine false: another host took a later number meanwhile, and builds. */
static bool settle_head(struct build *build, bool *ret_mine, struct fault *fault)
{
    struct rows *rows = db_query(build->ctx, build->run->db, &crl_number_now, fault,
                                 TEXT(build->ca_id));

    *ret_mine = rows && rows->count == 1 &&
                row_integer(rows, 0, "crl_number") == build->head.number;
    if (!*ret_mine)
        return rows != NULL;
    build->head.this_update = row_time(rows, 0, "moment");
    build->head.next_update = build->head.this_update +
                              build->run->settings->crl_validity_ms / 1000;
    return true;
}

static bool sign(struct build *build, struct crl_signed *ret_crl, struct fault *fault)
{
    struct bytes signature = {0};
    struct bytes tbs = {0};

    if (!crl_memory_seal(build->memory, &build->head, &tbs, fault) ||
        !signer_sign_crl(build->ctx, build->run->settings->signer_socket, build->key_ref,
                         crl_memory_fd(build->memory), &signature, fault))
        return false;
    *ret_crl = crl_signed(build->ctx, tbs, build->head.algorithm, signature);
    return crl_check(ret_crl, signature, build->ca_der, fault);
}

/* 04 section 9.1: the first octets of the list's SHA-256. */
static const char *etag_of(TALLOC_CTX *ctx, const struct crl_signed *crl)
{
    AUTO(EVP_MD_CTX) *digest = EVP_MD_CTX_new();
    uint8_t sum[DIGEST_SHA256_SIZE];

    if (!digest || EVP_DigestInit_ex(digest, digest_algorithm_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(digest, crl->before.data, crl->before.size) != 1 ||
        EVP_DigestUpdate(digest, crl->tbs.data, crl->tbs.size) != 1 ||
        EVP_DigestUpdate(digest, crl->after.data, crl->after.size) != 1 ||
        EVP_DigestFinal_ex(digest, sum, NULL) != 1)
        return "";
    return mem_printf(ctx, "W/\"%s\"", hex_from_bytes(ctx, (struct bytes){sum, ETAG_OCTETS}));
}

static int64_t elapsed_ms(const struct build *build)
{
    return (clock_monotonic_us() - build->began_us) / 1000;
}

static bool write_event(const struct build *build, const struct fault *why, struct fault *fault)
{
    const char *error = why ? mem_printf(build->ctx, "%s%s%s", why->detail,
                                         why->cause[0] ? ": " : "", why->cause)
                            : NULL;
    const size_t count = build->memory ? crl_memory_count(build->memory) : 0;

    return db_query(build->ctx, build->run->db, &crl_event, fault, TEXT(build->issuer_id),
                    TEXT(build->ca_id), INSTANT(build->began_s), INTEGER(elapsed_ms(build)),
                    BOOLEAN(why == NULL), INTEGER(build->head.number), INTEGER((int64_t)count),
                    TEXT(error)) != NULL &&
           db_query(build->ctx, build->run->db, &crl_events_trim, fault, TEXT(build->ca_id)) !=
               NULL;
}

static bool send_piece(const struct build *build, int64_t position, struct bytes piece,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    return db_query(scratch, build->run->db, &crl_piece, fault, TEXT(build->ca_id),
                    INTEGER(position), BYTEA(piece)) != NULL;
}

/* libpq holds a parameter whole until it is sent: a list of many MB would be in memory twice. */
static bool send_pieces(const struct build *build, const struct crl_signed *crl,
                        struct fault *fault)
{
    const struct bytes parts[] = {crl->before, crl->tbs, crl->after};
    int64_t position = 0;

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        for (size_t at = 0; at < parts[i].size; at += PIECE) {
            const size_t size = least(parts[i].size - at, (size_t)PIECE);
            if (!send_piece(build, position++, (struct bytes){parts[i].data + at, size}, fault))
                return false;
        }
    return true;
}

static bool store(const struct build *build, const struct crl_signed *crl, struct fault *fault)
{
    const int64_t count = (int64_t)crl_memory_count(build->memory); /* below 2^28 */

    if (!send_pieces(build, crl, fault))
        return false;
    struct rows *rows = db_query(build->ctx, build->run->db, &crl_store, fault,
                                 TEXT(build->issuer_id), TEXT(build->ca_id),
                                 INTEGER(build->head.number), INSTANT(build->head.this_update),
                                 INSTANT(build->head.next_update), INTEGER(elapsed_ms(build)),
                                 INTEGER(count), TEXT(etag_of(build->ctx, crl)));
    if (!rows)
        return false;
    if (rows->affected != 1)
        return fault_set(fault, RESOURCE_STATE, NULL,
                         "the stored list has a number that is not below this one's");
    return db_query(build->ctx, build->run->db, &crl_pieces_clear, fault, TEXT(build->ca_id)) &&
           write_event(build, NULL, fault);
}

static bool make(struct build *build, bool *ret_built, struct fault *fault)
{
    const struct db_param of_ca[] = {TEXT(build->ca_id),
                                     INTEGER(lookback_ms(build->run->settings))};
    struct crl_signed crl = {0};
    bool mine = false;

    if (!try_lock(build, &mine, fault) || (mine && !settle_head(build, &mine, fault)))
        return false;
    if (!mine)
        return true;
    build->memory = crl_memory_new(build->ctx, fault);
    if (!build->memory ||
        !db_each_params(build->run->db, &crl_entries, add_row, build, fault, of_ca,
                        ARRAY_SIZE(of_ca)) ||
        !sign(build, &crl, fault) || !store(build, &crl, fault))
        return false;
    *ret_built = true;
    return true;
}

static bool make_in_snapshot(struct build *build, bool *ret_built, struct fault *fault)
{
    struct db *db = build->run->db;

    if (!db_begin_snapshot(db, fault))
        return false;
    if (make(build, ret_built, fault) && db_commit(db, fault))
        return true;
    *ret_built = false;
    db_rollback(db);
    return false;
}

static bool prepare(struct build *build, const struct rows *due, size_t row, struct fault *fault)
{
    build->ca_id = row_text(due, row, "id");
    build->issuer_id = row_text(due, row, "issuer_id");
    build->key_ref = row_text(due, row, "key_ref");
    build->ca_der = row_bytes(build->ctx, due, row, "cert_der");
    build->head.issuer_der = row_bytes(build->ctx, due, row, "subject_der");
    build->head.ski = row_bytes(build->ctx, due, row, "ski");
    return signature_algorithm_from_text(row_text(due, row, "key_algorithm"),
                                         &build->head.algorithm) ||
           fault_set(fault, INTERNAL, NULL, "the CA's key has an unknown algorithm");
}

bool crl_build(struct job_run *run, const struct rows *due, size_t row, bool *ret_built,
               struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct build build = {
        .ctx = ctx, .run = run, .began_us = clock_monotonic_us(), .began_s = clock_now_s()};
    struct fault ignored = {0};
    bool taken = false;

    *ret_built = false;
    if (prepare(&build, due, row, fault) && take_number(&build, &taken, fault) &&
        (!taken || make_in_snapshot(&build, ret_built, fault)))
        return true;
    /* The row keeps others from trying at once; without a database there is nobody to tell. */
    (void)write_event(&build, fault, &ignored);
    return false;
}
