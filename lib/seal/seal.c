/* lib/seal/seal.c: the blobs of 04 section 15.1. v3 is written; v2 and v1 are the reference's.
 *
 *     v3  03 | salt[16] | nonce[12] | ciphertext | tag[16]    600,000 rounds
 *     v2  02 | salt[16] | nonce[12] | ciphertext | tag[16]    100,000 rounds
 *     v1  nonce[12] | ciphertext | tag[16]                    100,000 rounds, one salt for all */
#include "seal/seal.h"

#include <limits.h>
#include <openssl/crypto.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "seal_private.h"

#include "core/banned.h"

#define NONCE_SIZE   12
#define TAG_SIZE     16
#define SALT_SIZE    16
#define HEAD_SIZE    (1 + SALT_SIZE)
#define MARKED_LEAST (HEAD_SIZE + NONCE_SIZE + TAG_SIZE)
#define V3           3
#define V2           2
#define V1_SALT      "certctl-config-encryption-v1"

AUTO_DEFINE(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)

/* Which key, and what stands behind it. */
struct layout {
    unsigned rounds;
    struct bytes salt;
    struct bytes nonce;
    struct bytes text;
    struct bytes tag;
};

/* EVP_CIPHER_fetch costs more than a small blob; once per process, never released. */
static const EVP_CIPHER *cipher_once(void)
{
    static const EVP_CIPHER *cipher;

    if (!cipher)
        cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    return cipher;
}

static void layout_body(struct layout *layout, struct bytes body)
{
    layout->nonce = (struct bytes){body.data, NONCE_SIZE};
    layout->text = (struct bytes){body.data + NONCE_SIZE, body.size - NONCE_SIZE - TAG_SIZE};
    layout->tag = (struct bytes){body.data + body.size - TAG_SIZE, TAG_SIZE};
}

unsigned seal_version(struct bytes blob)
{
    if (blob.size >= MARKED_LEAST && (blob.data[0] == V3 || blob.data[0] == V2))
        return blob.data[0];
    return 1;
}

static struct layout layout_marked(struct bytes blob)
{
    struct layout layout = {
        .rounds = blob.data[0] == V3 ? SEAL_ROUNDS : SEAL_ROUNDS_OLD,
        .salt = {blob.data + 1, SALT_SIZE}
    };

    layout_body(&layout, (struct bytes){blob.data + HEAD_SIZE, blob.size - HEAD_SIZE});
    return layout;
}

static struct layout layout_v1(struct bytes blob)
{
    struct layout layout = {.rounds = SEAL_ROUNDS_OLD, .salt = bytes_of_text(V1_SALT)};

    layout_body(&layout, blob);
    return layout;
}

/* The tag is checked before anybody sees what was written: a secret of zero octets is one. */
static struct secret *decrypt(TALLOC_CTX *ctx, const uint8_t *key, const struct layout *layout)
{
    AUTO(EVP_CIPHER_CTX) *cipher = EVP_CIPHER_CTX_new();
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct secret *secret = secret_empty(scratch, layout->text.size);
    void *tag = mem_copy(scratch, layout->tag.data, TAG_SIZE); /* OpenSSL wants it writable */
    uint8_t nothing[TAG_SIZE];
    int written = 0;

    if (!cipher || layout->text.size > INT_MAX ||
        EVP_DecryptInit_ex(cipher, cipher_once(), NULL, key, layout->nonce.data) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) != 1)
        return NULL;
    /* Without text there is nothing to update: OpenSSL takes a NULL for additional data. */
    if (layout->text.size > 0 &&
        EVP_DecryptUpdate(cipher, secret->data, &written, layout->text.data,
                          (int)layout->text.size /* at most INT_MAX, see above */) != 1)
        return NULL;
    if (EVP_DecryptFinal_ex(cipher, nothing, &written) != 1)
        return NULL;
    return talloc_steal(ctx, secret);
}

