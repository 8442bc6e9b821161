/* fcgi/api/approvals.c: decisions about what waits for a second person, 05 sections 4.6 and 4.9. */
#include "auth/credential.h"
#include "core/auto.h"
#include "core/json.h"
#include "fcgi/api/api.h"
#include "lifecycle/approval.h"
#include "web/body.h"

#include "core/banned.h"

#define NOTE_MAX 2000

const char *api_key(struct request *request)
{
    return credential_from_header(request, request_header(request, "Authorization")).key;
}

struct wanted_decision {
    const char *note;
    const char *reason; /* what the job's route calls it */
};

static const struct member decision_members[] = {
    {"note",   MEMBER_TEXT, OPTIONAL, AT(wanted_decision, note)  },
    {"reason", MEMBER_TEXT, OPTIONAL, AT(wanted_decision, reason)},
};

/* Of UTF-8: what begins a character is no continuation. */
static size_t character_count(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

static bool note_read(struct request *request, bool by_job, const char **ret_note,
                      struct fault *fault)
{
    struct wanted_decision wanted = {0};
    AUTO(json_t) *body = request_json_optional(request, fault);

    if (!body)
        return fault->reason == INPUT_MALFORMED
                   ? fault_set(fault, INPUT_MALFORMED, NULL, "invalid JSON body")
                   : NULL;
    if (!json_decode(request, body, decision_members, &wanted, fault))
        return false;
    *ret_note = by_job ? wanted.reason : wanted.note;
    if (*ret_note && character_count(*ret_note) > NOTE_MAX)
        return fault_set(fault, INPUT_INVALID, by_job ? "reason" : "note",
                         "`%s` has more than %d characters", by_job ? "reason" : "note", NOTE_MAX);
    return true;
}

/* One transaction: the decision, and what was approved. */
static bool record(struct request *request, const struct approval_decision *decision,
                   const char **ret_by, struct fault *fault)
{
    struct approval_outcome outcome = {0};
    struct fault ignored = {0};

    if (!db_begin(request->db, fault))
        return false;
    if (!approval_decide(request, request->db, decision, &outcome, fault)) {
        if (!outcome.refused || !db_commit(request->db, &ignored))
            db_rollback(request->db);
        return false;
    }
    *ret_by = outcome.by;
    if (!outcome.edit_profile || api_apply_profile(request, &outcome, fault))
        return db_commit(request->db, fault);
    db_rollback(request->db);
    approval_edit_failed(request->db, decision->approval_id, outcome.by, fault->detail);
    return false;
}

/* The key once more: the database itself looks who that is. */
static bool decide(struct request *request, bool approve, bool by_job, const char **ret_by,
                   struct fault *fault)
{
    const char *id = request_captured(request, "id");
    struct approval_decision decision = {
        .key = api_key(request),
        .approval_id = by_job ? NULL : id,
        .job_id = by_job ? id : NULL,
        .approve = approve,
        .source_ip = request->settings->audit_record_ip ? request->remote_addr : NULL,
        .request_id = request->request_id,
    };

    return note_read(request, by_job, &decision.note, fault) &&
           record(request, &decision, ret_by, fault);
}

static bool decide_approval(struct request *request, struct response *response, bool approve,
                            struct fault *fault)
{
    const char *by = NULL;

    if (!decide(request, approve, false, &by, fault))
        return false;
    json_t *body = json_object();
    json_set_text(body, "id", request_captured(request, "id"));
    json_set_text(body, "decided_by", by);
    json_set_text(body, "action", approve ? "approved" : "rejected");
    return response_json(response, 200, body);
}

static bool decide_job(struct request *request, struct response *response, bool approve,
                       struct fault *fault)
{
    const char *by = NULL;

    if (!decide(request, approve, true, &by, fault))
        return false;
    json_t *body = json_object();
    json_set_text(body, "status", approve ? "job_approved" : "job_rejected");
    return response_json(response, 200, body);
}

bool api_approve(struct request *request, struct response *response, struct fault *fault)
{
    return decide_approval(request, response, true, fault);
}

bool api_reject(struct request *request, struct response *response, struct fault *fault)
{
    return decide_approval(request, response, false, fault);
}

bool api_approve_job(struct request *request, struct response *response, struct fault *fault)
{
    return decide_job(request, response, true, fault);
}

bool api_reject_job(struct request *request, struct response *response, struct fault *fault)
{
    return decide_job(request, response, false, fault);
}
