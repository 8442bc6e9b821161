/* lib/pki/crl.h: certificate revocation lists (RFC 5280 section 5), written and read in pieces.
 *
 * A list may have a million entries, which were encoded when they were revoked (04 section 9.2).
 * So what is around them is made here, and nobody copies them. */
#ifndef CERTCTL_PKI_CRL_H
#define CERTCTL_PKI_CRL_H

#include "pki/compose.h"

/* About five million entries. */
#define CRL_TBS_MAX ((size_t)256 * 1024 * 1024)
/* Lists up to this size are also read by OpenSSL, which takes some ten times their size for it. */
#define CRL_PARSED_MAX ((size_t)1024 * 1024)

struct crl_head {
    struct bytes issuer_der; /* the CA's subject, octet for octet */
    struct bytes ski;        /* of the CA's certificate */
    enum signature_algorithm algorithm;
    int64_t this_update; /* Unix seconds */
    int64_t next_update;
    int64_t number; /* cRLNumber, 1 or above */
};

/* before, entries, after: the TBSCertList. */
struct crl_frame {
    struct bytes before;
    struct bytes after;
};

/* Both on ctx. Without entries revokedCertificates is absent (RFC 5280 section 5.1.2.6). No
 * issuingDistributionPoint: it is critical, and many clients refuse it. */
struct crl_frame crl_frame(TALLOC_CTX *ctx, const struct crl_head *head, size_t entries_size);

/* What a TBSCertList says, pointing into it. */
struct crl_tbs {
    struct bytes algorithm; /* AlgorithmIdentifier, whole */
    struct bytes issuer;    /* Name, whole */
    int64_t this_update;
    int64_t next_update;
    struct bytes entries; /* one after the other; size 0: none */
    size_t count;
    int64_t number;
};

/* Every octet is looked at: version 2, both times, each entry with a serial of 1 to 33 octets and
 * a time, and after them the extensions of crl_frame and no others. Nothing is allocated. */
bool crl_tbs_read(struct bytes tbs, struct crl_tbs *ret_tbs);
/* The tbs of a whole CertificateList, whose signature is not looked at. */
bool crl_tbs_of(struct bytes crl, struct bytes *ret_tbs);

/* A finished list, in the pieces that it was made of. */
struct crl_signed {
    struct bytes before;
    struct bytes tbs;
    struct bytes after;
};
struct crl_signed crl_signed(TALLOC_CTX *ctx, struct bytes tbs, enum signature_algorithm algorithm,
                             struct bytes signature);
/* What we are about to publish, read back: the signature by the CA's key, the structure, and (up to
 * CRL_PARSED_MAX) the whole of it by OpenSSL. INTERNAL. */
bool crl_check(const struct crl_signed *crl, struct bytes signature, struct bytes ca_der,
               struct fault *fault);

#endif
