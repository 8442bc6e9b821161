/* jobs/revocation/ocsp_ahead.c: see ocsp_ahead.h.
 *
 * The walk goes by end and serial, a page a statement. What a page lacks is signed and stored, and
 * then the place is written down; who is killed between leaves rows that the next finds in order.
 * A revocation that comes between reading and storing leaves a row that says good, and that nobody
 * is given: the responder holds it against the certificate's state. The next walk replaces it. */
#include "jobs/revocation/ocsp_ahead.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "lifecycle/ocsp_row.h"
#include "lifecycle/revoke.h"

#include "core/banned.h"

#define PAGE  1000
#define PAGES 10 /* a look; who waits for a key waits for no more */

/* $1 issuer, $2 CA, $3 $4 end and serial of the last one, $5 how many, $6 digest of the CertID. A
 * row that no responder would give is as good as none: of another CA, of another status, or signed
 * with a key that no host has now. */
STATEMENT(ahead_page,
          "SELECT v.serial_number, v.not_after::text AS not_after, "
          "r.serial_number IS NOT NULL AS revoked, r.reason, r.revoked_at, "
          "(c.serial_hex IS NULL OR c.this_update + (c.next_update - c.this_update) / 2 < now() "
          "OR c.ca_id IS DISTINCT FROM v.ca_id OR c.cert_status IS DISTINCT FROM "
          "CASE WHEN r.serial_number IS NULL THEN 'good' ELSE 'revoked' END "
          "OR NOT EXISTS (SELECT 1 FROM ocsp_responders p WHERE p.issuer_id = v.issuer_id "
          "AND p.ca_id = v.ca_id AND p.cert_serial = c.responder_serial)) AS due "
          "FROM (SELECT issuer_id, ca_id, serial_number, not_after FROM certificate_versions "
          "WHERE issuer_id = $1::text AND ca_id = $2::text AND not_after > now() "
          "AND not_after >= $3::timestamptz "
          "AND (not_after, serial_number) > ($3::timestamptz, $4::text) "
          "ORDER BY not_after, serial_number LIMIT $5::bigint) v "
          "LEFT JOIN certificate_revocations r ON r.issuer_id = v.issuer_id "
          "AND r.serial_number = v.serial_number AND r.lifted_at IS NULL "
          "AND coalesce(r.ca_id, v.ca_id) = v.ca_id "
          "LEFT JOIN ocsp_response_cache c ON c.issuer_id = v.issuer_id "
          "AND c.serial_hex = v.serial_number AND c.hash_alg = $6::text "
          "ORDER BY v.not_after, v.serial_number");

/* $1 issuer, $2 CA, $3 host, $4 $5 the place or NULL at the end, $6 the walk begins here. */
STATEMENT(ahead_move,
          "UPDATE ocsp_responders SET ahead_not_after = $4::timestamptz, ahead_serial = $5::text, "
          "ahead_begun_at = CASE WHEN $6::boolean THEN now() ELSE ahead_begun_at END "
          "WHERE issuer_id = $1::text AND ca_id = $2::text AND node_id = $3::text");

struct walk {
    TALLOC_CTX *ctx;
    struct job_run *run;
    const struct ocsp_ahead *ahead;
    struct ocsp_ca_hashes hashes;
    const char *not_after;
    const char *serial;
    bool more;
};

