/* lib/pki/crl_entry.h: one entry of a CRL's revokedCertificates (RFC 5280 sections 5.1.2.6, 5.3).
 *
 * Encoded once, when the certificate is revoked, and kept in certificate_revocations.crl_entry_der,
 * so that building a CRL is copying bytes (04 section 9.2). */
#ifndef CERTCTL_PKI_CRL_ENTRY_H
#define CERTCTL_PKI_CRL_ENTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"

/* CRLReason with its numbers on the wire; those that we record. */
enum revocation_reason {
    REVOKED_UNSPECIFIED = 0,
    REVOKED_KEY_COMPROMISE = 1,
    REVOKED_CA_COMPROMISE = 2,
    REVOKED_AFFILIATION_CHANGED = 3,
    REVOKED_SUPERSEDED = 4,
    REVOKED_CESSATION_OF_OPERATION = 5,
    REVOKED_CERTIFICATE_HOLD = 6,
    REVOKED_PRIVILEGE_WITHDRAWN = 9,
};

struct crl_entry {
    const char *serial; /* hex, at most 32 octets */
    int64_t revoked_at; /* Unix seconds, 1970 to 9999 */
    enum revocation_reason reason;
    int64_t invalidity_date; /* likewise; 0: not given */
};

/* SEQUENCE { serial, revocationDate, crlEntryExtensions } on ctx. The extensions are left out when
 * there is neither a reason (unspecified is never encoded, RFC 5280 section 5.3.1) nor an
 * invalidity date. INTERNAL: the serial is no number of ours, or a time is out of range. */
bool crl_entry_encode(TALLOC_CTX *ctx, const struct crl_entry *entry, struct bytes *ret_der,
                      struct fault *fault) MUST_USE;

#endif
