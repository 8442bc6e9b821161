/* lib/signer/message.h: the typed messages between a caller and certctl-signer.
 *
 * A frame is a four-byte big-endian length (at most SIGNER_FRAME_MAX) and that many octets: one
 * octet version, one octet kind, then fields, each a tag octet, a four-byte length and content.
 * Tags ascend, so that a message has one encoding only. Unknown, repeated or missing fields, and
 * bytes left over, are refused. Both ends use this file, and it is what is fuzzed first. */
#ifndef CERTCTL_SIGNER_MESSAGE_H
#define CERTCTL_SIGNER_MESSAGE_H

#include "pki/compose.h"

#define SIGNER_FRAME_MAX (256 * 1024)
/* Octets before the frame: its length. */
#define SIGNER_FRAME_PREFIX 4

/* The most that a field may hold, in octets; texts are UTF-8 without NUL and never empty. */
#define SIGNER_KEY_REF_MAX    1024
#define SIGNER_SPKI_MAX       4096
#define SIGNER_ALGORITHM_MAX  32
#define SIGNER_HINT_MAX       64
#define SIGNER_DRIVER_MAX     32
#define SIGNER_FACTS_MAX      (128 * 1024)
#define SIGNER_SUBJECT_COUNT  32
#define SIGNER_OID_MAX        64
#define SIGNER_RDN_VALUE_MAX  1024
#define SIGNER_NAMES_COUNT    1000
#define SIGNER_NAMES_MAX      (64 * 1024) /* all names together, with their lengths */
#define SIGNER_NAME_MAX       2048
#define SIGNER_POLICIES_COUNT 32
#define SIGNER_DNS_COUNT      256
#define SIGNER_DNS_MAX        255
#define SIGNER_SIGNATURE_MAX  1024
#define SIGNER_DIGEST_MAX     64

enum signer_kind {
    SIGNER_PING = 1,
    SIGNER_PUBLIC_KEY = 2,
    SIGNER_SIGN_LEAF = 3,
    SIGNER_SIGN_CRL = 4,
    SIGNER_SIGN_OCSP_RESPONDER = 5,
    SIGNER_GENERATE = 16,
    SIGNER_SIGN_CA = 17,
    SIGNER_SIGN_CSR = 18,
    SIGNER_FORGET = 19,
    SIGNER_FACTS = 20,
    SIGNER_CRL_FLOOR = 21,
    SIGNER_CLOSE = 22,
    SIGNER_SHOW_FACTS = 23,
    SIGNER_CHECK_FACTS = 24,
};

struct signer_request {
    enum signer_kind kind;
    const char *key_ref; /* all but ping and generate */
    struct certificate_wish leaf;
    struct ca_wish ca;
    const char *algorithm;      /* generate: "ECDSA-P256" … */
    const char *hint;           /* generate: part of the file name or label */
    const char *driver;         /* generate: "file", "pkcs11"; NULL: file */
    const char *issuer_key_ref; /* sign-ca: the parent's key; NULL: self-signed */
    const char *facts_json;     /* facts, check-facts: the whole new facts file */
    int64_t crl_number;         /* crl-floor: later lists are above it */
    const char *ca_sha256;      /* close: hex digest of the certificate that is retired */
};

struct signer_reply {
    bool ok;
    const char *refusal;    /* ok false: slug of the reason */
    const char *detail;     /* ok false */
    struct bytes der;       /* certificate or CSR */
    struct bytes spki;      /* public-key, generate */
    const char *key_ref;    /* generate */
    const char *text;       /* ping: version and keys at hand; crl-floor: the last number now;
                               close: "closed", or "superseded" */
    struct bytes signature; /* sign-crl: over the TBSCertList that was passed */
    const char *facts_json; /* show-facts: the file as it is */
};

/* sign-crl has no field for what is signed: the TBSCertList lies in a sealed memfd, which is passed
 * with the first octets of the frame (SCM_RIGHTS). Descriptors with other kinds are closed. */

/* The whole frame on ctx, its length first. What is above the limits is encoded all the same, and
 * refused by the other end. */
struct bytes signer_request_encode(TALLOC_CTX *ctx, const struct signer_request *request);
struct bytes signer_reply_encode(TALLOC_CTX *ctx, const struct signer_reply *reply);
/* The octets after the length. SIGNER_MESSAGE names the field. All content is copied to ctx; a
 * refusal leaves *ret and ctx as they were. A kind that is not served is refused here too. */
bool signer_request_decode(TALLOC_CTX *ctx, struct bytes frame, struct signer_request *ret_request,
                           struct fault *fault);
/* The size that SIGNER_FRAME_PREFIX octets announce; false: empty or above SIGNER_FRAME_MAX. */
bool signer_frame_size(const uint8_t prefix[SIGNER_FRAME_PREFIX], size_t *ret_size);
/* "sign-leaf" and so on; NULL for a number that is not served. */
const char *signer_kind_text(unsigned kind);
bool signer_reply_decode(TALLOC_CTX *ctx, struct bytes frame, struct signer_reply *ret_reply,
                         struct fault *fault);

#endif
