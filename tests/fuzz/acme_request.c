/* tests/fuzz/acme_request.c: any path and body, as a client sends them to the ACME responder. The
 * first line is the path, the rest the body; nobody signs it anew, so it may pass up to there. */
#include "acme_rig.h"
#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    const size_t length = end ? (size_t)(end - data) : size;
    const size_t rest = end ? size - length - 1 : 0;
    const char *path = mem_text_n(ctx, (const char *)data, length);
    const struct bytes body = bytes_copy(ctx, (struct bytes){end ? end + 1 : data, rest});
    const struct acme_answer answer = acme_rig_post(ctx, path, 0, body);

    acme_rig_check(ctx, &answer);
    return 0;
}
