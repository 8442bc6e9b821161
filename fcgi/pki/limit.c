/* fcgi/pki/limit.c: see limit.h. */
#include "limit.h"

#include <stdio.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

#define SCORE       20
#define SCORE_LEAST 256 /* limits up to it are exact in rl_take, and taken one by one */
#define HELD_US     INT64_C(5000000)

/* $1 key, $2 limit, $3 cost. */
STATEMENT(ocsp_limit,
          "SELECT rl_take($1::text, $2::integer, interval '1 minute', NULL, $3::integer) AS wait");

/* FNV-1a; two addresses in one slot only cost each other round trips. */
static size_t slot_of(const char *address)
{
    uint32_t hash = UINT32_C(2166136261);

    for (; *address; address++)
        hash = (hash ^ (uint8_t)*address) * UINT32_C(16777619);
    return hash % LIMIT_SLOTS;
}

static bool ask(struct limit_slot *slot, struct db *db, int64_t per_minute, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const int64_t cost = per_minute > SCORE_LEAST ? SCORE : 1;
    const char *key = mem_printf(scratch, "ocsp:%s", slot->address);
    struct rows *rows = db_query(scratch, db, &ocsp_limit, fault, TEXT(key), INTEGER(per_minute),
                                 INTEGER(cost));

    if (!rows)
        return false;
    const int64_t wait_s = row_integer(rows, 0, "wait");
    slot->refused = wait_s > 0;
    slot->tokens = wait_s > 0 ? 0 : cost;
    slot->until_us = clock_monotonic_us() + (wait_s > 0 ? wait_s * 1000000 : HELD_US);
    return true;
}

bool limit_take(struct limit *limit, struct db *db, const char *address, int64_t per_minute,
                int64_t *ret_wait_s, struct fault *fault)
{
    const char *asking = address ? address : "";
    struct limit_slot *slot = &limit->slots[slot_of(asking)];
    const int64_t now_us = clock_monotonic_us();
    const bool known = text_equal(slot->address, asking) && now_us < slot->until_us;

    *ret_wait_s = 0;
    if (per_minute <= 0)
        return true;
    if (!known) {
        (void)snprintf(slot->address, sizeof slot->address, "%s", asking);
        slot->until_us = 0; /* nothing of the former one's, should the database not answer */
    }
    if ((!known || (!slot->refused && slot->tokens == 0)) && !ask(slot, db, per_minute, fault))
        return false;
    if (slot->refused)
        *ret_wait_s = most((slot->until_us - now_us) / 1000000, INT64_C(1));
    else
        slot->tokens--;
    return true;
}