static bool sign_row(const struct walk *walk, TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                     struct ocsp_row *ret_row, struct fault *fault)
{
    const struct ocsp_ahead *ahead = walk->ahead;
    const char *serial = row_text(rows, row, "serial_number");
    struct ocsp_cert_id id = {0};
    struct ocsp_single single = {.status = OCSP_GOOD};
    struct ocsp_answer answer = {.singles = &single, .count = 1};

    if (!ocsp_cert_id_of(ctx, &walk->hashes, serial, &id))
        return fault_set(fault, INTERNAL, NULL, "the serial is no number");
    single.cert_id = id.whole;
    if (row_bool(rows, row, "revoked")) {
        single.status = OCSP_REVOKED;
        single.revoked_at = row_time(rows, row, "revoked_at");
        if (!revocation_reason_from_text(row_text(rows, row, "reason"), &single.reason))
            single.reason = REVOKED_UNSPECIFIED;
    }
    ocsp_answer_date(&answer, ahead->signer, clock_now_s(),
                     walk->run->settings->ocsp_response_validity_ms / 1000);
    *ret_row = (struct ocsp_row){
        .issuer_id = ahead->issuer_id,
        .serial = serial,
        .hash = ocsp_hash_text(id.hash, id.null_parameters),
        .ca_id = ahead->ca_id,
        .responder_serial = ahead->signer->serial,
        .status = single.status,
        .this_update = answer.this_update,
        .next_update = answer.next_update,
    };
    return ocsp_answer_sign(ctx, ahead->signer, &answer, &ret_row->der, fault);
}

/* What a page lacks. */
static bool fill(const struct walk *walk, TALLOC_CTX *ctx, const struct rows *rows,
                 struct fault *fault)
{
    struct job_run *run = walk->run;
    struct ocsp_row *lacking = mem_array(ctx, struct ocsp_row, rows->count + 1);
    size_t count = 0;

    for (size_t i = 0; i < rows->count; i++)
        if (row_bool(rows, i, "due") && !sign_row(walk, ctx, rows, i, &lacking[count++], fault))
            return false;
    if (run->dry_run) {
        job_would("store", "OCSP answers", (int64_t)count); /* a page at most */
        return true;
    }
    run->items_ok += (int64_t)count; /* a page at most */
    return count == 0 || ocsp_rows_store(run->db, lacking, count, fault);
}

static bool do_page(struct walk *walk, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct ocsp_ahead *ahead = walk->ahead;
    const int64_t page = job_batch(walk->run, PAGE);
    struct rows *rows = db_query(scratch, walk->run->db, &ahead_page, fault, TEXT(ahead->issuer_id),
                                 TEXT(ahead->ca_id), TEXT(walk->not_after), TEXT(walk->serial),
                                 INTEGER(page), TEXT(ocsp_hash_text(OCSP_SHA1, true)));

    if (!rows || !fill(walk, scratch, rows, fault))
        return false;
    walk->more = (int64_t)rows->count == page; /* a page at most */
    if (walk->more) {
        walk->not_after = mem_text(walk->ctx, row_text(rows, rows->count - 1, "not_after"));
        walk->serial = mem_text(walk->ctx, row_text(rows, rows->count - 1, "serial_number"));
    }
    return true;
}

static bool write_down(const struct walk *walk, struct fault *fault)
{
    const struct ocsp_ahead *ahead = walk->ahead;

    return db_query(walk->ctx, walk->run->db, &ahead_move, fault, TEXT(ahead->issuer_id),
                    TEXT(ahead->ca_id), TEXT(walk->run->settings->node_id),
                    TEXT(walk->more ? walk->not_after : NULL),
                    TEXT(walk->more ? walk->serial : NULL), BOOLEAN(ahead->begins)) != NULL;
}

bool ocsp_sign_ahead(struct job_run *run, const struct ocsp_ahead *ahead, bool *ret_more,
                     struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct walk walk = {
        .ctx = ctx,
        .run = run,
        .ahead = ahead,
        .not_after = ahead->not_after,
        .serial = ahead->serial,
        .more = true,
    };

    if (!ocsp_ca_hashes(ahead->certificate, &walk.hashes))
        return fault_set(fault, INTERNAL, NULL, "the CA's certificate has no name or key");
    for (int page = 0; walk.more && page < PAGES && !job_should_stop(run); page++) {
        if (!do_page(&walk, fault))
            return false;
        if (run->dry_run || run->limit > 0)
            break;
    }
    *ret_more = walk.more;
    return run->dry_run || write_down(&walk, fault);
}
