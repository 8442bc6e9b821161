/* fcgi/acme/finalize.c: from a ready order and a CSR to a certificate (RFC 8555 section 7.4, 01
 * section 10). Two round trips to the database and one commit: the first statement came with the
 * account (open.c), the second is issuance_commit. */
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "lifecycle/issue.h"

#include "core/banned.h"

#define CSR_ACME_MAX 32768
/* Profile or CA changed between reading and commit: so often we read again. */
#define STALE_TRIES 3

STATEMENT(
    acme_finalize_again,
    "SELECT o.order_id, o.account_id AS order_account_id, o.status AS order_status, "
    "       o.expires_at AS order_expires, o.identifiers AS order_identifiers, o.not_before AS "
    "       order_not_before, "
    "       o.not_after AS order_not_after, o.error AS order_error, o.certificate_id AS "
    "       order_certificate, "
    "       o.csr_sha256 AS order_csr_sha256, " ACME_ORDER_REST
    "       ARRAY(SELECT oa.authz_id::text FROM acme_order_authorizations oa WHERE oa.order_id = "
    "       o.order_id "
    "              ORDER BY oa.position) AS order_authorizations "
    "  FROM acme_orders o WHERE o.order_id = $1");

struct finalize {
    struct bytes csr;
};

static const struct member finalize_members[] = {
    {"csr", MEMBER_BASE64URL, REQUIRED, AT(finalize, csr)},
};

