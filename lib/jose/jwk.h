/* lib/jose/jwk.h: public keys in JSON (RFC 7517, 7518 section 6, 8037). */
#ifndef CERTCTL_JOSE_JWK_H
#define CERTCTL_JOSE_JWK_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"

enum jwk_kind { JWK_RSA, JWK_P256, JWK_P384, JWK_P521, JWK_ED25519 };

/* A talloc object; the EVP_PKEY and the JSON belong to it. */
struct jwk {
    enum jwk_kind kind;
    EVP_PKEY *pkey;
    json_t *json;           /* required members only, in thumbprint order (RFC 7638 section 3) */
    const char *thumbprint; /* base64url of SHA-256, 43 characters */
};

/* The acceptance rules of 01 section 6.3; a private member is refused and never echoed. `weak`
 * waives the size limits (revocation by certificate key): RSA up to the 16384 bits that OpenSSL
 * verifies, any odd e above 1. JWK_REJECTED names the rule broken. */
struct jwk *jwk_from_json(TALLOC_CTX *ctx, const json_t *json, bool weak, struct fault *fault);
/* From a public key, e.g. of a certificate, of any size; refuses kinds that JWK does not know here.
 * The result has an EVP_PKEY of its own. */
struct jwk *jwk_from_pkey(TALLOC_CTX *ctx, EVP_PKEY *pkey, struct fault *fault);

/* The stored form: "-----BEGIN ACME ACCOUNT JWK-----", base64 of the JSON in 64 columns, END line.
 * Reading tolerates CR and trailing white space. What does not read, or is a key that we would
 * refuse today, is INTERNAL: the caller's client is not to blame. */
char *jwk_to_pem(TALLOC_CTX *ctx, const struct jwk *jwk);
struct jwk *jwk_from_pem(TALLOC_CTX *ctx, const char *pem, struct fault *fault);

#endif
