/* lib/pki/outline.h: a certificate's outer fields by walking its DER, without an object of
 * OpenSSL's, which decodes the public key each time and costs a hundred times as much. */
#ifndef CERTCTL_PKI_OUTLINE_H
#define CERTCTL_PKI_OUTLINE_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "pki/key.h"

/* The parts of a TBSCertificate as they stand (RFC 5280 section 4.1); they point into the DER. */
struct certificate_parts {
    struct bytes serial; /* content octets */
    struct bytes issuer;
    struct bytes validity; /* content octets */
    struct bytes subject;
    struct bytes spki;
};

/* False: not DER, other bytes behind it, or no certificate. Nothing else is judged. */
bool certificate_cut(struct bytes der, struct certificate_parts *ret_parts);

/* What is recorded of a certificate of ours. `der` and `spki` point into what was read. */
struct certificate_outline {
    struct bytes der;
    struct bytes spki;
    const char *serial; /* lower-case hex without leading zeros */
    int64_t not_before; /* Unix seconds */
    int64_t not_after;
    const char *fingerprint_sha256; /* hex */
    const char *spki_sha256;        /* hex */
    struct key_facts key;
};

/* For what our own signer composed: times as RFC 5280 section 4.1.2.5 wants them, a key that we
 * certify. Certificates of elsewhere are read by certificate_from_der. CERTIFICATE_MALFORMED. */
bool certificate_outline_read(TALLOC_CTX *ctx, struct bytes der,
                              struct certificate_outline *ret_outline, struct fault *fault);

#endif
