/* tests/fuzz/pki_crl.c: the TBSCertList that a job has the signer sign. */
#include <assert.h>

#include "core/auto.h"
#include "pki/crl.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read lies inside, and is followed by what crl_frame writes behind entries. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct bytes tbs = bytes_copy(ctx, (struct bytes){data, size});
    struct crl_tbs read;
    struct bytes inside;

    if (crl_tbs_of(tbs, &inside))
        (void)crl_tbs_read(inside, &read);
    if (!crl_tbs_read(tbs, &read))
        return 0;
    assert(read.number > 0 && (read.count == 0) == (read.entries.size == 0));
    assert(read.entries.size + read.issuer.size + read.algorithm.size < tbs.size);
    return 0;
}
