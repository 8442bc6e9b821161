/* fcgi/pki/row_cache.c: see row_cache.h. */
#include "row_cache.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

/* Parallel lists: $1 issuer, $2 serial, $3 hash, $4 CA, $5 responder, $6 answer in hex, $7 status,
 * $8 $9 times. In the order of their keys, so that two workers cannot deadlock. */
STATEMENT(ocsp_rows_store,
          "INSERT INTO ocsp_response_cache AS c (issuer_id, serial_hex, hash_alg, ca_id, "
          "responder_serial, response_der, cert_status, this_update, next_update, generated_at) "
          "SELECT n.issuer, n.serial, n.hash, n.ca, n.responder, decode(n.der, 'hex'), n.status, "
          "to_timestamp(n.this::bigint), to_timestamp(n.next::bigint), now() "
          "FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], "
          "$7::text[], $8::text[], $9::text[]) "
          "AS n (issuer, serial, hash, ca, responder, der, status, this, next) "
          "ORDER BY n.issuer, n.serial, n.hash "
          "ON CONFLICT (issuer_id, serial_hex, hash_alg) DO UPDATE SET ca_id = EXCLUDED.ca_id, "
          "responder_serial = EXCLUDED.responder_serial, response_der = EXCLUDED.response_der, "
          "cert_status = EXCLUDED.cert_status, this_update = EXCLUDED.this_update, "
          "next_update = EXCLUDED.next_update, generated_at = EXCLUDED.generated_at "
          "WHERE EXCLUDED.generated_at >= c.generated_at");

enum { ISSUER, SERIAL, HASH, CA, RESPONDER, DER, STATUS, THIS, NEXT, LISTS };

static struct row *row_of(struct row_cache *cache, const struct row *row)
{
    for (size_t i = 0; i < cache->count; i++) {
        struct row *kept = &cache->rows[i];
        if (text_equal(kept->serial, row->serial) && text_equal(kept->hash, row->hash) &&
            text_equal(kept->issuer_id, row->issuer_id))
            return kept;
    }
    return cache->count < ROW_CACHE_HELD ? &cache->rows[cache->count++] : NULL;
}

void row_cache_keep(struct row_cache *cache, const struct row *row)
{
    if (row->status == OCSP_UNKNOWN)
        return;
    if (cache->count == 0) {
        cache->ctx = talloc_new(NULL);
        cache->since_us = clock_monotonic_us();
    }
    struct row *kept = row_of(cache, row);
    if (!kept)
        return;
    *kept = *row;
    kept->issuer_id = mem_text(cache->ctx, row->issuer_id);
    kept->serial = mem_text(cache->ctx, row->serial);
    kept->ca_id = mem_text(cache->ctx, row->ca_id);
    kept->responder_serial = mem_text(cache->ctx, row->responder_serial);
    kept->der = bytes_copy(cache->ctx, row->der);
}

static void list_row(TALLOC_CTX *ctx, struct text_list lists[LISTS], const struct row *row)
{
    text_list_add(ctx, &lists[ISSUER], row->issuer_id);
    text_list_add(ctx, &lists[SERIAL], row->serial);
    text_list_add(ctx, &lists[HASH], row->hash);
    text_list_add(ctx, &lists[CA], row->ca_id);
    text_list_add(ctx, &lists[RESPONDER], row->responder_serial);
    text_list_add(ctx, &lists[DER], hex_from_bytes(ctx, row->der));
    text_list_add(ctx, &lists[STATUS], ocsp_status_text(row->status));
    text_list_add(ctx, &lists[THIS], mem_printf(ctx, "%lld", (long long)row->this_update));
    text_list_add(ctx, &lists[NEXT], mem_printf(ctx, "%lld", (long long)row->next_update));
}

void row_cache_flush(struct row_cache *cache, struct db *db, int64_t wait_us)
{
    struct text_list lists[LISTS] = {0};
    struct db_param params[LISTS];
    struct fault ignored = {0};

    if (cache->count == 0 ||
        (cache->count < ROW_CACHE_HELD && clock_monotonic_us() - cache->since_us < wait_us))
        return;
    for (size_t i = 0; i < cache->count; i++)
        list_row(cache->ctx, lists, &cache->rows[i]);
    for (size_t i = 0; i < LISTS; i++)
        params[i] = TEXTS(&lists[i]);
    (void)db_query_params(cache->ctx, db, &ocsp_rows_store, &ignored, params, LISTS);
    talloc_free(cache->ctx);
    *cache = (struct row_cache){0};
}
