/* lib/lifecycle/approval.c: a decision is one call of approval_decide (06 section 4.8). */
#include "lifecycle/approval.h"

#include "core/id.h"
#include "core/macro.h"

#include "core/banned.h"

/* $1 key, $2 session, $3 its token, $4 approval, $5 job, $6 yes, $7 note, $8 audit id, $9 address,
 * $10 request. */
STATEMENT(approval_decision, "SELECT outcome, decided_by, job_status FROM approval_decide($1, $2, "
                             "$3, $4, $5, $6::boolean, $7, $8, $9::inet, $10)");

static const struct {
    const char *outcome;
    enum fault_reason reason;
    const char *detail;
} refusals[] = {
    {"nobody",          UNAUTHENTICATED,  "authentication required to approve / reject"                    },
    {"forbidden",       FORBIDDEN,        "Insufficient permissions"                                       },
    {"unknown",         RESOURCE_UNKNOWN, "approval request not found"                                     },
    {"self",            FORBIDDEN,        "approver cannot be the same as requester (two-person integrity)"},
    {"owner",           FORBIDDEN,
     "Self-approval is forbidden: the certificate owner cannot approve their own renewal"                  },
    {"already",         RESOURCE_STATE,   "approval request already decided"                               },
    {"profile_changed", RESOURCE_STATE,   "profile changed since this edit was requested"                  },
};

static bool refuse(const struct rows *rows, const struct approval_decision *decision,
                   struct fault *fault)
{
    const char *outcome = row_text(rows, 0, "outcome");

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        if (text_equal(outcome, refusals[i].outcome))
            return fault_set(fault, refusals[i].reason, NULL, "%s", refusals[i].detail);
    if (text_equal(outcome, "job_state"))
        return fault_set(fault, decision->job_id ? INPUT_INVALID : RESOURCE_STATE, NULL,
                         "cannot %s job with status %s (must be AwaitingApproval)",
                         decision->approve ? "approve" : "reject", row_text(rows, 0, "job_status"));
    fault_set(fault, INTERNAL, NULL, "Failed to record decision");
    return fault_cause(fault, "approval_decide: %s", outcome);
}

bool approval_decide(TALLOC_CTX *ctx, struct db *db, const struct approval_decision *decision,
                     const char **ret_by, struct fault *fault)
{
    struct rows *rows = db_query(ctx, db, &approval_decision, fault, TEXT(decision->key),
                                 TEXT(NULL), TEXT(NULL), TEXT(decision->approval_id),
                                 TEXT(decision->job_id), BOOLEAN(decision->approve),
                                 TEXT(decision->note), TEXT(id_new(ctx, "audit")),
                                 TEXT(decision->source_ip), TEXT(decision->request_id));

    if (!rows)
        return false;
    if (!text_equal(row_text(rows, 0, "outcome"), "decided"))
        return refuse(rows, decision, fault);
    *ret_by = row_text(rows, 0, "decided_by");
    db_wake(db, "job-processor");
    return true;
}
