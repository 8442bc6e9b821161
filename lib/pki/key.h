/* lib/pki/key.h: facts about public keys, from their SubjectPublicKeyInfo (RFC 5280 4.1). */
#ifndef CERTCTL_PKI_KEY_H
#define CERTCTL_PKI_KEY_H

#include <stdbool.h>

#include "core/bytes.h"
#include "core/fault.h"

enum key_kind { KEY_RSA, KEY_ECDSA, KEY_ED25519 };

struct key_facts {
    enum key_kind kind;
    const char *algorithm; /* "RSA", "ECDSA", "Ed25519": the spelling of profiles and versions */
    int bits;              /* modulus; curve size 256, 384, 521; 256 for Ed25519 */
};

/* By walking the outer SEQUENCEs alone, without building a key: for the signer, which must not
 * parse more than it needs. CSR_KEY_REJECTED: above 4 KiB; unknown kind or curve; RSA below 2048 or
 * above 8192 bits, exponent even or below 65537. */
bool key_facts_from_spki(struct bytes spki, struct key_facts *ret_facts, struct fault *fault);

#endif
