/* lib/pki/csr.h: PKCS#10 requests (RFC 2986) as evidence: key, names, proof of possession. */
#ifndef CERTCTL_PKI_CSR_H
#define CERTCTL_PKI_CSR_H

#include <openssl/evp.h>
#include <talloc.h>

#include "core/text.h"
#include "pki/compose.h"
#include "pki/key.h"
#include "pki/name.h"

#define CSR_MAX_BYTES 65536

/* A talloc object that owns all of it. */
struct csr {
    struct bytes der;
    EVP_PKEY *pkey;
    struct bytes spki;       /* SubjectPublicKeyInfo, byte-exact */
    const char *spki_sha256; /* hex */
    const char *sha256;      /* hex, of der */
    struct key_facts key;
    const char *common_name; /* the last CN, checked, or NULL */
    struct rdn *subject;     /* its attributes in order, each with its own string type where
                                    that is UTF8, Printable or IA5, else as UTF8 */
    size_t subject_count;
    struct name_list names;      /* subjectAltName in order, without duplicates */
    bool must_staple;            /* tlsfeature asked */
    bool asks_ca;                /* basicConstraints with CA:TRUE asked */
    struct text_list extensions; /* OIDs asked besides SAN, dotted */
};

/* Checks 1 to 3 of 04 section 6.2: size, DER, no trailing bytes (CSR_MALFORMED); key
 * (CSR_KEY_REJECTED); self-signature, with SHA-1 and MD5 refused unless allow_sha1
 * (CSR_BAD_SIGNATURE); names that no certificate may bear (CSR_NAME_REJECTED). */
struct csr *csr_from_der(TALLOC_CTX *ctx, struct bytes der, bool allow_sha1, struct fault *fault);
char *csr_to_pem(TALLOC_CTX *ctx, const struct csr *csr);

#endif
