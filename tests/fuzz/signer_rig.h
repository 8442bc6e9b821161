/* tests/fuzz/signer_rig.h: a signer in memory with one CA key, which forgets what it did. */
#ifndef CERTCTL_TESTS_FUZZ_SIGNER_RIG_H
#define CERTCTL_TESTS_FUZZ_SIGNER_RIG_H

#include "signer/signer.h"

/* What one request came to; hangs on ctx. */
struct signer_outcome {
    bool ok;
    struct signer_reply reply;
    struct fault fault;
};

/* Asks for what the request says, of the rig's key whatever key it names; `passed` is a descriptor
 * or -1. The clock stands at RIG_NOW_S. */
struct signer_outcome signer_rig_ask(TALLOC_CTX *ctx, struct signer_request *request, int passed);
/* The key itself, borrowed. */
struct key *signer_rig_key(void);
/* What a peer who names a key so would use; NULL: nothing. */
const struct key *signer_rig_find(const char *reference, struct fault *fault);

#endif
