/* tests/fuzz/signer_request.c: what anybody who reaches the signer's socket may send. */
#include <assert.h>

#include "core/auto.h"
#include "signer/message.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message has one encoding: what is accepted is written again octet for octet. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct signer_request request;
    struct fault fault = {0};
    const struct bytes frame = bytes_copy(ctx, (struct bytes){data, size});

    const bool read = signer_request_decode(ctx, frame, &request, &fault);
    assert(read == (fault.reason == REASON_NONE));
    if (!read)
        return 0;
    struct bytes again = signer_request_encode(ctx, &request);
    again = (struct bytes){again.data + SIGNER_FRAME_PREFIX, again.size - SIGNER_FRAME_PREFIX};
    assert(bytes_equal(again, frame));
    return 0;
}
