/* tests/fuzz/signer_facts.c: the facts file of a CA, as the admin socket is given it. */
#include <assert.h>

#include "core/auto.h"
#include "signer_rig.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of whatever facts there are: retired, and nothing else is changed. */
static void close_them(TALLOC_CTX *ctx, struct bytes json, const struct ca_facts *was)
{
    struct fault fault = {0};
    const char *text = ca_facts_closed(ctx, json, &fault);
    const struct ca_facts *closed = text ? ca_facts_from_json(ctx, bytes_of_text(text),
                                                              signer_rig_key(), 90, &fault)
                                         : NULL;

    assert(closed && closed->retired);
    assert(closed->crl_validity_s == was->crl_validity_s &&
           closed->ocsp_validity_s == was->ocsp_validity_s &&
           closed->issuer.ceiling_s == was->issuer.ceiling_s &&
           closed->issuer.allowed_ekus == was->issuer.allowed_ekus &&
           closed->issuer.permitted_dns.count == was->issuer.permitted_dns.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes json = bytes_copy(ctx, (struct bytes){data, size});
    const struct ca_facts *facts = ca_facts_from_json(ctx, json, signer_rig_key(), 90, &fault);

    assert((facts != NULL) == (fault.reason == REASON_NONE));
    assert(!facts || (facts->signatures_per_hour >= 0 && facts->crl_validity_s > 0));
    if (facts)
        close_them(ctx, json, facts);
    return 0;
}
