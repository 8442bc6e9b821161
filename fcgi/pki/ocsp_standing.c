/* fcgi/pki/ocsp_standing.c: what is known of a certificate, by one statement (04 section 10.3). */
#include "core/clock.h"
#include "core/memory.h"
#include "lifecycle/revoke.h"
#include "ocsp.h"

#include "core/banned.h"

/* A stored answer is given as long as so much of its life is left, or a quarter. */
#define LEFT_S INT64_C(300)

/* $1 issuer, $2 serial, $3 digest of the CertID or NULL: no stored answer is wanted. */
STATEMENT(ocsp_standing,
          "SELECT v.serial_number IS NOT NULL AS known, v.ca_id, "
          "r.serial_number IS NOT NULL AS revoked, r.ca_id AS revoked_ca_id, r.reason, "
          "r.revoked_at, c.response_der, c.cert_status, c.responder_serial, "
          "extract(epoch FROM c.this_update)::bigint AS this_update, "
          "extract(epoch FROM c.next_update)::bigint AS next_update "
          "FROM (VALUES (1)) one "
          "LEFT JOIN certificate_versions v ON v.issuer_id = $1::text "
          "AND v.serial_number = $2::text "
          "LEFT JOIN certificate_revocations r ON r.issuer_id = $1::text "
          "AND r.serial_number = $2::text AND r.lifted_at IS NULL "
          "LEFT JOIN ocsp_response_cache c ON c.issuer_id = $1::text AND c.serial_hex = $2::text "
          "AND c.hash_alg = $3::text");

/* $1 issuer, $2 serial, $3 CA: the responders' own certificates, of this and other hosts (not
 * revoked, since nobody may ask, RFC 6960 section 4.2.2.2.1; some do), and CAs below whose keys are
 * elsewhere. */
STATEMENT(ocsp_is_other,
          "SELECT EXISTS (SELECT 1 FROM ocsp_responders WHERE issuer_id = $1::text "
          "AND ca_id = $3::text "
          "AND $2::text IN (cert_serial::text, rotated_from::text)) OR EXISTS (SELECT 1 "
          "FROM intermediate_cas WHERE owning_issuer_id = $1::text AND serial_number = $2::text "
          "AND parent_ca_id = $3::text AND revoked_at IS NULL) AS found");

static const char *serial_text(struct inquiry *inquiry, const struct ocsp_cert_id *id)
{
    const char *hex = hex_from_bytes(inquiry->request, id->serial);
    return hex + (hex[0] == '0' && hex[1] != '\0');
}

/* Of the CA that is asked about, or of one that nobody recorded. */
static bool row_is_of(const struct ca *ca, const char *ca_id)
{
    return !ca_id || text_equal(ca->id, ca_id);
}

/* The short form does not say which CA is meant: the one that issued, else who issues. */
static const struct ca *ca_of_row(const struct inquiry *inquiry, const struct rows *rows)
{
    const struct ca_table *table = &inquiry->worker->table;
    const char *ca_id = row_text(rows, 0, "ca_id");
    const struct ca *found = NULL;

    if (!ca_id)
        ca_id = row_text(rows, 0, "revoked_ca_id");
    for (size_t i = 0; i < table->count; i++) {
        const struct ca *ca = table->items[i];
        if (!ca_is_named(ca, inquiry->path_id))
            continue;
        if (text_equal(ca->id, ca_id))
            return ca;
        if (!found || ca->issues)
            found = ca;
    }
    return found;
}

/* Certificates of CAs are in no version; the table of CAs knows them. */
static bool child_find(const struct inquiry *inquiry, const char *serial,
                       struct ocsp_single *single)
{
    const struct ca_table *table = &inquiry->worker->table;

    for (size_t i = 0; i < table->count; i++) {
        const struct ca *child = table->items[i];
        if (!text_equal(child->parent_id, inquiry->ca->id) ||
            !text_equal(child->certificate->serial, serial))
            continue;
        single->status = child->revoked ? OCSP_REVOKED : OCSP_GOOD;
        single->revoked_at = child->revoked_at;
        single->reason = child->reason;
        return true;
    }
    return false;
}

