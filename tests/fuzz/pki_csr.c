/* tests/fuzz/pki_csr.c: PKCS#10 requests of strangers (RFC 2986). */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/csr.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes exact = {mem_copy(scratch, data, size), size};
    struct fault fault = {0};
    const struct csr *csr = csr_from_der(scratch, exact, true, &fault);

    if (csr ? !bytes_equal(csr->der, exact) || csr->key.bits < 256 : fault.reason == REASON_NONE)
        abort();
    return 0;
}
