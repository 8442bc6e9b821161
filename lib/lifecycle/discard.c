/* lib/lifecycle/discard.c: signatures that nobody keeps (00 decision 64). */
#include "lifecycle/discard.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "pki/crl_entry.h"

#include "core/banned.h"

/* An hour without a database makes no more of them than requests that were under way. */
#define OWED_MAX      64
#define TRIED_EACH_US INT64_C(1000000)

STATEMENT(issuance_discard,
          "SELECT issuance_discard($1, $2, $3, $4, $5::timestamptz, $6, $7, $8::jsonb, $9, "
          "$10::timestamptz, $11::bytea)");

/* Of the process: it outlives the request whose commit failed. */
static struct {
    struct discard *items[OWED_MAX];
    int64_t since_s[OWED_MAX];
    size_t count;
    int64_t tried_us;
} owed;

static bool enter(struct db *db, const struct discard *discard, int64_t since_s)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *details = json_object();
    const struct crl_entry entry = {.serial = discard->serial, .revoked_at = since_s};
    struct bytes entry_der;
    struct fault ignored = {0};

    if (!crl_entry_encode(scratch, &entry, &entry_der, &ignored))
        return true; /* nor will it ever be */
    json_set_text(details, "serial", discard->serial);
    json_set_text(details, "reason", "unspecified");
    json_set_text(details, "source", "discarded");
    json_set_text(details, "why", discard->why);
    json_set_text(details, "spki_sha256", discard->spki_sha256);
    return db_query(scratch, db, &issuance_discard, &ignored, TEXT(id_new(scratch, "rev")),
                    TEXT(discard->issuer_id), TEXT(discard->ca_id), TEXT(discard->serial),
                    INSTANT(discard->not_after), TEXT(discard->actor),
                    TEXT(id_new(scratch, "audit")), TEXT(json_to_text(scratch, details)),
                    TEXT(discard->request_id), INSTANT(since_s), BYTEA(entry_der)) != NULL;
}

static void drop_first(void)
{
    talloc_free(owed.items[0]);
    owed.count--;
    for (size_t i = 0; i < owed.count; i++) {
        owed.items[i] = owed.items[i + 1];
        owed.since_s[i] = owed.since_s[i + 1];
    }
}

/* The oldest makes room: it is the first that the reconciling job will find. */
static void owe(const struct discard *discard, int64_t since_s)
{
    struct discard *kept = mem_new(NULL, struct discard);

    *kept = (struct discard){
        .issuer_id = mem_text(kept, discard->issuer_id),
        .ca_id = mem_text(kept, discard->ca_id),
        .serial = mem_text(kept, discard->serial),
        .spki_sha256 = mem_text(kept, discard->spki_sha256),
        .not_after = discard->not_after,
        .actor = mem_text(kept, discard->actor),
        .request_id = mem_text(kept, discard->request_id),
        .why = mem_text(kept, discard->why),
    };
    if (owed.count == OWED_MAX)
        drop_first();
    owed.items[owed.count] = kept;
    owed.since_s[owed.count++] = since_s;
}

void discard_signature(struct db *db, const struct discard *discard)
{
    const int64_t now_s = clock_now_s();

    if (!enter(db, discard, now_s))
        owe(discard, now_s);
}

void discard_owed(struct db *db)
{
    const int64_t now_us = clock_monotonic_us();

    if (owed.count == 0 || now_us - owed.tried_us < TRIED_EACH_US)
        return;
    owed.tried_us = now_us;
    while (owed.count > 0 && enter(db, owed.items[0], owed.since_s[0]))
        drop_first();
}

size_t discard_count(void)
{
    return owed.count;
}
