/* lib/pki/certificate.h: facts of a finished certificate, and its text forms. */
#ifndef CERTCTL_PKI_CERTIFICATE_H
#define CERTCTL_PKI_CERTIFICATE_H

#include <openssl/x509.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "pki/key.h"
#include "pki/name.h"

/* A talloc object. */
struct certificate {
    struct bytes der;
    X509 *x509;
    const char *serial; /* lower-case hex without leading zeros */
    int64_t not_before;
    int64_t not_after;
    const char *fingerprint_sha256; /* hex */
    struct bytes spki;
    const char *spki_sha256; /* hex */
    struct key_facts key;
    struct bytes subject_der;
    struct bytes issuer_der;
    const char *common_name; /* or NULL */
    struct name_list names;
    struct bytes ski;    /* size 0 when absent */
    struct bytes key_id; /* ski; where it is absent RFC 7093 section 2 method 1, as our AKIs say */
    struct bytes aki;
    bool is_ca;
    int path_len; /* -1: none */
};

/* CERTIFICATE_MALFORMED: DER, trailing bytes, negative or empty serial. A weak or unknown key is
 * no reason to refuse (key.bits is 0 then): what exists must be revocable. */
struct certificate *certificate_from_der(TALLOC_CTX *ctx, struct bytes der, struct fault *fault);
/* The first CERTIFICATE block; its bytes are not looked at. CERTIFICATE_MALFORMED. */
bool certificate_pem_decode(TALLOC_CTX *ctx, const char *pem, struct bytes *ret_der,
                            struct fault *fault);
/* Both in one. */
struct certificate *certificate_from_pem(TALLOC_CTX *ctx, const char *pem, struct fault *fault);
/* 64 columns, final newline. */
char *pem_encode(TALLOC_CTX *ctx, const char *label, struct bytes der);
/* Strips 0x, colons, spaces, leading zeros; lower-case. False: no serial. */
bool serial_canonical(TALLOC_CTX *ctx, const char *text, const char **ret);
/* The magnitude of a canonical one, big-endian. False: no hexadecimal number. */
bool serial_to_octets(TALLOC_CTX *ctx, const char *serial, struct bytes *ret);

#endif
