/* tests/fuzz/signer_sign.c: what a lost responder may wish for in a leaf, and what it must not get
 * (00 decision 49). */
#include <assert.h>
#include <openssl/x509v3.h>

#include "core/auto.h"
#include "pki/certificate.h"
#include "rig_data.h"
#include "signer_rig.h"

#include "core/banned.h"

#define DAY INT64_C(86400)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Neither laid up for later nor older than it can be. */
static void assert_soon(TALLOC_CTX *ctx, struct bytes der)
{
    struct fault fault = {0};
    const struct certificate *made = certificate_from_der(ctx, der, &fault);

    assert(made && made->not_before >= RIG_NOW_S - 7200 &&
           made->not_before <= RIG_NOW_S + DAY + 60);
}

static void assert_leaf(TALLOC_CTX *ctx, struct bytes der)
{
    struct fault fault = {0};
    const struct certificate *leaf = certificate_from_der(ctx, der, &fault);

    assert(leaf && X509_check_ca(leaf->x509) == 0);
    assert(leaf->not_before >= RIG_NOW_S - 7200 && leaf->not_after <= RIG_NOW_S + 92 * DAY);
    assert(!(X509_get_key_usage(leaf->x509) & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)));
    assert(!(X509_get_extended_key_usage(leaf->x509) & (XKU_OCSP_SIGN | XKU_ANYEKU)) ||
           X509_get_extended_key_usage(leaf->x509) == UINT32_MAX);
}

/* OpenSSL takes it and its own signature. Our own reader is for requests for leaves, and stricter:
 * a CA's name may mix scripts. */
static void assert_csr(struct bytes der)
{
    const unsigned char *at = der.data;
    AUTO(X509_REQ) *made = d2i_X509_REQ(NULL, &at, (long)der.size);

    assert(made && at == der.data + der.size);
    assert(X509_REQ_verify(made, X509_REQ_get0_pubkey(made)) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct signer_request request;
    struct fault fault = {0};

    if (!signer_request_decode(ctx, bytes_copy(ctx, (struct bytes){data, size}), &request,
                               &fault) ||
        (request.kind >= SIGNER_GENERATE && request.kind != SIGNER_SIGN_CA &&
         request.kind != SIGNER_SIGN_CSR))
        return 0;
    const struct signer_outcome outcome = signer_rig_ask(ctx, &request, -1);
    assert(outcome.ok == (outcome.fault.reason == REASON_NONE));
    if (outcome.ok &&
        (request.kind == SIGNER_SIGN_LEAF || request.kind == SIGNER_SIGN_OCSP_RESPONDER))
        assert_soon(ctx, outcome.reply.der);
    if (outcome.ok && request.kind == SIGNER_SIGN_CSR)
        assert_csr(outcome.reply.der);
    if (outcome.ok && request.kind == SIGNER_SIGN_LEAF)
        assert_leaf(ctx, outcome.reply.der);
    return 0;
}
