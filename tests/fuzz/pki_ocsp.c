/* tests/fuzz/pki_ocsp.c: what anybody sends to the OCSP responder. */
#include <assert.h>

#include "core/auto.h"
#include "pki/ocsp.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is bare is what our encoder writes around that CertID, octet for octet: the edge's cache
 * rests on it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct bytes der = bytes_copy(ctx, (struct bytes){data, size});
    struct ocsp_request request;

    if (ocsp_request_read(der, &request) != OCSP_READ)
        return 0;
    assert(request.count > 0 && request.count <= OCSP_IDS_MAX);
    if (request.bare && request.ids[0].hash != OCSP_HASH_OTHER && request.ids[0].serial.size > 0) {
        const struct bytes id = ocsp_cert_id_encode(ctx, &request.ids[0]);
        assert(bytes_equal(id, request.ids[0].whole));
    }
    assert(!request.bare || bytes_equal(der, ocsp_request_encode(ctx, request.ids[0].whole)));
    return 0;
}
