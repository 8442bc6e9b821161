/* lib/jose/jwk_key.h: OpenSSL's key of a JWK's members, and back; jwk.c judges the members. */
#ifndef CERTCTL_JOSE_JWK_KEY_H
#define CERTCTL_JOSE_JWK_KEY_H

#include <jansson.h>
#include <openssl/evp.h>

#include "jose/jwk.h"

/* `members` are those of the kind, each base64url of the size that RFC 7518 section 6 and RFC 8037
 * section 2 ask for. NULL: a coordinate is not below the prime, or the point is not on the curve;
 * OpenSSL's error queue says more. The caller frees it. */
EVP_PKEY *jwk_key_import(enum jwk_kind kind, const json_t *members);

/* The members of a public key, in thumbprint order; NULL for kinds that JWK does not know here.
 * The caller frees it. */
json_t *jwk_key_export(const EVP_PKEY *pkey);

#endif
