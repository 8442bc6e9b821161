/* tests/fuzz/auth_credential.c: an Authorization header; an address as the limiter counts it. */
#include <assert.h>

#include "auth/credential.h"
#include "auth/key.h"
#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = mem_text_n(scratch, (const char *)data, size);
    const struct credential credential = credential_from_header(scratch, text);
    const char *limit = address_limit_key(scratch, text);
    uint8_t digest[DIGEST_SHA256_SIZE];

    assert((credential.kind == CREDENTIAL_KEY) == (credential.key && *credential.key));
    if (credential.kind == CREDENTIAL_KEY)
        api_key_digest(credential.key, digest);
    assert(text_equal(limit, "unknown") || text_equal(limit, text) || text_ends(limit, "/64"));
    return 0;
}
