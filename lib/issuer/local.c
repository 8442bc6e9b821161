/* lib/issuer/local.c: our own CAs, whose keys certctl-signer holds. */
#include "core/clock.h"
#include "db/db.h"
#include "issuer/issuer.h"
#include "signer/client.h"

#include "core/banned.h"

/* The last minute of a CA issues nothing: the leaf would be empty or born dead. */
#define CA_MARGIN_S 60
/* The ceiling is in the signer's facts; this one binds nobody. */
#define CEILING_NONE_S (INT64_C(200) * 366 * 86400)

bool ca_from_row(TALLOC_CTX *ctx, const struct rows *rows, size_t row, struct ca *ret_ca,
                 struct fault *fault)
{
    struct ca ca = {
        .facts = {.allowed_ekus = EKU_ALL_LEAF, .ceiling_s = CEILING_NONE_S}
    };

    if (row_null(rows, row, "ca_id"))
        return fault_set(fault, ISSUER_UNAVAILABLE, NULL, "the issuer has no active CA yet");
    ca.id = row_text(rows, row, "ca_id");
    ca.key_ref = row_text(rows, row, "ca_key_ref");
    ca.chain_pem = row_text(rows, row, "ca_chain_pem");
    ca.row_version = row_integer(rows, row, "ca_row_version");
    ca.facts.subject_der = row_bytes(ctx, rows, row, "ca_subject_der");
    ca.facts.ski = row_bytes(ctx, rows, row, "ca_ski");
    ca.facts.not_before = row_time(rows, row, "ca_not_before");
    ca.facts.not_after = row_time(rows, row, "ca_not_after");
    const char *algorithm = row_text(rows, row, "ca_key_algorithm");
    if (!signature_algorithm_from_text(algorithm, &ca.facts.algorithm)) {
        fault_set(fault, ISSUER_UNAVAILABLE, NULL, "the issuer's CA cannot be used");
        return fault_cause(fault, "ca %s: unknown key algorithm %s", ca.id, algorithm);
    }
    *ret_ca = ca;
    return true;
}

bool ca_check(const struct ca *ca, int64_t now_s, struct fault *fault)
{
    if (now_s < ca->facts.not_before)
        return fault_set(fault, CA_INACTIVE, NULL, "the issuing CA is not yet valid");
    if (now_s + CA_MARGIN_S > ca->facts.not_after)
        return fault_set(fault, CA_EXPIRED, NULL, "the issuing CA has expired");
    return true;
}

static enum issuer_outcome local_submit(const struct issuer_call *call, struct issuer_order *order,
                                        struct fault *fault)
{
    return signer_sign_leaf(call->ctx, call->settings->signer_socket, order->ca->key_ref,
                            order->wish, &order->ret_der, fault)
               ? ISSUER_ISSUED
               : ISSUER_FAILED;
}

const struct issuer_ops issuer_local = {
    .type = "GenericCA",
    .offers = ISSUES_AT_ONCE | HONOURS_VALIDITY,
    .submit = local_submit,
};
