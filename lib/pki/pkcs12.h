/* lib/pki/pkcs12.h: certificates in a PKCS#12 file (RFC 7292), as a trust store that Java reads. */
#ifndef CERTCTL_PKI_PKCS12_H
#define CERTCTL_PKI_PKCS12_H

#include "pki/certificate.h"

/* Certificates alone, no key: one SafeContents encrypted by PBES2 (PBKDF2 with HMAC-SHA-256,
 * AES-256-CBC), a MAC of HMAC-SHA-256, 2048 iterations each. Each entry bears its subject as its
 * name, and Java's attribute of trusted entries. `password` may be "". On ctx; INTERNAL. */
bool pkcs12_trust_store(TALLOC_CTX *ctx, struct certificate *const *list, size_t count,
                        const char *password, struct bytes *ret_der, struct fault *fault) MUST_USE;

#endif
