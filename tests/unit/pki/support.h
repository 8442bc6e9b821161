/* tests/unit/pki/support.h: keys, CAs and requests for the tests of lib/pki.
 *
 * Whatever signs or verifies here is OpenSSL, so that our encoder meets another reader. */
#ifndef CERTCTL_TESTS_PKI_SUPPORT_H
#define CERTCTL_TESTS_PKI_SUPPORT_H

#include <criterion/criterion.h>
#include <openssl/x509.h>
#include <talloc.h>

#include "core/auto.h"
#include "pki/compose.h"
#include "pki/der.h"

/* 2026-11-20T00:00:00Z, the day on which most tests play. */
#define TEST_NOW INT64_C(1795132800)
#define DAY      INT64_C(86400)

extern const uint8_t test_serial[CERTIFICATE_SERIAL_SIZE];

/* "P-256", "P-384", "P-521", "secp256k1", "Ed25519", "RSA-1024", "RSA-2048"; freed with ctx. */
EVP_PKEY *test_key(TALLOC_CTX *ctx, const char *kind);
struct bytes test_spki(TALLOC_CTX *ctx, EVP_PKEY *key);
/* `digest` NULL for Ed25519. */
struct bytes test_signature(TALLOC_CTX *ctx, EVP_PKEY *key, const char *digest, struct bytes data);

struct test_ca {
    EVP_PKEY *key;
    enum signature_algorithm algorithm;
    struct bytes der;
    X509 *x509;
    struct issuer_facts facts;
};
/* Self-signed by certificate_compose_ca, ten years from 30 days before TEST_NOW on. `change` may
 * alter what is wished, or be NULL. */
struct test_ca *test_ca(TALLOC_CTX *ctx, const char *kind, void (*change)(struct ca_wish *wish));
struct bytes test_certificate(TALLOC_CTX *ctx, const struct test_ca *ca, struct bytes tbs);
X509 *test_x509(TALLOC_CTX *ctx, struct bytes der);
/* A server's wish with two names and 90 days; the key is P-256. */
struct certificate_wish test_wish(TALLOC_CTX *ctx);
/* Composes, fails the test when refused. */
struct bytes test_compose(TALLOC_CTX *ctx, const struct issuer_facts *facts,
                          const struct certificate_wish *wish);
/* test_compose, signed. */
X509 *test_leaf(TALLOC_CTX *ctx, const struct test_ca *ca, const struct certificate_wish *wish);
/* OpenSSL's own words for one extension, or "absent"; fails the test when it is there twice. */
char *test_extension_text(TALLOC_CTX *ctx, X509 *x509, int nid);
/* X509_V_OK or why `leaf` is not good under `ca` at `when`, strictly. */
int test_verify(const struct test_ca *ca, X509 *leaf, int64_t when);

/* One GeneralName of each kind, DER; `value` octets as they shall stand. */
struct bytes test_general_name(TALLOC_CTX *ctx, uint8_t tag, struct bytes value);
struct test_request {
    EVP_PKEY *key;
    const char *digest;      /* "SHA256" */
    struct bytes subject;    /* Name; size 0: empty */
    struct bytes attributes; /* content of [0]; size 0: none */
};
struct bytes test_request(TALLOC_CTX *ctx, const struct test_request *request);
/* Name with these common names. */
struct bytes test_subject(TALLOC_CTX *ctx, const char *const *common_names, size_t count);
/* extensionRequest attribute around the concatenated extensions. */
struct bytes test_extension_request(TALLOC_CTX *ctx, const char *attribute_oid,
                                    struct bytes extensions);
struct bytes test_extension(TALLOC_CTX *ctx, const char *oid, struct bytes value);
/* SEQUENCE around content. */
struct bytes test_sequence(TALLOC_CTX *ctx, struct bytes content);
struct bytes test_join(TALLOC_CTX *ctx, struct bytes a, struct bytes b);

/* Whether `haystack` contains `needle`. */
bool test_contains(struct bytes haystack, struct bytes needle);

#endif
