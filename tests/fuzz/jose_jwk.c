/* tests/fuzz/jose_jwk.c: a stranger's public key, and the form in which accounts keep it. */
#include <assert.h>
#include <string.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "jose/jwk.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_keeps(TALLOC_CTX *ctx, const struct jwk *key)
{
    struct fault fault = {0};
    const struct jwk *stored = jwk_from_pem(ctx, jwk_to_pem(ctx, key), &fault);
    const struct jwk *exported = jwk_from_pkey(ctx, key->pkey, &fault);

    assert(stored && !strcmp(stored->thumbprint, key->thumbprint));
    assert(exported && !strcmp(exported->thumbprint, key->thumbprint));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    const struct bytes input = bytes_copy(ctx, (struct bytes){data, size});
    AUTO(json_t) *json = json_parse_object(input, JWK_REJECTED, "the JWK", &fault);
    const struct jwk *weak = json ? jwk_from_json(ctx, json, true, &fault) : NULL;
    const struct jwk *key = json ? jwk_from_json(ctx, json, false, &fault) : NULL;

    assert(!key || weak); /* waiving a rule refuses nothing more */
    if (key)
        assert_keeps(ctx, key);
    (void)jwk_from_pem(ctx, mem_text_n(ctx, (const char *)input.data, input.size), &fault);
    return 0;
}