static struct secret *try_layout(TALLOC_CTX *ctx, const char *passphrase,
                                 const struct layout *layout)
{
    const uint8_t *key = seal_key(passphrase, layout->rounds, layout->salt);

    return key ? decrypt(ctx, key, layout) : NULL;
}

/* A tag that does not fit falls through: a v1 blob may begin with any octet. */
static struct secret *try_passphrase(TALLOC_CTX *ctx, const char *passphrase, struct bytes blob)
{
    struct secret *secret = NULL;

    if (seal_version(blob) != 1) {
        const struct layout marked = layout_marked(blob);
        secret = try_layout(ctx, passphrase, &marked);
    }
    if (secret || blob.size < NONCE_SIZE + TAG_SIZE)
        return secret;
    const struct layout v1 = layout_v1(blob);
    return try_layout(ctx, passphrase, &v1);
}

static void *missing(struct fault *fault)
{
    return fault_set(fault, SEAL_KEY_MISSING, NULL,
                     "crypto: CERTCTL_CONFIG_ENCRYPTION_KEY is required to encrypt or decrypt "
                     "sensitive config");
}

struct seal_passphrases seal_passphrases_of(const struct settings *settings)
{
    return (struct seal_passphrases){settings->config_encryption_key,
                                     settings->config_encryption_key_previous};
}

struct secret *seal_open(TALLOC_CTX *ctx, const struct seal_passphrases *passphrases,
                         struct bytes blob, struct fault *fault)
{
    struct secret *secret;

    if (!passphrases->current)
        return missing(fault);
    secret = try_passphrase(ctx, passphrases->current, blob);
    if (!secret && passphrases->previous)
        secret = try_passphrase(ctx, passphrases->previous, blob);
    if (secret)
        return secret;
    fault_set(fault, SEAL_UNREADABLE, NULL,
              "a stored secret cannot be opened with the configured encryption key");
    return fault_cause_openssl(fault, "AES-256-GCM");
}

bool seal_is_current(const struct seal_passphrases *passphrases, struct bytes blob)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!passphrases->current || seal_version(blob) != V3)
        return false;
    const struct layout marked = layout_marked(blob);
    return try_layout(scratch, passphrases->current, &marked) != NULL;
}

static bool encrypt(const uint8_t *key, struct bytes plain, uint8_t *nonce, uint8_t *text,
                    uint8_t *tag)
{
    AUTO(EVP_CIPHER_CTX) *cipher = EVP_CIPHER_CTX_new();
    uint8_t nothing[TAG_SIZE];
    int written = 0;

    if (!cipher || plain.size > INT_MAX ||
        EVP_EncryptInit_ex(cipher, cipher_once(), NULL, key, nonce) != 1)
        return false;
    if (plain.size > 0 && EVP_EncryptUpdate(cipher, text, &written, plain.data,
                                            (int)plain.size /* at most INT_MAX, see above */) != 1)
        return false;
    return EVP_EncryptFinal_ex(cipher, nothing, &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) == 1;
}

struct bytes *seal_write(TALLOC_CTX *ctx, const struct seal_passphrases *passphrases,
                         struct bytes plain, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const size_t size = MARKED_LEAST + plain.size;

    if (!passphrases->current)
        return missing(fault);
    uint8_t *blob = mem_array(scratch, uint8_t, size);
    blob[0] = V3;
    random_bytes(blob + 1, SALT_SIZE + NONCE_SIZE);
    const uint8_t *key = seal_key(passphrases->current, SEAL_ROUNDS,
                                  (struct bytes){blob + 1, SALT_SIZE});
    if (!key || !encrypt(key, plain, blob + HEAD_SIZE, blob + HEAD_SIZE + NONCE_SIZE,
                         blob + size - TAG_SIZE)) {
        fault_set(fault, INTERNAL, NULL, "a secret cannot be sealed");
        return fault_cause_openssl(fault, "AES-256-GCM");
    }
    struct bytes *sealed = mem_new(ctx, struct bytes);
    *sealed = (struct bytes){talloc_steal(sealed, blob), size};
    return sealed;
}
