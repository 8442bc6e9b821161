/* signer/key_algorithm.h: the kinds of CA key that there are, for every driver (04 section 4.1). */
#ifndef CERTCTL_SIGNER_KEY_ALGORITHM_H
#define CERTCTL_SIGNER_KEY_ALGORITHM_H

#include <openssl/evp.h>

#include "core/fault.h"
#include "pki/compose.h"

struct key_algorithm {
    const char *name;  /* "ECDSA-P256" */
    const char *type;  /* OpenSSL's */
    const char *curve; /* NULL: RSA */
    const char *oid;   /* of the curve, dotted; NULL: RSA */
    int bits;
    enum signature_algorithm signature;
};

/* Of a public or private key. SIGNER_KEY names what is not supported. */
const struct key_algorithm *key_algorithm_of(const EVP_PKEY *key, struct fault *fault);
/* SIGNER_MESSAGE when there is none of that name. */
const struct key_algorithm *key_algorithm_named(const char *name, struct fault *fault);
/* Fetched once per process. */
const EVP_MD *key_algorithm_digest(enum signature_algorithm signature);
/* SubjectPublicKeyInfo on ctx; size 0 where OpenSSL fails. */
struct bytes key_algorithm_spki(TALLOC_CTX *ctx, const EVP_PKEY *key);

#endif
