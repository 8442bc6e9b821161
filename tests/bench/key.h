/* tests/bench/key.h: account keys that sign JWS with ES256, and CSRs made before the clock runs. */
#ifndef CERTCTL_BENCH_KEY_H
#define CERTCTL_BENCH_KEY_H

#include <openssl/evp.h>
#include <talloc.h>

struct account_key {
    EVP_PKEY_CTX *signer; /* ready for EVP_PKEY_sign */
    char *jwk;
    char *thumbprint; /* RFC 7638 */
};

struct account_key *account_key_new(TALLOC_CTX *ctx);
/* The flattened JWS. kid NULL: the key itself is sent. payload NULL: POST-as-GET. */
char *account_key_jws(TALLOC_CTX *ctx, const struct account_key *key, const char *kid,
                      const char *nonce, const char *url, const char *payload);

/* A CSR for these names with a new P-256 key, base64url of DER. */
char *csr_new(TALLOC_CTX *ctx, char *const *names, size_t count);

#endif
