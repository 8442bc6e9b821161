/* lib/pki/compose.h: certificate_compose, the one encoder of certificates (RFC 5280).
 *
 * The signer runs it for real; callers run it dry, with a placeholder serial, for the lints. What
 * a peer may say is struct certificate_wish; what the CA is, is struct issuer_facts; the wish has
 * no field by which an issuer, a serial or CA:TRUE could be asked. */
#ifndef CERTCTL_PKI_COMPOSE_H
#define CERTCTL_PKI_COMPOSE_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/text.h"
#include "pki/name.h"

#define CERTIFICATE_SERIAL_SIZE 16

enum eku {
    EKU_SERVER_AUTH = 1,
    EKU_CLIENT_AUTH = 2,
    EKU_CODE_SIGNING = 4,
    EKU_EMAIL_PROTECTION = 8,
    EKU_TIME_STAMPING = 16,
};
#define EKU_ALL_LEAF 31u
/* "serverAuth" and so on; 0 when unknown. */
unsigned eku_from_text(const char *text);

/* The most that one certificate may hold; above it the wish is refused. */
#define CERTIFICATE_NAMES_MAX   1000
#define CERTIFICATE_SUBJECT_MAX 32
/* A life below this may do without revocation (RFC 9608, 04 section 6.6). */
#define SHORT_LIVED_BELOW_S 3600

/* Bits of RFC 5280 section 4.2.1.3 that a leaf may bear. */
enum key_usage {
    USAGE_DIGITAL_SIGNATURE = 1,
    USAGE_CONTENT_COMMITMENT = 2,
    USAGE_KEY_ENCIPHERMENT = 4,
    USAGE_KEY_AGREEMENT = 16,
};
#define USAGE_ALL_LEAF 23u

enum rdn_string { RDN_UTF8, RDN_PRINTABLE, RDN_IA5 };
struct rdn {
    const char *oid; /* dotted */
    enum rdn_string string;
    const char *value;
};

struct certificate_wish {
    const struct rdn *subject; /* one attribute per RDN, in order; none: SAN becomes critical */
    size_t subject_count;
    struct bytes spki;
    struct name_list names;
    unsigned key_usage;
    unsigned ekus;
    struct text_list policies; /* dotted OIDs */
    bool must_staple;
    bool short_lived; /* noRevAvail, no AIA OCSP, no CDP; life under one hour */
    int64_t not_before;
    int64_t not_after; /* cut to the CA's notAfter and the ceiling */
};

/* What a CA certificate may be asked to be; only over the signer's admin socket. */
struct ca_wish {
    const struct rdn *subject;
    size_t subject_count;
    struct bytes spki;
    int64_t not_before;
    int64_t not_after;
    int path_len;                   /* -1: none */
    struct text_list permitted_dns; /* pki/constraint.h, of all kinds; empty: none */
    struct text_list excluded_dns;
};

enum signature_algorithm {
    SIGNATURE_RSA_SHA256,
    SIGNATURE_ECDSA_SHA256,
    SIGNATURE_ECDSA_SHA384,
};

struct issuer_facts {
    struct bytes subject_der; /* copied as it is, never re-encoded */
    struct bytes ski;         /* as in the CA's certificate */
    enum signature_algorithm algorithm;
    int64_t not_before;
    int64_t not_after;
    int64_t ceiling_s; /* longest life of a leaf, seconds */
    struct text_list ocsp_urls;
    struct text_list ca_issuers_urls;
    struct text_list crl_urls;
    unsigned allowed_ekus;             /* EKU_… bits */
    struct text_list allowed_policies; /* empty: all */
    struct text_list permitted_dns;    /* pki/constraint.h, of all kinds; empty: all */
    struct text_list excluded_dns;
};

/* The TBSCertificate on ctx. Refuses (SIGNER_REFUSED, the field named) what the facts do not
 * allow, (NAME_CONSTRAINT) names that are not the CA's to certify, (VALIDITY_EMPTY) a life that is
 * empty after cutting. `serial` is big-endian, top bit clear, not zero. */
bool certificate_compose(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                         const struct certificate_wish *wish,
                         const uint8_t serial[CERTIFICATE_SERIAL_SIZE], struct bytes *ret_tbs,
                         struct fault *fault);
/* The same for CA certificates: keyCertSign|cRLSign, CA:TRUE, both critical. facts NULL makes it
 * self-signed (`algorithm` of the key then counts). */
bool certificate_compose_ca(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                            const struct ca_wish *wish, enum signature_algorithm algorithm,
                            const uint8_t serial[CERTIFICATE_SERIAL_SIZE], struct bytes *ret_tbs,
                            struct fault *fault);
/* The certificate of a delegated OCSP responder (RFC 6960 section 4.2.2.2, 04 section 12): named
 * after its CA, with OCSPSigning and id-pkix-ocsp-nocheck, for nothing else. Refuses a life above
 * `life_max_s`, since nobody asks whether it was revoked; cuts it to the CA's. */
struct ocsp_wish {
    struct bytes spki;
    int64_t not_before;
    int64_t not_after;
};
bool certificate_compose_ocsp(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                              const struct ocsp_wish *wish, int64_t life_max_s,
                              const uint8_t serial[CERTIFICATE_SERIAL_SIZE], struct bytes *ret_tbs,
                              struct fault *fault);
/* The CertificationRequestInfo (RFC 2986 section 4.1) by which a CA elsewhere is asked for such a
 * certificate: subject, spki and path_len of the wish, as an extensionRequest. */
bool certificate_request_compose_ca(TALLOC_CTX *ctx, const struct ca_wish *wish,
                                    enum signature_algorithm algorithm, struct bytes *ret_info,
                                    struct fault *fault);
/* Gives a CA below `permitted` and `excluded` constraints that are within them: kinds of name that
 * the wish leaves open are the parent's, what is wider is refused (SIGNER_REFUSED; 04 section 5.3).
 * The lists hang on ctx. */
bool ca_wish_constrain(TALLOC_CTX *ctx, const struct text_list *permitted,
                       const struct text_list *excluded, struct ca_wish *wish, struct fault *fault);
/* SEQUENCE { tbs, AlgorithmIdentifier, BIT STRING }: certificates, CRLs, OCSP responses. */
struct bytes signed_object_assemble(TALLOC_CTX *ctx, struct bytes tbs,
                                    enum signature_algorithm algorithm, struct bytes signature);
/* The same in two pieces, for a tbs that is too long to copy: what stands before it and after. */
void signed_object_frame(TALLOC_CTX *ctx, size_t tbs_size, enum signature_algorithm algorithm,
                         struct bytes signature, struct bytes *ret_before, struct bytes *ret_after);
/* "RSA-2048" … "ECDSA-P384" to its signature algorithm. */
bool signature_algorithm_from_text(const char *text, enum signature_algorithm *ret);

#endif
