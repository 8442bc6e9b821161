/* fcgi/pki/row_cache.c: see row_cache.h. */
#include "row_cache.h"

#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

static struct ocsp_row *row_of(struct row_cache *cache, const struct ocsp_row *row)
{
    for (size_t i = 0; i < cache->count; i++) {
        struct ocsp_row *kept = &cache->rows[i];
        if (text_equal(kept->serial, row->serial) && text_equal(kept->hash, row->hash) &&
            text_equal(kept->issuer_id, row->issuer_id))
            return kept;
    }
    return cache->count < ROW_CACHE_HELD ? &cache->rows[cache->count++] : NULL;
}

void row_cache_keep(struct row_cache *cache, const struct ocsp_row *row)
{
    if (row->status == OCSP_UNKNOWN)
        return;
    if (cache->count == 0) {
        cache->ctx = talloc_new(NULL);
        cache->since_us = clock_monotonic_us();
    }
    struct ocsp_row *kept = row_of(cache, row);
    if (!kept)
        return;
    *kept = *row;
    kept->issuer_id = mem_text(cache->ctx, row->issuer_id);
    kept->serial = mem_text(cache->ctx, row->serial);
    kept->ca_id = mem_text(cache->ctx, row->ca_id);
    kept->responder_serial = mem_text(cache->ctx, row->responder_serial);
    kept->der = bytes_copy(cache->ctx, row->der);
}

void row_cache_flush(struct row_cache *cache, struct db *db, int64_t wait_us)
{
    struct fault ignored = {0};

    if (cache->count == 0 ||
        (cache->count < ROW_CACHE_HELD && clock_monotonic_us() - cache->since_us < wait_us))
        return;
    (void)ocsp_rows_store(db, cache->rows, cache->count, &ignored);
    talloc_free(cache->ctx);
    *cache = (struct row_cache){0};
}
