/* lib/lifecycle/ocsp_row.c: see ocsp_row.h. */
#include "lifecycle/ocsp_row.h"

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

/* Parallel lists: $1 issuer, $2 serial, $3 hash, $4 CA, $5 responder, $6 answer in hex, $7 status,
 * $8 $9 times. In the order of their keys, so that two who store cannot deadlock. */
STATEMENT(ocsp_rows_insert,
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

static void list_row(TALLOC_CTX *ctx, struct text_list lists[LISTS], const struct ocsp_row *row)
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

bool ocsp_rows_store(struct db *db, const struct ocsp_row *rows, size_t count, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list lists[LISTS] = {0};
    struct db_param params[LISTS];

    for (size_t i = 0; i < count; i++)
        list_row(scratch, lists, &rows[i]);
    for (size_t i = 0; i < LISTS; i++)
        params[i] = TEXTS(&lists[i]);
    return db_query_params(scratch, db, &ocsp_rows_insert, fault, params, LISTS) != NULL;
}