static bool csr_read(struct request *request, struct bytes *ret_csr, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    struct finalize wanted = {0};

    if (!acme->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be a JSON object with csr (RFC 8555 section 7.4)");
    if (!json_decode(request, acme->payload, finalize_members, &wanted, fault)) {
        fault->reason = CSR_MALFORMED; /* 01 section 10.1: also when it is no text */
        return false;
    }
    if (wanted.csr.size == 0 || wanted.csr.size > CSR_ACME_MAX)
        return fault_set(fault, CSR_MALFORMED, "csr", "the CSR has %zu bytes; 1 to %d are taken",
                         wanted.csr.size, CSR_ACME_MAX);
    *ret_csr = wanted.csr;
    return true;
}

static bool same_csr(struct request *request, const struct rows *rows, struct bytes csr)
{
    uint8_t digest[DIGEST_SHA256_SIZE];

    digest_sha256(csr, digest);
    return bytes_equal(row_bytes(request, rows, 0, "order_csr_sha256"), BYTES_OF(digest));
}

/* The order is not ready: a repeat of what was done gets the same answer, everything else is told
 * what state the order is in. */
static bool answer_by_state(struct request *request, struct response *response,
                            const struct rows *rows, struct bytes csr, struct fault *fault)
{
    const char *state = row_text(rows, 0, "order_status");

    if (text_equal(state, "processing") && !row_null(rows, 0, "order_csr_sha256") &&
        !same_csr(request, rows, csr))
        return fault_set(fault, ACME_ORDER_NOT_READY, NULL,
                         "the order is processing already, for another CSR");
    if (text_equal(state, "processing") ||
        (text_equal(state, "valid") && same_csr(request, rows, csr)))
        return (acme_of(request)->spent || acme_nonce_spend(request, fault)) &&
               acme_order_answer(response, 200, rows, NULL);
    if (text_equal(state, "valid"))
        return fault_set(fault, ACME_ORDER_NOT_READY, NULL,
                         "the order is valid already, for another CSR");
    if (text_equal(state, "ready"))
        return fault_set(fault, ACME_ORDER_NOT_READY, NULL, "the order has expired");
    if (text_equal(state, "invalid"))
        acme_subproblem_stored(request, row_text(rows, 0, "order_error"));
    return fault_set(fault, ACME_ORDER_NOT_READY, NULL, "the order is %s, not ready", state);
}

static bool answer_again(struct request *request, struct response *response, struct bytes csr,
                         struct fault *fault)
{
    const char *order_id = request_captured(request, "order");
    struct rows *rows = db_query(request, request->db, &acme_finalize_again, fault, TEXT(order_id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such order");
    return answer_by_state(request, response, rows, csr, fault);
}

/* It is not known whether the commit came through: the order itself tells. While it is ready, there
 * is no certificate yet, and the fault stands. */
static bool answer_uncertain(struct request *request, struct response *response, struct bytes csr,
                             struct fault *fault)
{
    const char *order_id = request_captured(request, "order");
    struct fault ignored = {0};
    struct rows *rows = db_query(request, request->db, &acme_finalize_again, &ignored,
                                 TEXT(order_id));

    if (!rows || rows->count == 0 || text_equal(row_text(rows, 0, "order_status"), "ready"))
        return false;
    (void)acme_nonce_spend(request, &ignored); /* the commit has, where it was ours */
    return answer_by_state(request, response, rows, csr, fault);
}

static const char *or_default(const char *value, const char *instead)
{
    return value ? value : instead;
}

static bool issue_once(struct request *request, const struct issue_grant *grant, struct bytes csr,
                       struct issue_result *ret_result, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    const struct settings *settings = request->settings;
    const struct rows *rows = acme->order_rows;
    struct issue_request wanted;

    if (!issue_request_from_row(request, rows, &wanted, fault))
        return false;
    wanted.grant = grant;
    wanted.csr_der = csr;
    wanted.barred_key = acme->key->pkey;
    wanted.wished = (struct validity){row_time(rows, 0, "order_not_before"),
                                      row_time(rows, 0, "order_not_after")};
    wanted.owner_id = or_default(wanted.owner_id, settings->acme_default_owner_id);
    wanted.team_id = or_default(wanted.team_id, settings->acme_default_team_id);
    wanted.renewal_policy_id = or_default(wanted.renewal_policy_id,
                                          settings->acme_default_renewal_policy_id);
    wanted.actor = request->actor;
    wanted.source_ip = request->remote_addr;
    wanted.request_id = request->request_id;
    wanted.nonce = acme->jws->nonce;
    wanted.nonce_expires = acme_nonce_expires(request);
    wanted.caa_due = row_bool(rows, 0, "order_caa_due");
    return lifecycle_issue(request, request->db, settings, &wanted, ret_result, fault);
}

static bool issue(struct request *request, struct bytes csr, struct issue_result *ret_result,
                  struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);

    for (int i = 0; i < STALE_TRIES; i++) {
        struct issue_grant *grant = issue_grant_from_acme_order(request, acme->order_rows, 0,
                                                                acme->account.id, fault);

        if (!grant)
            return false;
        if (issue_once(request, grant, csr, ret_result, fault))
            return true;
        if (fault->reason != ISSUANCE_STALE || !acme_order_reread(request, fault))
            return false;
    }
    return false;
}

bool acme_finalize(struct request *request, struct response *response, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const struct rows *rows = acme->order_rows;
    struct issue_result result = {0};
    struct bytes csr = {0};

    if (row_null(rows, 0, "order_id"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such order");
    if (!text_equal(row_text(rows, 0, "order_account_id"), acme->account.id))
        return fault_set(fault, ACME_NOT_OWNER, NULL, "account does not own this resource");
    if (!csr_read(request, &csr, fault))
        return false;
    if (!text_equal(row_text(rows, 0, "order_status"), "ready") ||
        row_time(rows, 0, "order_expires") <= clock_now_s())
        return answer_by_state(request, response, rows, csr, fault);
    if (!issue(request, csr, &result, fault)) {
        acme->spent = acme->spent || fault->reason == ACME_BAD_NONCE;
        return fault->reason == DATABASE_COMMIT_UNKNOWN &&
               answer_uncertain(request, response, csr, fault);
    }
    acme->spent = true;
    if (result.outcome == ISSUE_SUPERSEDED)
        return answer_again(request, response, csr, fault);
    if (result.outcome == ISSUE_WAITING)
        return acme_order_waits(response, rows, result.way == WAY_APPROVAL);
    return acme_order_answer(response, 200, rows, result.certificate_id);
}
