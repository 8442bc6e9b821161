/* lib/lifecycle/ca_retire.c: a CA that signs no more (04 section 5.5). */
#include "core/id.h"
#include "core/text.h"

#include "ca_submit.h"

#include "core/banned.h"

/* $1 CA, $2 confirmed, $3 note, $4 $5 who, $6 id of the event, $7 address, $8 id of the HTTP
 * request, $9 more details. */
STATEMENT(ca_retirement_commit,
          "SELECT ca_retire($1::text, $2::boolean, $3::text, $4::text, $5::text, $6::text, "
          "$7::text::inet, $8::text, $9::text::jsonb) AS outcome");

static const struct {
    const char *outcome;
    enum fault_reason reason; /* REASON_NONE: done */
    const char *detail;
} outcomes[] = {
    {"retiring",         REASON_NONE,      NULL                                                },
    {"retired",          REASON_NONE,      NULL                                                },
    {"unknown",          RESOURCE_UNKNOWN, "intermediate CA not found"                         },
    {"already_retiring", RESOURCE_STATE,   "already retiring; pass confirm=true to terminalize"},
    {"already_retired",  RESOURCE_STATE,   "already retired"                                   },
    {"children",         RESOURCE_STATE,   "CA cannot retire: active children still issuing"   },
};

bool lifecycle_ca_retire(TALLOC_CTX *ctx, struct db *db, const struct ca_retirement *retirement,
                         const struct ca_asker *asker, const char **ret_state, struct fault *fault)
{
    struct rows *rows = db_query(ctx, db, &ca_retirement_commit, fault, TEXT(retirement->ca_id),
                                 BOOLEAN(retirement->confirm), TEXT(retirement->note),
                                 TEXT(asker->actor), TEXT(asker->actor_type),
                                 TEXT(id_new(ctx, "audit")), TEXT(asker->source_ip),
                                 TEXT(asker->request_id), TEXT(retirement->details));

    if (!rows)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
        if (!text_equal(outcomes[i].outcome, row_text(rows, 0, "outcome")))
            continue;
        if (outcomes[i].reason != REASON_NONE)
            return fault_set(fault, outcomes[i].reason, "ca_id", "%s", outcomes[i].detail);
        *ret_state = outcomes[i].outcome;
        return true;
    }
    return fault_set(fault, INTERNAL, NULL, "ca_retire said something else");
}
