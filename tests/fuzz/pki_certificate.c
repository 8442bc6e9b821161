/* tests/fuzz/pki_certificate.c: certificates of strangers, out as PEM and in again. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "pki/outline.h"

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

    struct certificate_outline outline;

    if (read && (!again || !bytes_equal(read->der, again->der)))
        abort();
    if (read && certificate_outline_read(scratch, read->der, &outline, &fault) &&
        (outline.not_before != read->not_before || outline.not_after != read->not_after ||
         !bytes_equal(outline.spki, read->spki)))
        abort();
    return 0;
}
