/* lib/issuer/issuer.h: one driver per kind of CA, one const table of functions each, one list.
 *
 * A driver is a file here, a line in drivers.c and a page in doc/issuers; nothing else knows it. */
#ifndef CERTCTL_ISSUER_ISSUER_H
#define CERTCTL_ISSUER_ISSUER_H

#include <stdbool.h>
#include <talloc.h>

#include "core/fault.h"
#include "core/settings.h"
#include "pki/compose.h"

struct rows;

/* A CA of ours as ca_instances holds it; borrowed from the rows that it was read from. */
struct ca {
    const char *id;
    const char *key_ref;
    const char *chain_pem; /* this CA and its parents, root last */
    int64_t row_version;
    struct issuer_facts facts; /* AIA, CDP and limits are the signer's; here they are open */
};

/* From the columns ca_id, ca_subject_der, ca_ski, ca_chain_pem, ca_key_ref, ca_key_algorithm,
 * ca_not_before, ca_not_after, ca_row_version. ISSUER_UNAVAILABLE when ca_id is null. */
bool ca_from_row(TALLOC_CTX *ctx, const struct rows *rows, size_t row, struct ca *ret_ca,
                 struct fault *fault);
/* CA_EXPIRED or CA_INACTIVE unless the CA is valid for 60 s more (04 section 6.2, 10). */
bool ca_check(const struct ca *ca, int64_t now_s, struct fault *fault);

enum issuer_outcome {
    ISSUER_ISSUED,
    ISSUER_PENDING, /* a remote CA took the order; a job polls it */
    ISSUER_FAILED,  /* the fault says why; its kind says whether to try again */
};

/* What a driver is given and what it fills. */
struct issuer_order {
    const struct certificate_wish *wish;
    const struct ca *ca;  /* local CAs; NULL for remote ones */
    struct bytes csr_der; /* remote CAs take the request as it is */
    struct bytes ret_der; /* the leaf, on the ctx of the call */
};

struct issuer_call {
    TALLOC_CTX *ctx;
    const struct settings *settings;
};

enum issuer_offers {
    ISSUES_AT_ONCE = 1,   /* in the request; no job */
    HONOURS_VALIDITY = 2, /* notBefore and notAfter of the order bind */
};

struct issuer_ops {
    const char *type; /* issuers.type */
    unsigned offers;
    enum issuer_outcome (*submit)(const struct issuer_call *call, struct issuer_order *order,
                                  struct fault *fault);
};

/* NULL: no driver of that type is built in. */
const struct issuer_ops *issuer_find(const char *type);

extern const struct issuer_ops issuer_local;

#endif
