/* tests/fuzz/signer_reference.c: references to keys, as any peer may name them. Nothing but the
 * key that is there is found, whatever the spelling. */
#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "signer_rig.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *reference = mem_text_n(ctx, (const char *)data, size);
    struct fault fault = {0};
    const struct key *key = signer_rig_find(reference, &fault);

    assert((key != NULL) == (fault.reason == REASON_NONE));
    assert(!key || text_equal(key->reference, signer_rig_key()->reference));
    assert(!signer_rig_find(mem_printf(ctx, "pkcs11:%s", reference), &fault));
    return 0;
}
