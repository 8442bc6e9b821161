/* lib/core/digest.c: SHA-256, HMAC-SHA-256 (RFC 2104) and random bytes from OpenSSL. */

#include "core/digest.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/auto.h"

#include "core/banned.h"

/* A digest, a MAC or a random source that does not work leaves nothing safe to do. */
static _Noreturn void give_up(const char *what)
{
    (void)fprintf(stderr, "certctl: OpenSSL cannot %s\n", what);
    abort();
}

/* Kept until exit. Processes of ours have one thread, so the first use needs no lock. */
static const EVP_MD *fetched(EVP_MD **kept, const char *name)
{
    if (!*kept)
        *kept = EVP_MD_fetch(NULL, name, NULL);
    if (!*kept)
        give_up("fetch a SHA-2 digest");
    return *kept;
}

const EVP_MD *digest_algorithm_sha256(void)
{
    static EVP_MD *kept;
    return fetched(&kept, "SHA256");
}

const EVP_MD *digest_algorithm_sha384(void)
{
    static EVP_MD *kept;
    return fetched(&kept, "SHA384");
}

const EVP_MD *digest_algorithm_sha512(void)
{
    static EVP_MD *kept;
    return fetched(&kept, "SHA512");
}

void digest_sha256(struct bytes data, uint8_t ret_digest[DIGEST_SHA256_SIZE])
{
    unsigned size = 0;

    if (EVP_Digest(data.data, data.size, ret_digest, &size, digest_algorithm_sha256(), NULL) != 1 ||
        size != DIGEST_SHA256_SIZE)
        give_up("compute SHA-256");
}

char *digest_sha256_hex(TALLOC_CTX *ctx, struct bytes data)
{
    uint8_t digest[DIGEST_SHA256_SIZE];

    digest_sha256(data, digest);
    return hex_from_bytes(ctx, BYTES_OF(digest));
}

char *digest_sha256_base64url(TALLOC_CTX *ctx, struct bytes data)
{
    uint8_t digest[DIGEST_SHA256_SIZE];

    digest_sha256(data, digest);
    return base64url_from_bytes(ctx, BYTES_OF(digest));
}

static EVP_MAC *hmac_algorithm(void)
{
    static EVP_MAC *kept;

    if (!kept)
        kept = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (!kept)
        give_up("fetch HMAC");
    return kept;
}

void digest_hmac_sha256(struct bytes key, struct bytes data, uint8_t ret_mac[DIGEST_SHA256_SIZE])
{
    static const uint8_t no_key[1] = {0};
    char name[] = "SHA256"; /* OSSL_PARAM wants it writable, though nobody writes */
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    AUTO(EVP_MAC_CTX) *mac = EVP_MAC_CTX_new(hmac_algorithm());
    size_t size = 0;

    /* A NULL key would mean "the key of last time" to EVP_MAC_init. */
    if (!mac || EVP_MAC_init(mac, key.size > 0 ? key.data : no_key, key.size, params) != 1 ||
        EVP_MAC_update(mac, data.data, data.size) != 1 ||
        EVP_MAC_final(mac, ret_mac, &size, DIGEST_SHA256_SIZE) != 1 || size != DIGEST_SHA256_SIZE)
        give_up("compute HMAC-SHA-256");
}

static void draw(uint8_t *ret_bytes, size_t size)
{
    if (size > INT_MAX || RAND_priv_bytes(ret_bytes, (int)size) != 1)
        give_up("give random bytes");
}

/* Drawn ahead, since a draw costs OpenSSL the same for 16 bytes as for 512. */
struct stock {
    size_t left;
    uint8_t bytes[512];
};

/* Zero, and so empty, in a child of fork(2): no two processes hand out the same. Not in core
 * dumps. NULL where the kernel cannot promise that. */
static struct stock *stock_new(void)
{
    struct stock *stock = mmap(NULL, sizeof(*stock), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (stock == MAP_FAILED)
        return NULL;
    if (madvise(stock, sizeof(*stock), MADV_WIPEONFORK) == 0 &&
        madvise(stock, sizeof(*stock), MADV_DONTDUMP) == 0)
        return stock;
    (void)munmap(stock, sizeof(*stock));
    return NULL;
}

void random_bytes(uint8_t *ret_bytes, size_t size)
{
    /* A thread's own: two that took from one stock would be given the same bytes. The page of a
     * thread that ends stays; ours have one thread, the load clients a handful. */
    static _Thread_local struct stock *stock;
    static _Thread_local bool tried;

    if (!tried)
        stock = stock_new();
    tried = true;
    if (!stock || size > sizeof(stock->bytes) / 8) {
        draw(ret_bytes, size);
        return;
    }
    if (stock->left < size) {
        draw(stock->bytes, sizeof(stock->bytes));
        stock->left = sizeof(stock->bytes);
    }
    stock->left -= size;
    memcpy(ret_bytes, stock->bytes + stock->left, size);
    OPENSSL_cleanse(stock->bytes + stock->left, size);
}
