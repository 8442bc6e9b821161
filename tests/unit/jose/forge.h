/* tests/unit/jose/forge.h: keys and signed messages for the tests of lib/jose. */
#ifndef CERTCTL_TESTS_JOSE_FORGE_H
#define CERTCTL_TESTS_JOSE_FORGE_H

#include <openssl/evp.h>

#include "core/bytes.h"

/* "RSA-2048", "P-256", "P-384", "P-521", "Ed25519", …: a fresh key pair, the caller's. */
EVP_PKEY *forge_key(const char *kind);
/* JSON text of the flattened serialisation; the three parts are taken as they are. */
char *forge_flat(TALLOC_CTX *ctx, const char *protected, const char *payload,
                 const char *signature);
/* As forge_flat; protected and payload are encoded and signed with the digest that belongs to the
 * kind of key (RFC 7518 section 3.1). */
char *forge_signed(TALLOC_CTX *ctx, EVP_PKEY *pkey, const char *protected, const char *payload);
/* base64url of text. */
char *forge_encoded(TALLOC_CTX *ctx, const char *text);

#endif
