/* lib/seal/key.c: keys by PBKDF2, each derived once per process (04 section 15.3), and the memory
 * that they and opened secrets lie in. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "seal_private.h"

#include "core/banned.h"

#define HEAP_SIZE  (256 * 1024)
#define HEAP_LEAST 32
#define SALT_MOST  32

/* `mark` is the digest of all that the key was made of. Which key a full table loses matters
 * little: nobody has so many salts in use at once. */
struct derived {
    uint8_t mark[DIGEST_SHA256_SIZE];
    uint8_t *key;
};

static struct derived table[SEAL_KEYS_MAX];
static size_t table_next;
static size_t derivations;

uint8_t *secret_memory(size_t size)
{
    static bool asked;

    /* What cannot be locked, or is too large for it, lies in ordinary memory: no reason to refuse
     * work. Both are cleansed when they are released. */
    if (!asked)
        (void)CRYPTO_secure_malloc_init(HEAP_SIZE, HEAP_LEAST);
    asked = true;
    uint8_t *memory = OPENSSL_secure_zalloc(size > 0 ? size : 1);
    if (!memory)
        memory = OPENSSL_zalloc(size > 0 ? size : 1);
    if (!memory)
        mem_exhausted(size, "secret");
    return memory;
}

static int secret_release(struct secret *secret)
{
    OPENSSL_secure_clear_free(secret->data, secret->size > 0 ? secret->size : 1);
    return 0;
}

struct secret *secret_empty(TALLOC_CTX *ctx, size_t size)
{
    struct secret *secret = mem_new(ctx, struct secret);

    *secret = (struct secret){secret_memory(size), size};
    talloc_set_destructor(secret, secret_release);
    return secret;
}

struct secret *secret_new(TALLOC_CTX *ctx, struct bytes from)
{
    struct secret *secret = secret_empty(ctx, from.size);

    if (from.size > 0)
        memcpy(secret->data, from.data, from.size);
    return secret;
}

/* A passphrase may be anything, so its digest stands for it: no two lists of parts look alike. */
static void mark_of(const char *passphrase, unsigned rounds, struct bytes salt,
                    uint8_t mark[DIGEST_SHA256_SIZE])
{
    uint8_t parts[DIGEST_SHA256_SIZE + sizeof(rounds) + SALT_MOST] = {0};

    digest_sha256(bytes_of_text(passphrase), parts);
    memcpy(parts + DIGEST_SHA256_SIZE, &rounds, sizeof(rounds));
    memcpy(parts + DIGEST_SHA256_SIZE + sizeof(rounds), salt.data, salt.size);
    digest_sha256((struct bytes){parts, DIGEST_SHA256_SIZE + sizeof(rounds) + salt.size}, mark);
    OPENSSL_cleanse(parts, sizeof(parts));
}

static struct derived *find(const uint8_t mark[DIGEST_SHA256_SIZE])
{
    for (size_t i = 0; i < SEAL_KEYS_MAX; i++) {
        if (table[i].key && memcmp(table[i].mark, mark, DIGEST_SHA256_SIZE) == 0)
            return &table[i];
    }
    return NULL;
}

const uint8_t *seal_key(const char *passphrase, unsigned rounds, struct bytes salt)
{
    uint8_t mark[DIGEST_SHA256_SIZE];

    if (salt.size > SALT_MOST)
        return NULL;
    mark_of(passphrase, rounds, salt, mark);
    struct derived *entry = find(mark);
    if (entry)
        return entry->key;
    entry = &table[table_next];
    table_next = (table_next + 1) % SEAL_KEYS_MAX;
    if (!entry->key)
        entry->key = secret_memory(SEAL_KEY_SIZE);
    derivations++;
    /* Lengths are int there: a passphrase has 64 KiB at most, a salt SALT_MOST. */
    const int passed = PKCS5_PBKDF2_HMAC(passphrase, (int)strlen(passphrase), salt.data,
                                         (int)salt.size, (int)rounds, digest_algorithm_sha256(),
                                         SEAL_KEY_SIZE, entry->key);
    memset(entry->mark, 0, sizeof(entry->mark));
    if (passed != 1)
        return NULL;
    memcpy(entry->mark, mark, sizeof(mark));
    return entry->key;
}

size_t seal_derivations(void)
{
    return derivations;
}
