/* fcgi/pki/crl.c: a CRL that the web server does not find as a file (04 section 9.1).
 *
 * Nobody but the job builds or writes one (00 decision 53): it is woken, and the client comes
 * again. */
#include "core/text.h"
#include "pki.h"

#include "core/banned.h"

/* $1 issuer. */
STATEMENT(pki_issuer, "SELECT type FROM issuers WHERE id = $1::text");

bool issuer_refuse(struct request *request, const char *id, const char *what, struct fault *fault)
{
    struct rows *rows = db_query(request, request->db, &pki_issuer, fault, TEXT(id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "issuer not found: %s", id);
    if (text_equal(row_text(rows, 0, "type"), "GenericCA"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "issuer not found: %s has no CA yet", id);
    return fault_set(fault, ISSUER_UNSUPPORTED, NULL, "issuer type %s does not support %s",
                     row_text(rows, 0, "type"), what);
}

bool show_crl(struct request *request, struct response *response, struct fault *fault)
{
    const char *id = request_captured(request, "issuer");
    struct pki_worker *worker = pki_worker_of(request);

    (void)response;
    if (!ca_table_refresh(request, fault))
        return false;
    for (size_t i = 0; i < worker->table.count; i++) {
        if (!ca_is_named(worker->table.items[i], id))
            continue;
        db_wake(request->db, "crl-generation");
        fault_set(fault, ISSUER_UNAVAILABLE, NULL, "CRL not available yet");
        fault->retry_after_s = 5;
        return false;
    }
    return issuer_refuse(request, id, "CRL generation", fault);
}
