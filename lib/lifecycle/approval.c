/* lib/lifecycle/approval.c: a decision is one call of approval_decide (06 section 4.8). */
#include "lifecycle/approval.h"

#include "core/auto.h"
#include "core/id.h"
#include "core/macro.h"

#include "core/banned.h"

/* $1 key, $2 session, $3 its token, $4 approval, $5 job, $6 yes, $7 note, $8 audit id, $9 address,
 * $10 request. */
STATEMENT(approval_decision,
          "SELECT outcome, decided_by, job_status, edit_profile, edit_payload, edit_version FROM "
          "approval_decide($1, $2, $3, $4, $5, $6::boolean, $7, $8, $9::inet, $10)");

/* $1 key, $2 session, $3 its token, $4 id, $5 profile, $6 payload, $7 version, $8 $9 audit ids, $10
 * notice, $11 address, $12 request. */
STATEMENT(approval_edit,
          "SELECT approval_open_edit($1, $2, $3, $4, $5, $6::jsonb, $7::bigint, $8, $9, $10, "
          "$11::inet, $12) AS outcome");

/* $1 audit id, $2 approval, $3 who, $4 why. */
STATEMENT(approval_unapplied,
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details) VALUES ($1::text, $3::text, 'APIKey', 'approval_profile_apply_failed', "
          "'approval_request', $2::text, jsonb_build_object('approval_id', $2::text, 'error', "
          "$4::text))");

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
                     struct approval_outcome *ret_outcome, struct fault *fault)
{
    struct rows *rows = db_query(ctx, db, &approval_decision, fault, TEXT(decision->key),
                                 TEXT(NULL), TEXT(NULL), TEXT(decision->approval_id),
                                 TEXT(decision->job_id), BOOLEAN(decision->approve),
                                 TEXT(decision->note), TEXT(id_new(ctx, "audit")),
                                 TEXT(decision->source_ip), TEXT(decision->request_id));

    *ret_outcome = (struct approval_outcome){0};
    if (!rows)
        return false;
    if (!text_equal(row_text(rows, 0, "outcome"), "decided")) {
        ret_outcome->refused = true;
        return refuse(rows, decision, fault);
    }
    ret_outcome->by = row_text(rows, 0, "decided_by");
    ret_outcome->edit_profile = row_text(rows, 0, "edit_profile");
    ret_outcome->edit_payload = row_text(rows, 0, "edit_payload");
    ret_outcome->edit_version = row_integer(rows, 0, "edit_version");
    db_wake(db, "job-processor");
    return true;
}

const char *approval_open_edit(TALLOC_CTX *ctx, struct db *db, const struct approval_edit *edit,
                               struct fault *fault)
{
    const char *id = id_new(ctx, "apr");
    struct rows *rows = db_query(ctx, db, &approval_edit, fault, TEXT(edit->key), TEXT(NULL),
                                 TEXT(NULL), TEXT(id), TEXT(edit->profile_id), TEXT(edit->payload),
                                 INTEGER(edit->row_version), TEXT(id_new(ctx, "audit")),
                                 TEXT(id_new(ctx, "audit")), TEXT(id_new(ctx, "notif")),
                                 TEXT(edit->source_ip), TEXT(edit->request_id));

    if (!rows)
        return NULL;
    const char *outcome = row_text(rows, 0, "outcome");
    if (text_equal(outcome, "open"))
        return id;
    if (text_equal(outcome, "waits"))
        return fault_set(fault, RESOURCE_STATE, NULL,
                         "an edit of this profile waits for approval already");
    if (text_equal(outcome, "forbidden"))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    return fault_set(fault, UNAUTHENTICATED, NULL, "Invalid API key");
}

void approval_edit_failed(struct db *db, const char *approval_id, const char *actor,
                          const char *why)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault ignored = {0}; /* the caller is about to tell a fault of its own */

    (void)!db_query(scratch, db, &approval_unapplied, &ignored, TEXT(id_new(scratch, "audit")),
                    TEXT(approval_id), TEXT(actor), TEXT(why));
}
