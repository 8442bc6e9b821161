/* tests/fuzz/jose_jws.c: the body of every ACME request (RFC 7515 section 7.2.2). */
#include <assert.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "jose/jws.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, written again, reads the same. */
static void assert_reads_again(TALLOC_CTX *ctx, const struct jws *jws, enum jws_use use)
{
    const char *text = mem_printf(
        ctx, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}", jws->protected_text,
        jws->payload_text, base64url_from_bytes(ctx, jws->signature));
    struct fault fault = {0};
    const struct jws *again = jws_parse(ctx, bytes_of_text(text), use, &fault);

    assert(again && bytes_equal(again->payload, jws->payload) && !strcmp(again->alg, jws->alg));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (enum jws_use use = JWS_REQUEST; use <= JWS_MAC; use++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct fault fault = {0};
        const struct bytes input = bytes_copy(ctx, (struct bytes){data, size});
        const struct jws *jws = jws_parse(ctx, input, use, &fault);
        assert((jws != NULL) == (fault.reason == REASON_NONE));
        if (!jws)
            continue;
        assert_reads_again(ctx, jws, use);
        const struct jwk *key = jws->jwk ? jwk_from_json(ctx, jws->jwk, false, &fault) : NULL;
        if (key)
            (void)jws_verify(jws, key, &fault);
        (void)jws_verify_mac(jws, bytes_of_text("key"), &fault);
    }
    return 0;
}
