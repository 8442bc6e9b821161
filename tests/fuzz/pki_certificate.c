/* tests/fuzz/pki_certificate.c: certificates of strangers, out as PEM and in again. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/certificate.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct certificate *read = certificate_from_der(
        scratch, (struct bytes){mem_copy(scratch, data, size), size}, &fault);
    const char *pem = read ? pem_encode(scratch, "CERTIFICATE", read->der) : NULL;
    const struct certificate *again = read ? certificate_from_pem(scratch, pem, &fault) : NULL;

    if (read && (!again || !bytes_equal(read->der, again->der)))
        abort();
    return 0;
}
