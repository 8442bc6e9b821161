/* lib/pki/renewal_id.h: how a certificate is named for ARI (RFC 9773 section 4.1). */
#ifndef CERTCTL_PKI_RENEWAL_ID_H
#define CERTCTL_PKI_RENEWAL_ID_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"

struct renewal_id {
    struct bytes key_id; /* keyIdentifier of the authority key identifier */
    const char *serial;  /* lower-case hex without leading zeros, as the database has it */
};

/* base64url(keyIdentifier) "." base64url(content octets of the serial's INTEGER). Each certificate
 * has one such text. What it points to hangs on ctx. ARI_ID_MALFORMED leaves *ret alone. */
bool renewal_id_from_text(TALLOC_CTX *ctx, const char *text, struct renewal_id *ret,
                          struct fault *fault);

#endif
