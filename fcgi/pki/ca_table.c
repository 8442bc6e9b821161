/* fcgi/pki/ca_table.c: the CAs of this installation, and this host's OCSP responders for them. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "lifecycle/revoke.h"
#include "pki.h"

#include "core/banned.h"

#define TABLE_US INT64_C(1000000)

/* $1 this host. One row a CA. A lost CA answers as long as its responder's certificate lives. */
STATEMENT(ocsp_cas,
          "SELECT c.id, c.issuer_id, c.intermediate_ca_id, c.cert_der, g.id IS NOT NULL AS issues, "
          "parent.id AS parent_id, i.revoked_at, i.revocation_reason, p.cert_pem, p.cert_serial, "
          "p.key_path FROM ca_instances c "
          "LEFT JOIN issuing_cas g ON g.id = c.id "
          "LEFT JOIN intermediate_cas i ON i.id = c.intermediate_ca_id "
          "LEFT JOIN ca_instances parent ON parent.intermediate_ca_id = i.parent_ca_id "
          "LEFT JOIN ocsp_responders p ON p.issuer_id = c.issuer_id AND p.ca_id = c.id "
          "AND p.node_id = $1::text ORDER BY c.id");

bool ca_is_named(const struct ca *ca, const char *id)
{
    return text_equal(ca->issuer_id, id) || text_equal(ca->id, id) ||
           text_equal(ca->intermediate_id, id);
}

static struct ca *ca_known(const struct ca_table *table, const char *id)
{
    for (size_t i = 0; i < table->count; i++)
        if (text_equal(table->items[i]->id, id))
            return table->items[i];
    return NULL;
}

/* What never changes of a CA. NULL: its certificate cannot be read. */
static struct ca *ca_new(TALLOC_CTX *ctx, const struct rows *rows, size_t row)
{
    struct ca *ca = mem_new(ctx, struct ca);
    struct fault ignored = {0};

    ca->id = mem_text(ca, row_text(rows, row, "id"));
    ca->issuer_id = mem_text(ca, row_text(rows, row, "issuer_id"));
    ca->intermediate_id = mem_text(ca, row_text(rows, row, "intermediate_ca_id"));
    ca->parent_id = mem_text(ca, row_text(rows, row, "parent_id"));
    ca->certificate = certificate_from_der(ca, row_bytes(ca, rows, row, "cert_der"), &ignored);
    if (ca->certificate && ocsp_ca_hashes(ca->certificate, &ca->hashes))
        return ca;
    talloc_free(ca);
    return NULL;
}

static bool signer_is_of(const struct ca *ca, const char *key_path, const char *serial)
{
    return ca->signer && text_equal(ca->key_path, key_path) &&
           text_equal(ca->signer->serial, serial);
}

/* A new responder replaces the old one when it can be used; until then the old one answers, as long
 * as its certificate lives. */
static void signer_refresh(const struct request *request, struct ca *ca, const struct rows *rows,
                           size_t row)
{
    const char *key_path = row_text(rows, row, "key_path");
    const char *pem = row_text(rows, row, "cert_pem");
    struct fault ignored = {0};

    if (ca->signer && (!key_path || ca->signer->not_after <= clock_now_s()))
        TALLOC_FREE(ca->signer);
    if (!key_path || !pem || signer_is_of(ca, key_path, row_text(rows, row, "cert_serial")))
        return;
    struct ocsp_signer *signer = ocsp_signer_load(ca, request->settings->ocsp_responder_key_dir,
                                                  key_path, pem, ca->certificate, &ignored);
    if (!signer || signer->not_after <= clock_now_s()) {
        talloc_free(signer);
        return;
    }
    talloc_free(ca->signer);
    ca->signer = signer;
    ca->key_path = mem_text(signer, key_path);
}

static void ca_refresh(const struct request *request, struct ca *ca, const struct rows *rows,
                       size_t row)
{
    const char *reason = row_text(rows, row, "revocation_reason");

    ca->issues = row_bool(rows, row, "issues");
    ca->revoked = !row_null(rows, row, "revoked_at");
    ca->revoked_at = row_time(rows, row, "revoked_at");
    if (!reason || !revocation_reason_from_text(reason, &ca->reason))
        ca->reason = REVOKED_UNSPECIFIED;
    signer_refresh(request, ca, rows, row);
}

static void table_fill(struct request *request, struct ca_table *table, const struct rows *rows)
{
    struct pki_worker *worker = pki_worker_of(request);
    struct ca **items = mem_array(worker, struct ca *, rows->count + 1);
    size_t count = 0;

    for (size_t i = 0; i < rows->count; i++) {
        struct ca *ca = ca_known(table, row_text(rows, i, "id"));
        items[count] = ca ? talloc_steal(items, ca) : ca_new(items, rows, i);
        if (items[count])
            ca_refresh(request, items[count++], rows, i);
    }
    talloc_free(table->items); /* with the CAs that are gone */
    table->items = items;
    table->count = count;
}

bool ca_table_refresh(struct request *request, struct fault *fault)
{
    struct ca_table *table = &pki_worker_of(request)->table;
    const int64_t now_us = clock_monotonic_us();

    if (table->items && now_us - table->read_us < TABLE_US)
        return true;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, request->db, &ocsp_cas, fault,
                                 TEXT(request->settings->node_id));
    if (!rows)
        return false;
    table_fill(request, table, rows);
    table->read_us = now_us;
    return true;
}
