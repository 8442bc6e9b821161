/* lib/lifecycle/ocsp_row.h: OCSP answers that were signed and may be given again (04 section 10.6):
 * by the responder that signed them, and by the job that signs before anybody asks.
 *
 * Whether a stored answer is still true is decided when it is read, by the statement that reads the
 * certificate's state: so no revocation has to win a race against one that is being stored. */
#ifndef CERTCTL_LIFECYCLE_OCSP_ROW_H
#define CERTCTL_LIFECYCLE_OCSP_ROW_H

#include "db/db.h"
#include "pki/ocsp.h"

struct ocsp_row {
    const char *issuer_id;
    const char *serial;
    const char *hash; /* ocsp_hash_text */
    const char *ca_id;
    const char *responder_serial;
    struct bytes der;
    enum ocsp_status status; /* "unknown" is never stored: a scan of random serials would be */
    int64_t this_update;
    int64_t next_update;
};

/* Stores them in one statement, each key once among them; what was stored later stays. */
bool ocsp_rows_store(struct db *db, const struct ocsp_row *rows, size_t count, struct fault *fault);

#endif
