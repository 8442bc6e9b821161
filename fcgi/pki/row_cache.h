/* fcgi/pki/row_cache.h: answers that a worker signed, until they are stored (04 section 10.6).
 *
 * They are stored some at a time, after an answer has left: a commit costs more than a signature.
 * What is lost with a worker is signed again. */
#ifndef CERTCTL_FCGI_PKI_ROW_CACHE_H
#define CERTCTL_FCGI_PKI_ROW_CACHE_H

#include "lifecycle/ocsp_row.h"

#define ROW_CACHE_HELD 32

struct row_cache {
    struct ocsp_row rows[ROW_CACHE_HELD];
    size_t count;
    TALLOC_CTX *ctx;  /* of what the rows point to; NULL: none */
    int64_t since_us; /* the oldest of them */
};

/* Copies the row. An answer "unknown" is never kept: a scan of random serials would fill the
 * table. */
void row_cache_keep(struct row_cache *cache, const struct ocsp_row *row);
/* Stores them where they are many enough, or `wait_us` old. */
void row_cache_flush(struct row_cache *cache, struct db *db, int64_t wait_us);

#endif
