/* tests/unit/jose/forge.c: keys and signed messages for the tests of lib/jose. */
#include "forge.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

EVP_PKEY *forge_key(const char *kind)
{
    EVP_PKEY *pkey = NULL;
    int64_t bits = 0;

    if (text_starts(kind, "RSA-") && text_to_integer(kind + 4, 512, 16384, &bits))
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    else if (text_starts(kind, "Ed") || text_starts(kind, "X"))
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, kind);
    else
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
    cr_assert_not_null(pkey, "no key %s", kind);
    return pkey;
}

char *forge_flat(TALLOC_CTX *ctx, const char *protected, const char *payload, const char *signature)
{
    return mem_printf(ctx, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}",
                      protected, payload, signature);
}

char *forge_encoded(TALLOC_CTX *ctx, const char *text)
{
    return base64url_from_bytes(ctx, bytes_of_text(text));
}

static const EVP_MD *digest_for(const EVP_PKEY *pkey)
{
    const int bits = EVP_PKEY_get_bits(pkey);

    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519)
        return NULL;
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA || bits == 256)
        return EVP_sha256();
    return bits == 384 ? EVP_sha384() : EVP_sha512();
}

static struct bytes raw_from_der(TALLOC_CTX *ctx, const uint8_t *der, size_t size, int half)
{
    AUTO(ECDSA_SIG) *pair = d2i_ECDSA_SIG(NULL, &der, (long)size);
    uint8_t *raw = mem_array(ctx, uint8_t, 2 * (size_t)half);

    cr_assert_not_null(pair);
    cr_assert_eq(BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, half), half);
    cr_assert_eq(BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + half, half), half);
    return (struct bytes){raw, 2 * (size_t)half};
}

static struct bytes sign(TALLOC_CTX *ctx, EVP_PKEY *pkey, const char *input)
{
    AUTO(EVP_MD_CTX) *md = EVP_MD_CTX_new();
    const struct bytes text = bytes_of_text(input);
    size_t size = 1024;
    uint8_t *signature = mem_array(ctx, uint8_t, size);

    cr_assert_eq(EVP_DigestSignInit(md, NULL, digest_for(pkey), NULL, pkey), 1);
    cr_assert_eq(EVP_DigestSign(md, signature, &size, text.data, text.size), 1);
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC)
        return (struct bytes){signature, size};
    return raw_from_der(ctx, signature, size, (EVP_PKEY_get_bits(pkey) + 7) / 8);
}

char *forge_signed(TALLOC_CTX *ctx, EVP_PKEY *pkey, const char *protected, const char *payload)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *first = forge_encoded(scratch, protected);
    const char *second = forge_encoded(scratch, payload);
    const struct bytes signature = sign(scratch, pkey, mem_printf(scratch, "%s.%s", first, second));

    return forge_flat(ctx, first, second, base64url_from_bytes(scratch, signature));
}
