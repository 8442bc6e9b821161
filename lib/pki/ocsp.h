/* lib/pki/ocsp.h: requests and responses of OCSP (RFC 6960, 9654), read and written without
 * OpenSSL.
 *
 * A request is read in one pass and nothing is allocated; an answer is written in one buffer. What
 * does not change from answer to answer stands ready in a struct ocsp_signer. */
#ifndef CERTCTL_PKI_OCSP_H
#define CERTCTL_PKI_OCSP_H

#include "pki/certificate.h"
#include "pki/compose.h"
#include "pki/crl_entry.h"

#define OCSP_REQUEST_MAX ((size_t)16 * 1024)
#define OCSP_IDS_MAX     16
#define OCSP_NONCE_MAX   128 /* RFC 9654 section 2.1 */
#define OCSP_SERIAL_MAX  20  /* octets (RFC 5280 section 4.1.2.2) */
#define OCSP_HASH_MAX    64

/* Digests of a CertID; others are OCSP_HASH_OTHER. */
enum ocsp_hash { OCSP_SHA1, OCSP_SHA256, OCSP_SHA384, OCSP_SHA512, OCSP_HASH_OTHER };

/* Points into the request. */
struct ocsp_cert_id {
    struct bytes whole; /* to be answered octet by octet */
    enum ocsp_hash hash;
    bool null_parameters; /* NULL stands where parameters may be absent */
    struct bytes name_hash;
    struct bytes key_hash;
    struct bytes serial; /* magnitude, big-endian; size 0: negative or above OCSP_SERIAL_MAX */
};

struct ocsp_request {
    struct ocsp_cert_id ids[OCSP_IDS_MAX];
    size_t count;
    struct bytes nonce; /* what the extension's OCTET STRING holds; size 0: no nonce */
    bool bare;          /* one CertID and nothing else: no version, name, extension, signature */
};

enum ocsp_reading { OCSP_READ, OCSP_MALFORMED, OCSP_NONCE_MALFORMED };

/* Strict DER. OCSP_MALFORMED: other bytes, a version that is not v1, no or more than OCSP_IDS_MAX
 * requests, an unknown critical extension, two nonces. OCSP_NONCE_MALFORMED: a nonce of 0 or more
 * than OCSP_NONCE_MAX octets. A signature on the request is not looked at. *ret is filled in parts
 * whatever comes of it. */
enum ocsp_reading ocsp_request_read(struct bytes der, struct ocsp_request *ret_request);

/* What identifies a CA in a CertID, by digest. */
struct ocsp_ca_hashes {
    uint8_t name[OCSP_HASH_OTHER][OCSP_HASH_MAX];
    uint8_t key[OCSP_HASH_OTHER][OCSP_HASH_MAX];
};
bool ocsp_ca_hashes(const struct certificate *ca, struct ocsp_ca_hashes *ret_hashes);
bool ocsp_ca_is_asked(const struct ocsp_ca_hashes *ca, const struct ocsp_cert_id *id);
/* Octets of such a digest. */
size_t ocsp_hash_size(enum ocsp_hash hash);
/* "sha1", and "sha1-" where parameters are absent; for the key of a stored answer. */
const char *ocsp_hash_text(enum ocsp_hash hash, bool null_parameters);

/* A CertID of SHA-1 or SHA-256 on ctx; name and key hash as long as the digest is. */
struct bytes ocsp_cert_id_encode(TALLOC_CTX *ctx, const struct ocsp_cert_id *id);
/* That of a certificate of this CA, as most clients write it: SHA-1, NULL parameters. `serial` is
 * canonical; points into `ca` and to ctx. False: no number. */
bool ocsp_cert_id_of(TALLOC_CTX *ctx, const struct ocsp_ca_hashes *ca, const char *serial,
                     struct ocsp_cert_id *ret_id);
/* The bare request for one CertID. */
struct bytes ocsp_request_encode(TALLOC_CTX *ctx, struct bytes cert_id);

/* Who answers for one CA: the delegated certificate and its key (RFC 6960 section 4.2.2.2). A
 * talloc object. */
struct ocsp_signer {
    const char *serial;
    int64_t not_before;
    int64_t not_after;
    enum signature_algorithm algorithm;
    struct bytes key_hash; /* SHA-1 of the key: the ResponderID */
    struct bytes certs;    /* [0] certs, whole */
    void *context;         /* EVP_PKEY_CTX, ready to sign */
};

/* Reads the key from its file, which must lie in `directory`, be a plain file of ours and closed to
 * others, and holds it against the certificate, and that against the CA: its key, OCSPSigning, its
 * issuer's signature. FILE_FAILED, CERTIFICATE_MALFORMED. */
struct ocsp_signer *ocsp_signer_load(TALLOC_CTX *ctx, const char *directory, const char *key_path,
                                     const char *certificate_pem, const struct certificate *ca,
                                     struct fault *fault);
/* A new key, "ECDSA-P256" or "RSA-2048", in a file of mode 0600 that is on the disk before this
 * returns. FILE_FAILED, INTERNAL. */
bool ocsp_key_generate(TALLOC_CTX *ctx, const char *path, const char *algorithm,
                       struct bytes *ret_spki, struct fault *fault);
/* The public half of a key file, under the conditions of ocsp_signer_load. */
bool ocsp_key_read(TALLOC_CTX *ctx, const char *directory, const char *path, struct bytes *ret_spki,
                   struct fault *fault);

enum ocsp_status { OCSP_GOOD, OCSP_REVOKED, OCSP_UNKNOWN };
/* "good", "revoked", "unknown". */
const char *ocsp_status_text(enum ocsp_status status);

struct ocsp_single {
    struct bytes cert_id;
    enum ocsp_status status;
    int64_t revoked_at; /* OCSP_REVOKED */
    enum revocation_reason reason;
};

struct ocsp_answer {
    const struct ocsp_single *singles;
    size_t count;
    int64_t produced_at;
    int64_t this_update;
    int64_t next_update;
    struct bytes nonce; /* size 0: none */
};

/* Its times (04 section 10.4): a minute back, for clocks that are behind, and never beyond the
 * signer's certificate. */
void ocsp_answer_date(struct ocsp_answer *answer, const struct ocsp_signer *signer, int64_t now_s,
                      int64_t validity_s);
/* The whole OCSPResponse on ctx. INTERNAL: OpenSSL does not sign. */
bool ocsp_answer_sign(TALLOC_CTX *ctx, const struct ocsp_signer *signer,
                      const struct ocsp_answer *answer, struct bytes *ret_der, struct fault *fault);

/* OCSPResponse without an answer (RFC 6960 section 4.2.1). */
enum ocsp_error {
    OCSP_ERROR_MALFORMED = 1,
    OCSP_ERROR_INTERNAL = 2,
    OCSP_ERROR_TRY_LATER = 3,
    OCSP_ERROR_UNAUTHORIZED = 6,
};
struct bytes ocsp_error_der(enum ocsp_error error);

#endif
