/* signer/facts.h: what the signer knows about one CA: the file <key>.facts (04 section 4.0). */
#ifndef CERTCTL_SIGNER_FACTS_H
#define CERTCTL_SIGNER_FACTS_H

#include <openssl/x509v3.h>

#include "signer/key_driver.h"

#define FACTS_ENDING   ".facts"
#define FACTS_FILE_MAX (128 * 1024)
/* Long enough for a weekend without a signer, too short to hide a revocation for good. */
#define CRL_VALIDITY_USUAL_S (INT64_C(7) * 86400)

/* CERTCTL_OCSP_RESPONDER_VALIDITY ends below it. Nobody asks whether such a certificate is
 * revoked. */
#define OCSP_VALIDITY_USUAL_S (INT64_C(31) * 86400)

/* A talloc object that owns all of it. */
struct ca_facts {
    struct issuer_facts issuer;    /* subject, ski, life and algorithm from the certificate */
    int path_len;                  /* of the CA's certificate; -1: none */
    bool retired;                  /* it signs no certificate any more, CRLs alone */
    NAME_CONSTRAINTS *constraints; /* of the CA's certificate; NULL: none */
    const char *certificate_sha256;
    int64_t signatures_per_hour; /* per peer; 0: no limit */
    int64_t ocsp_validity_s;     /* the longest life of an OCSP responder's certificate */
    int64_t crl_validity_s;      /* the most between a CRL's thisUpdate and nextUpdate */
};

/* `json` is the whole file. SIGNER_MESSAGE (field "facts") when it is no facts file or has an
 * unknown member; SIGNER_KEY when its certificate is not one of this key's CA. Where the file
 * states no max_leaf_days, default_leaf_days holds; without allowed_ekus serverAuth and
 * clientAuth are allowed, without crl_validity_seconds CRL_VALIDITY_USUAL_S, without
 * ocsp_validity_seconds OCSP_VALIDITY_USUAL_S. */
struct ca_facts *ca_facts_from_json(TALLOC_CTX *ctx, struct bytes json, const struct key *key,
                                    int64_t default_leaf_days, struct fault *fault);
/* The same facts of a CA that is retired, JSON on ctx. SIGNER_KEY when it is no object. */
char *ca_facts_closed(TALLOC_CTX *ctx, struct bytes json, struct fault *fault);

#endif
