/* fcgi/pki/row_cache.h: answers that were signed and may be given again (04 section 10.6).
 *
 * They are stored some at a time, after an answer has left: a commit costs more than a signature.
 * What is lost with a worker is signed again. Whether a stored answer is still true is decided
 * when it is read, by the statement that reads the certificate's state. */
#ifndef CERTCTL_FCGI_PKI_ROW_CACHE_H
#define CERTCTL_FCGI_PKI_ROW_CACHE_H

#include "db/db.h"
#include "pki/ocsp.h"

#define ROW_CACHE_HELD 32

struct row {
    const char *issuer_id;
    const char *serial;
    const char *hash; /* ocsp_hash_text */
    const char *ca_id;
    const char *responder_serial;
    struct bytes der;
    enum ocsp_status status;
    int64_t this_update;
    int64_t next_update;
};

struct row_cache {
    struct row rows[ROW_CACHE_HELD];
    size_t count;
    TALLOC_CTX *ctx;  /* of what the rows point to; NULL: none */
    int64_t since_us; /* the oldest of them */
};

/* Copies the row. An answer "unknown" is never kept: a scan of random serials would fill the
 * table. */
void row_cache_keep(struct row_cache *cache, const struct row *row);
/* Stores them where they are many enough, or `wait_us` old. */
void row_cache_flush(struct row_cache *cache, struct db *db, int64_t wait_us);

#endif
