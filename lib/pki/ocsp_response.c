/* lib/pki/ocsp_response.c: writing an OCSPResponse (RFC 6960 section 4.2). Written backwards, as
 * der.h wants it. */
#include "pki/ocsp.h"

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "pki/der.h"
#include "pki/extension.h"

#include "core/banned.h"

/* id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1, and id-pkix-ocsp-nonce, whole */
static const uint8_t oid_basic[] = {0x06, 0x09, 0x2b, 0x06, 0x01, 0x05,
                                    0x05, 0x07, 0x30, 0x01, 0x01};
static const uint8_t oid_nonce[] = {0x06, 0x09, 0x2b, 0x06, 0x01, 0x05,
                                    0x05, 0x07, 0x30, 0x01, 0x02};
/* An answer for one certificate with the responder's certificate in it. */
#define USUAL_SIZE    1024
#define SIGNATURE_MAX 512
#define BACKDATED_S   60

const char *ocsp_status_text(enum ocsp_status status)
{
    static const char *const texts[] = {
        [OCSP_GOOD] = "good", [OCSP_REVOKED] = "revoked", [OCSP_UNKNOWN] = "unknown"};
    return texts[status];
}

struct bytes ocsp_error_der(enum ocsp_error error)
{
    static const uint8_t malformed[] = {0x30, 3, DER_ENUMERATED, 1, OCSP_ERROR_MALFORMED};
    static const uint8_t internal[] = {0x30, 3, DER_ENUMERATED, 1, OCSP_ERROR_INTERNAL};
    static const uint8_t try_later[] = {0x30, 3, DER_ENUMERATED, 1, OCSP_ERROR_TRY_LATER};
    static const uint8_t unauthorized[] = {0x30, 3, DER_ENUMERATED, 1, OCSP_ERROR_UNAUTHORIZED};

    switch (error) {
    case OCSP_ERROR_MALFORMED:
        return BYTES_OF(malformed);
    case OCSP_ERROR_TRY_LATER:
        return BYTES_OF(try_later);
    case OCSP_ERROR_UNAUTHORIZED:
        return BYTES_OF(unauthorized);
    case OCSP_ERROR_INTERNAL:
        break;
    }
    return BYTES_OF(internal);
}

/* RevokedInfo ::= [1] IMPLICIT { time, [0] EXPLICIT CRLReason OPTIONAL } */
static void put_revoked(struct der_writer *to, const struct ocsp_single *single)
{
    const size_t mark = der_mark(to);

    if (single->reason != REVOKED_UNSPECIFIED) {
        const uint8_t code = (uint8_t)single->reason; /* 1 to 9 */
        der_put_value(to, DER_ENUMERATED, (struct bytes){&code, 1});
        der_wrap(to, DER_CONTEXT_CONSTRUCTED(0), mark);
    }
    der_put_generalized_time(to, single->revoked_at);
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(1), mark);
}

static void put_status(struct der_writer *to, const struct ocsp_single *single)
{
    switch (single->status) {
    case OCSP_GOOD:
        der_put_header(to, DER_CONTEXT(0), 0);
        return;
    case OCSP_REVOKED:
        put_revoked(to, single);
        return;
    case OCSP_UNKNOWN:
        der_put_header(to, DER_CONTEXT(2), 0);
        return;
    }
}

static void put_single(struct der_writer *to, const struct ocsp_answer *answer,
                       const struct ocsp_single *single)
{
    const size_t mark = der_mark(to);

    der_put_generalized_time(to, answer->next_update);
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_put_generalized_time(to, answer->this_update);
    put_status(to, single);
    der_put(to, single->cert_id);
    der_wrap(to, DER_SEQUENCE, mark);
}

/* RFC 9654 section 2.1: among the responseExtensions, octet for octet what was asked. */
static void put_nonce(struct der_writer *to, struct bytes nonce)
{
    const size_t mark = der_mark(to);

    if (nonce.size == 0)
        return;
    der_put_value(to, DER_OCTET_STRING, nonce);
    der_put(to, BYTES_OF(oid_nonce));
    der_wrap(to, DER_SEQUENCE, mark);
    der_wrap(to, DER_SEQUENCE, mark);
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(1), mark);
}

/* ResponseData. */
static struct bytes response_data(TALLOC_CTX *ctx, const struct ocsp_signer *signer,
                                  const struct ocsp_answer *answer)
{
    struct der_writer to;

    der_start(&to, ctx, USUAL_SIZE);
    put_nonce(&to, answer->nonce);
    const size_t list = der_mark(&to);
    for (size_t i = answer->count; i-- > 0;)
        put_single(&to, answer, &answer->singles[i]);
    der_wrap(&to, DER_SEQUENCE, list);
    der_put_generalized_time(&to, answer->produced_at);
    const size_t responder = der_mark(&to);
    der_put_value(&to, DER_OCTET_STRING, signer->key_hash);
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(2), responder);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

static bool sign(const struct ocsp_signer *signer, struct bytes data, uint8_t ret_signature[],
                 size_t *ret_size, struct fault *fault)
{
    uint8_t digest[DIGEST_SHA256_SIZE];

    *ret_size = SIGNATURE_MAX;
    digest_sha256(data, digest);
    if (EVP_PKEY_sign(signer->context, ret_signature, ret_size, digest, sizeof digest) == 1)
        return true;
    fault_set(fault, INTERNAL, NULL, "the answer cannot be signed");
    return fault_cause_openssl(fault, "EVP_PKEY_sign");
}

void ocsp_answer_date(struct ocsp_answer *answer, const struct ocsp_signer *signer, int64_t now_s,
                      int64_t validity_s)
{
    answer->produced_at = now_s;
    answer->this_update = now_s - BACKDATED_S;
    answer->next_update = least(answer->this_update + validity_s, signer->not_after);
}

bool ocsp_answer_sign(TALLOC_CTX *ctx, const struct ocsp_signer *signer,
                      const struct ocsp_answer *answer, struct bytes *ret_der, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes data = response_data(scratch, signer, answer);
    static const uint8_t successful[] = {DER_ENUMERATED, 1, 0};
    uint8_t signature[SIGNATURE_MAX];
    size_t signature_size = 0;
    struct der_writer to;

    if (!sign(signer, data, signature, &signature_size, fault))
        return false;
    der_start(&to, scratch, data.size + signer->certs.size + SIGNATURE_MAX + 64);
    der_put(&to, signer->certs);
    const size_t mark = der_mark(&to);
    der_put(&to, (struct bytes){signature, signature_size});
    der_put_octet(&to, 0); /* no unused bits */
    der_wrap(&to, DER_BIT_STRING, mark);
    put_signature_algorithm(&to, signer->algorithm);
    der_put(&to, data);
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_OCTET_STRING, 0);
    der_put(&to, BYTES_OF(oid_basic));
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(0), 0);
    der_put(&to, BYTES_OF(successful));
    der_wrap(&to, DER_SEQUENCE, 0);
    *ret_der = der_finish(&to, ctx);
    return true;
}