static bool other_find(struct inquiry *inquiry, struct standing *standing, struct fault *fault)
{
    struct rows *rows = db_query(inquiry->request, inquiry->request->db, &ocsp_is_other, fault,
                                 TEXT(inquiry->ca->issuer_id), TEXT(standing->serial),
                                 TEXT(inquiry->ca->id));

    if (!rows)
        return false;
    if (row_bool(rows, 0, "found"))
        standing->single.status = OCSP_GOOD;
    return true;
}

/* 04 section 10.3: good only what we issued; an orphan's or discarded one's revocation counts
 * although no version is known. */
static bool judge(struct inquiry *inquiry, const struct rows *rows, struct standing *standing,
                  struct fault *fault)
{
    struct ocsp_single *single = &standing->single;

    standing->known = row_bool(rows, 0, "known") &&
                      row_is_of(inquiry->ca, row_text(rows, 0, "ca_id"));
    if (row_bool(rows, 0, "revoked") &&
        row_is_of(inquiry->ca, row_text(rows, 0, "revoked_ca_id"))) {
        single->status = OCSP_REVOKED;
        single->revoked_at = row_time(rows, 0, "revoked_at");
        if (!revocation_reason_from_text(row_text(rows, 0, "reason"), &single->reason))
            single->reason = REVOKED_UNSPECIFIED;
        return true;
    }
    if (standing->known) {
        single->status = OCSP_GOOD;
        return true;
    }
    return child_find(inquiry, standing->serial, single) || other_find(inquiry, standing, fault);
}

/* A stored answer counts only where it says what the other columns say, so a "good" that a slow
 * worker stored after a revocation is dead on arrival. */
static void take_stored(const struct inquiry *inquiry, const struct rows *rows,
                        struct standing *standing)
{
    const struct settings *settings = inquiry->request->settings;
    const int64_t left_s = row_integer(rows, 0, "next_update") - clock_now_s();
    const int64_t wanted_s = most(LEFT_S, settings->ocsp_response_validity_ms / 4000);

    if (row_null(rows, 0, "response_der") || left_s <= wanted_s || !inquiry->ca->signer ||
        !text_equal(row_text(rows, 0, "cert_status"), ocsp_status_text(standing->single.status)) ||
        !text_equal(row_text(rows, 0, "responder_serial"), inquiry->ca->signer->serial))
        return;
    standing->stored = row_bytes(inquiry->request, rows, 0, "response_der");
    standing->stored_this_update = row_integer(rows, 0, "this_update");
    standing->stored_next_update = row_integer(rows, 0, "next_update");
}

bool standing_read(struct inquiry *inquiry, const struct ocsp_cert_id *id,
                   struct standing *ret_standing, struct fault *fault)
{
    struct standing standing = {
        .single = {.cert_id = id->whole, .status = OCSP_UNKNOWN}
    };
    const char *issuer = inquiry->ca ? inquiry->ca->issuer_id : NULL;
    const bool storable = inquiry->canonical && !inquiry->short_serial;

    standing.serial = inquiry->short_serial ? inquiry->short_serial : serial_text(inquiry, id);
    for (size_t i = 0; !issuer && i < inquiry->worker->table.count; i++)
        if (ca_is_named(inquiry->worker->table.items[i], inquiry->path_id))
            issuer = inquiry->worker->table.items[i]->issuer_id;
    struct rows *rows = db_query(
        inquiry->request, inquiry->request->db, &ocsp_standing, fault, TEXT(issuer),
        TEXT(standing.serial),
        TEXT(storable ? ocsp_hash_text(id->hash, id->null_parameters) : NULL));
    if (!rows)
        return false;
    if (!inquiry->ca)
        inquiry->ca = ca_of_row(inquiry, rows);
    if (!judge(inquiry, rows, &standing, fault))
        return false;
    if (storable)
        take_stored(inquiry, rows, &standing);
    *ret_standing = standing;
    return true;
}
