/* tests/fuzz/signer_facts.c: the facts file of a CA, as the admin socket is given it. */
#include <assert.h>

#include "core/auto.h"
#include "signer_rig.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes json = bytes_copy(ctx, (struct bytes){data, size});
    const struct ca_facts *facts = ca_facts_from_json(ctx, json, signer_rig_key(), 90, &fault);

    assert((facts != NULL) == (fault.reason == REASON_NONE));
    assert(!facts || (facts->signatures_per_hour >= 0 && facts->crl_validity_s > 0));
    return 0;
}
