/* tests/bench/key.c: account keys that sign JWS with ES256 (RFC 7515, RFC 7518 section 3.4). */
#include "tests/bench/key.h"

#include <openssl/core_names.h>
#include <string.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/digest.h"
#include "core/memory.h"
#include "tests/bench/loop.h"

#include "core/banned.h"

#define COORDINATE 32
#define DER_MAX    80

static char *coordinate(TALLOC_CTX *ctx, const EVP_PKEY *pkey, const char *name)
{
    uint8_t octets[COORDINATE];
    BIGNUM *number = NULL;

    if (EVP_PKEY_get_bn_param(pkey, name, &number) != 1 ||
        BN_bn2binpad(number, octets, sizeof(octets)) != COORDINATE)
        give_up("a key has no %s", name);
    BN_free(number);
    return base64url_from_bytes(ctx, BYTES_OF(octets));
}

static int account_key_free(struct account_key *key)
{
    EVP_PKEY_CTX_free(key->signer);
    return 0;
}

struct account_key *account_key_new(TALLOC_CTX *ctx)
{
    struct account_key *key = mem_new(ctx, struct account_key);
    AUTO(EVP_PKEY) *pkey = EVP_EC_gen("P-256");

    key->signer = pkey ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
    if (!key->signer || EVP_PKEY_sign_init(key->signer) != 1)
        give_up("no P-256 key can be made");
    talloc_set_destructor(key, account_key_free);
    /* The members in the order of RFC 7638 section 3.2, so that one text serves both. */
    key->jwk = mem_printf(key, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
                          coordinate(key, pkey, OSSL_PKEY_PARAM_EC_PUB_X),
                          coordinate(key, pkey, OSSL_PKEY_PARAM_EC_PUB_Y));
    key->thumbprint = digest_sha256_base64url(key, bytes_of_text(key->jwk));
    return key;
}

/* R and S side by side, as JWS wants them. */
static char *signature(TALLOC_CTX *ctx, const struct account_key *key, const char *input)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    uint8_t der[DER_MAX];
    const uint8_t *at = der;
    size_t size = sizeof(der);
    uint8_t raw[2 * COORDINATE];

    digest_sha256(bytes_of_text(input), digest);
    if (EVP_PKEY_sign(key->signer, der, &size, digest, sizeof(digest)) != 1)
        give_up("a JWS cannot be signed");
    AUTO(ECDSA_SIG) *pair = d2i_ECDSA_SIG(NULL, &at, (long)size); /* DER_MAX at most */
    if (!pair || BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, COORDINATE) != COORDINATE ||
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + COORDINATE, COORDINATE) != COORDINATE)
        give_up("a signature cannot be read");
    return base64url_from_bytes(ctx, BYTES_OF(raw));
}

char *account_key_jws(TALLOC_CTX *ctx, const struct account_key *key, const char *kid,
                      const char *nonce, const char *url, const char *payload)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *who = kid ? mem_printf(scratch, "\"kid\":\"%s\"", kid)
                          : mem_printf(scratch, "\"jwk\":%s", key->jwk);
    const char *header = mem_printf(
        scratch, "{\"alg\":\"ES256\",\"nonce\":\"%s\",\"url\":\"%s\",%s}", nonce, url, who);
    const char *first = base64url_from_bytes(scratch, bytes_of_text(header));
    const char *second = payload ? base64url_from_bytes(scratch, bytes_of_text(payload)) : "";
    const char *input = mem_printf(scratch, "%s.%s", first, second);

    return mem_printf(ctx, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}", first,
                      second, signature(scratch, key, input));
}

static void name_add(GENERAL_NAMES *names, const char *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();

    if (!name || !value || ASN1_STRING_set(value, text, -1) != 1)
        give_up("no name can be made");
    GENERAL_NAME_set0_value(name, GEN_DNS, value);
    (void)sk_GENERAL_NAME_push(names, name);
}

char *csr_new(TALLOC_CTX *ctx, char *const *names, size_t count)
{
    AUTO(EVP_PKEY) *pkey = EVP_EC_gen("P-256");
    AUTO(X509_REQ) *request = X509_REQ_new();
    AUTO(GENERAL_NAMES) *sans = sk_GENERAL_NAME_new_null();
    AUTO(X509_EXTENSION_STACK) *extensions = NULL;
    AUTO_OPENSSL(uint8_t) *der = NULL;

    for (size_t i = 0; i < count; i++)
        name_add(sans, names[i]);
    if (!pkey || !request || X509_REQ_set_version(request, 0) != 1 ||
        X509V3_add1_i2d(&extensions, NID_subject_alt_name, sans, 0, X509V3_ADD_DEFAULT) != 1 ||
        X509_REQ_add_extensions(request, extensions) != 1 ||
        X509_REQ_set_pubkey(request, pkey) != 1 ||
        X509_REQ_sign(request, pkey, digest_algorithm_sha256()) <= 0)
        give_up("no CSR can be made");
    const int size = i2d_X509_REQ(request, &der);
    if (size <= 0)
        give_up("a CSR cannot be encoded");
    return base64url_from_bytes(ctx, (struct bytes){der, (size_t)size}); /* positive */
}
