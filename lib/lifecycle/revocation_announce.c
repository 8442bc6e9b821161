/* lib/lifecycle/revocation_announce.c: who hears of a revocation after its commit (04 sections 8.3
 * and 11.4). */
#include "core/clock.h"
#include "core/text.h"
#include "pki/ocsp_edge.h"

#include "revoke.h"

#include "core/banned.h"

/* What telling the web server may cost the asker; the job tells it again (04 section 8.3). */
#define EDGE_US INT64_C(10000)

/* "issuer serial name-sha1 key-sha1 name-sha256 key-sha256" */
static bool target_from_text(TALLOC_CTX *ctx, const char *text, struct ocsp_edge_target *ret)
{
    const struct text_list parts = text_split(ctx, text, ' ');

    if (parts.count != 6)
        return false;
    ret->issuer_id = parts.items[0];
    ret->serial = parts.items[1];
    return hex_to_bytes(ctx, parts.items[2], &ret->name_sha1) &&
           hex_to_bytes(ctx, parts.items[3], &ret->key_sha1) &&
           hex_to_bytes(ctx, parts.items[4], &ret->name_sha256) &&
           hex_to_bytes(ctx, parts.items[5], &ret->key_sha256);
}

/* So that whoever hears of the revocation hears of it from OCSP too, on this host. Never more than
 * an attempt: ocsp-refresh does it for certain, here and on other hosts. */
static void refresh_edge(TALLOC_CTX *ctx, const struct settings *settings,
                         const struct text_list *refresh)
{
    const int64_t deadline_us = clock_monotonic_us() + EDGE_US;
    struct ocsp_edge_target target;
    struct fault ignored = {0};

    if (refresh->count == 0 || settings->ocsp_refresh_socket[0] != '/' ||
        settings->ocsp_edge_ttl_s == 0)
        return;
    struct ocsp_edge *edge = ocsp_edge_open(ctx, settings->ocsp_refresh_socket, &ignored);
    for (size_t i = 0; edge && i < refresh->count; i++)
        if (target_from_text(ctx, refresh->items[i], &target) &&
            !ocsp_edge_refresh(edge, &target, deadline_us, &ignored))
            break;
    talloc_free(edge);
}

void revocation_announce(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                         const struct text_list *refresh)
{
    db_wake(db, "crl-generation");
    db_wake(db, "ocsp-refresh");
    if (!db_is_enclosed(db)) /* not committed yet, OCSP would answer as before */
        refresh_edge(ctx, settings, refresh);
}
