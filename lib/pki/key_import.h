/* lib/pki/key_import.h: OpenSSL's keys from their numbers, without its decoders.
 *
 * Every d2i of OpenSSL 3.0 that meets a public key asks all providers for a decoder and makes the
 * curve anew, some 80 us; making a key of numbers that were cut out already costs a tenth. */
#ifndef CERTCTL_PKI_KEY_IMPORT_H
#define CERTCTL_PKI_KEY_IMPORT_H

#include <openssl/evp.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "pki/key.h"

/* All three: the caller frees the key; NULL when OpenSSL refuses, its error queue says why. */

/* `curve_bits` 256, 384 or 521; an uncompressed point (SEC 1 section 2.3.4). OpenSSL refuses
 * coordinates that are not below the prime, and points off the curve. */
EVP_PKEY *key_from_point(int curve_bits, struct bytes point);
/* Big-endian numbers; their limits are the caller's to hold. */
EVP_PKEY *key_from_rsa(struct bytes modulus, struct bytes exponent);
EVP_PKEY *key_from_ed25519(struct bytes octets);

/* As key_facts_from_spki, and the key itself, which the caller frees. NULL with CSR_KEY_REJECTED
 * also for a point that is not on its curve. */
EVP_PKEY *key_from_spki(struct bytes spki, struct key_facts *ret_facts, struct fault *fault);

#endif
