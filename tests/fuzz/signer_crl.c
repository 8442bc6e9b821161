/* tests/fuzz/signer_crl.c: the one thing that is signed without being composed. What gets a
 * signature is a TBSCertList of this CA, of now, and nothing that a certificate could be. */
#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "core/auto.h"
#include "pki/crl.h"
#include "rig_data.h"
#include "signer_rig.h"

#include "core/banned.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    AUTO_FD fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct signer_request request = {.kind = SIGNER_SIGN_CRL};
    struct crl_tbs read;

    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    assert(fcntl(fd, F_ADD_SEALS, SEALS) == 0);
    const struct signer_outcome outcome = signer_rig_ask(ctx, &request, fd);
    assert(outcome.ok == (outcome.fault.reason == REASON_NONE));
    if (!outcome.ok)
        return 0;
    assert(outcome.reply.signature.size > 0 && crl_tbs_read((struct bytes){data, size}, &read));
    assert(read.this_update >= RIG_NOW_S - 301 && read.this_update <= RIG_NOW_S + 301);
    return 0;
}
