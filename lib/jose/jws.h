/* lib/jose/jws.h: the flattened JSON serialisation (RFC 7515 section 7.2.2) as ACME uses it.
 *
 * Parsing and verifying are two steps, because the key is found (kid: in the database) between
 * them. The order of refusals is that of 01 section 6.1, steps 3 to 7, 10, 14 and 15. */
#ifndef CERTCTL_JOSE_JWS_H
#define CERTCTL_JOSE_JWS_H

#include "jose/jwk.h"

/* A talloc object that owns copies of everything. */
struct jws {
    const char *protected_text; /* as received: the signing input is never re-encoded */
    const char *payload_text;
    struct bytes signature;
    json_t *header; /* the decoded protected header */
    const char *alg;
    const char *url;      /* NULL when absent or no string: the caller refuses */
    const char *nonce;    /* likewise */
    const char *kid;      /* NULL when absent */
    json_t *jwk;          /* borrowed from header; NULL when absent */
    struct bytes payload; /* decoded; size 0 is POST-as-GET */
};

enum jws_use {
    JWS_REQUEST, /* outer JWS of a request: asymmetric algorithms */
    JWS_MAC,     /* external account binding: HS256, HS384, HS512 */
};

/* JWS_MALFORMED or JWS_ALGORITHM. Does not look at url, nonce, kid and jwk beyond their type:
 * a kid that is no string, a jwk that is no object are JWS_MALFORMED. */
struct jws *jws_parse(TALLOC_CTX *ctx, struct bytes text, enum jws_use use, struct fault *fault);
/* The nested JWS of key-change, given as parsed JSON. */
struct jws *jws_from_json(TALLOC_CTX *ctx, const json_t *object, enum jws_use use,
                          struct fault *fault);

/* JWS_ALGORITHM when alg does not fit the key; JWS_SIGNATURE when it does not verify. */
bool jws_verify(const struct jws *jws, const struct jwk *key, struct fault *fault);
bool jws_verify_mac(const struct jws *jws, struct bytes key, struct fault *fault);

/* What badSignatureAlgorithm answers carry: ["RS256","ES256","ES384","ES512","EdDSA"]. */
json_t *jws_algorithms(void);

#endif
