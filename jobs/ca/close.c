/* jobs/ca/close.c: whoever retires or revokes a CA ends it in the database, and there it is due
 * until its signer has closed the facts. 04 section 5.5, 00 decision 52. */
#include "jobs/ca/close.h"

#include "core/auto.h"
#include "core/log.h"
#include "core/memory.h"
#include "signer/client.h"

#include "core/banned.h"

#define BATCH 100

/* $1 batch. */
STATEMENT(ca_close_due,
          "SELECT id, key_ref, encode(sha256(cert_der), 'hex') AS ca_sha256 FROM ca_instances "
          "WHERE facts_close_due <= now() ORDER BY facts_close_due, id LIMIT $1::bigint");

/* $1 CA. */
STATEMENT(ca_close_done, "UPDATE ca_instances SET facts_close_due = NULL WHERE id = $1::text");

/* $1 CA. A key that is away for good is asked for once an hour in the end. */
STATEMENT(ca_close_later, "UPDATE ca_instances SET facts_close_due = now() + "
                          "least(interval '1 hour', (now() - updated_at) / 4) WHERE id = $1::text");

static bool close_one(struct job_run *run, const char *id, const struct rows *rows, size_t row,
                      struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct signer_request request = {.kind = SIGNER_CLOSE,
                                           .key_ref = row_text(rows, row, "key_ref"),
                                           .ca_sha256 = row_text(rows, row, "ca_sha256")};
    struct signer_reply reply = {0};
    struct fault why = {0};

    if (!signer_call(ctx, run->settings->signer_admin_socket, &request, &reply, &why)) {
        job_item_failed(run, id, &why);
        return db_query(ctx, run->db, &ca_close_later, fault, TEXT(id)) != NULL;
    }
    run->items_ok++;
    struct log_line line;
    log_begin(&line, LOG_INFO, "the signer signs no certificate for a retired CA any more");
    log_text(&line, "job", run->entry->name);
    log_text(&line, "item", id);
    log_text(&line, "facts", reply.text);
    log_end(&line);
    return db_query(ctx, run->db, &ca_close_done, fault, TEXT(id)) != NULL;
}

bool ca_close(struct job_run *run, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(scratch, run->db, &ca_close_due, fault, INTEGER(BATCH));

    if (!rows)
        return false;
    for (size_t i = 0; i < rows->count && !job_should_stop(run); i++) {
        const char *id = row_text(rows, i, "id");
        if (run->dry_run)
            job_would("close the facts of", id, 1);
        else if (!close_one(run, id, rows, i, fault))
            return false;
    }
    return true;
}
