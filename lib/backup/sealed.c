/* lib/backup/sealed.c: chunks under AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar,
 * Rogaway, Vizár 2015), keys by scrypt (RFC 7914). */
#include "backup/sealed.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"

#include "core/banned.h"

#define MAGIC       "certctl back-up\n"
#define MAGIC_SIZE  16
#define FORMAT      1
#define SALT_SIZE   32
#define KEY_SIZE    32
#define NONCE_SIZE  12
#define PROVED_SIZE (SEALED_HEADER_SIZE - DIGEST_SHA256_SIZE)
#define BLOCK_SIZE  (SEALED_CHUNK_SIZE + SEALED_TAG_SIZE)
#define SCRYPT_R    8
/* 128 N r, and something for scrypt's own. */
#define SCRYPT_MEMORY(cost) ((UINT64_C(128) * SCRYPT_R << (cost)) + (UINT64_C(1) << 20))

AUTO_DEFINE(EVP_KDF, EVP_KDF_free)
AUTO_DEFINE(EVP_KDF_CTX, EVP_KDF_CTX_free)

/* As it stands in the file; `mac` is over all before it. */
struct header {
    uint8_t magic[MAGIC_SIZE];
    uint8_t version;
    uint8_t cost;
    uint8_t zero[14];
    uint8_t salt[SALT_SIZE];
    uint8_t mac[DIGEST_SHA256_SIZE];
};
_Static_assert(sizeof(struct header) == SEALED_HEADER_SIZE, "the header has no holes");

struct keys {
    uint8_t chunks[KEY_SIZE];
    uint8_t header[KEY_SIZE];
};

struct stream {
    int fd;
    EVP_CIPHER_CTX *cipher;
    uint8_t proved[DIGEST_SHA256_SIZE]; /* of the header: every chunk is bound to it */
    uint64_t number;
};

struct sealed_writer {
    struct stream stream;
    uint8_t plain[SEALED_CHUNK_SIZE];
    size_t used;
    uint8_t block[BLOCK_SIZE];
};

struct sealed_reader {
    struct stream stream;
    uint8_t plain[SEALED_CHUNK_SIZE];
    size_t size;
    size_t taken;
    uint8_t block[BLOCK_SIZE + 1]; /* one octet of what follows: is this the last? */
    size_t ahead;
    bool ended;
};

static bool derive(struct bytes passphrase, const struct header *header, struct keys *ret_keys,
                   struct fault *fault)
{
    uint64_t n = UINT64_C(1) << header->cost;
    uint64_t memory = SCRYPT_MEMORY(header->cost);
    uint32_t r = SCRYPT_R;
    uint32_t p = 1;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    void *secret = mem_copy(scratch, passphrase.data, passphrase.size);
    void *salt = mem_copy(scratch, header->salt, SALT_SIZE);
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, secret, passphrase.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, SALT_SIZE),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
        OSSL_PARAM_construct_end(),
    };
    AUTO(EVP_KDF) *scrypt = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    AUTO(EVP_KDF_CTX) *context = scrypt ? EVP_KDF_CTX_new(scrypt) : NULL;
    const bool derived = context && EVP_KDF_derive(context, (uint8_t *)ret_keys, sizeof(*ret_keys),
                                                   parameters) == 1;

    OPENSSL_cleanse(secret, passphrase.size);
    if (derived)
        return true;
    fault_set(fault, INTERNAL, NULL, "no key can be made of the passphrase");
    return fault_cause_openssl(fault, "scrypt");
}

static int stream_close(struct stream *stream)
{
    EVP_CIPHER_CTX_free(stream->cipher);
    return 0;
}

static int writer_close(struct sealed_writer *writer)
{
    OPENSSL_cleanse(writer->plain, sizeof(writer->plain));
    return stream_close(&writer->stream);
}

static int reader_close(struct sealed_reader *reader)
{
    OPENSSL_cleanse(reader->plain, sizeof(reader->plain));
    return stream_close(&reader->stream);
}

static bool stream_open(struct stream *stream, const struct header *header, struct keys *keys,
                        bool encrypt, struct fault *fault)
{
    stream->cipher = EVP_CIPHER_CTX_new();
    memcpy(stream->proved, header->mac, sizeof(stream->proved));
    const bool opened = stream->cipher &&
                        EVP_CipherInit_ex2(stream->cipher, EVP_aes_256_gcm(), keys->chunks, NULL,
                                           encrypt, NULL) == 1;
    OPENSSL_cleanse(keys, sizeof(*keys));
    if (opened)
        return true;
    fault_set(fault, INTERNAL, NULL, "AES-256-GCM cannot be used");
    return fault_cause_openssl(fault, "EVP_CipherInit_ex2");
}

static bool write_all(int fd, const uint8_t *data, size_t size, struct fault *fault)
{
    while (size > 0) {
        const ssize_t put = write(fd, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            fault_set(fault, FILE_FAILED, NULL, "the back-up cannot be written");
            return fault_cause_errno(fault, "write");
        }
        data += put;
        size -= (size_t)put;
    }
    return true;
}

static bool read_some(int fd, uint8_t *into, size_t size, size_t *ret_got, struct fault *fault)
{
    *ret_got = 0;
    while (*ret_got < size) {
        const ssize_t got = read(fd, into + *ret_got, size - *ret_got);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fault_set(fault, FILE_FAILED, NULL, "the back-up cannot be read");
            return fault_cause_errno(fault, "read");
        }
        if (got == 0)
            break;
        *ret_got += (size_t)got;
    }
    return true;
}

static void nonce_of(const struct stream *stream, bool last, uint8_t ret_nonce[NONCE_SIZE])
{
    memset(ret_nonce, 0, NONCE_SIZE);
    for (size_t i = 0; i < sizeof(stream->number); i++)
        ret_nonce[NONCE_SIZE - 2 - i] = (uint8_t)(stream->number >> (8 * i)); /* one octet of it */
    ret_nonce[NONCE_SIZE - 1] = last;
}

static bool begin_chunk(struct stream *stream, bool last)
{
    uint8_t nonce[NONCE_SIZE];
    int ignored;

    nonce_of(stream, last, nonce);
    return EVP_CipherInit_ex2(stream->cipher, NULL, NULL, nonce, -1, NULL) == 1 &&
           EVP_CipherUpdate(stream->cipher, NULL, &ignored, stream->proved,
                            sizeof(stream->proved)) == 1;
}

static bool seal(struct sealed_writer *writer, bool last, struct fault *fault)
{
    EVP_CIPHER_CTX *cipher = writer->stream.cipher;
    uint8_t *tag = writer->block + writer->used;
    int size = 0;
    int rest = 0;

    if (!begin_chunk(&writer->stream, last) ||
        EVP_CipherUpdate(cipher, writer->block, &size, writer->plain, (int)writer->used) != 1 ||
        EVP_CipherFinal_ex(cipher, writer->block + size, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SEALED_TAG_SIZE, tag) != 1) {
        fault_set(fault, INTERNAL, NULL, "the back-up cannot be encrypted");
        return fault_cause_openssl(fault, "AES-256-GCM");
    }
    writer->stream.number++;
    const size_t length = writer->used + SEALED_TAG_SIZE;
    writer->used = 0;
    return write_all(writer->stream.fd, writer->block, length, fault);
}

struct sealed_writer *sealed_writer_new(TALLOC_CTX *ctx, int fd, struct bytes passphrase,
                                        unsigned cost, struct fault *fault)
{
    AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
    struct sealed_writer *writer = mem_new(kept, struct sealed_writer);
    struct header header = {.version = FORMAT, .cost = (uint8_t)cost /* at most 20 */};
    struct keys keys;

    memcpy(header.magic, MAGIC, MAGIC_SIZE);
    random_bytes(header.salt, SALT_SIZE);
    if (!derive(passphrase, &header, &keys, fault))
        return NULL;
    digest_hmac_sha256(BYTES_OF(keys.header), (struct bytes){(const uint8_t *)&header, PROVED_SIZE},
                       header.mac);
    writer->stream.fd = fd;
    talloc_set_destructor(writer, writer_close);
    if (!stream_open(&writer->stream, &header, &keys, true, fault) ||
        !write_all(fd, (const uint8_t *)&header, sizeof(header), fault))
        return NULL;
    return talloc_steal(ctx, writer);
}

/* A full chunk waits until something follows it: the last one is marked. */
bool sealed_write(struct sealed_writer *writer, struct bytes part, struct fault *fault)
{
    while (part.size > 0) {
        if (writer->used == SEALED_CHUNK_SIZE && !seal(writer, false, fault))
            return false;
        const size_t size = least(part.size, SEALED_CHUNK_SIZE - writer->used);
        memcpy(writer->plain + writer->used, part.data, size);
        writer->used += size;
        part.data += size;
        part.size -= size;
    }
    return true;
}

bool sealed_finish(struct sealed_writer *writer, struct fault *fault)
{
    return seal(writer, true, fault);
}

static bool check_header(const struct header *header, size_t got, struct fault *fault)
{
    static const uint8_t zero[sizeof(header->zero)];

    if (got < MAGIC_SIZE || memcmp(header->magic, MAGIC, MAGIC_SIZE) != 0)
        return fault_set(fault, INPUT_MALFORMED, NULL, "this is no back-up of certctl");
    if (got < sizeof(*header))
        return fault_set(fault, INPUT_MALFORMED, NULL, "the back-up is cut off in its header");
    if (header->version != FORMAT)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the back-up has version %d of the format, this certctl reads %d",
                         header->version, FORMAT);
    if (header->cost < SEALED_COST_LEAST || header->cost > SEALED_COST_MOST ||
        memcmp(header->zero, zero, sizeof(zero)) != 0)
        return fault_set(fault, INPUT_MALFORMED, NULL, "the back-up's header is damaged");
    return true;
}

struct sealed_reader *sealed_reader_new(TALLOC_CTX *ctx, int fd, struct bytes passphrase,
                                        struct fault *fault)
{
    AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
    struct sealed_reader *reader = mem_new(kept, struct sealed_reader);
    struct header header;
    struct keys keys;
    uint8_t mac[DIGEST_SHA256_SIZE];
    size_t got;

    if (!read_some(fd, (uint8_t *)&header, sizeof(header), &got, fault) ||
        !check_header(&header, got, fault) || !derive(passphrase, &header, &keys, fault))
        return NULL;
    digest_hmac_sha256(BYTES_OF(keys.header), (struct bytes){(const uint8_t *)&header, PROVED_SIZE},
                       mac);
    if (!bytes_equal_secret(BYTES_OF(mac), BYTES_OF(header.mac))) {
        OPENSSL_cleanse(&keys, sizeof(keys));
        return fault_set(fault, INPUT_INVALID, "passphrase",
                         "the passphrase does not open this back-up (or its header is damaged)");
    }
    reader->stream.fd = fd;
    talloc_set_destructor(reader, reader_close);
    if (!stream_open(&reader->stream, &header, &keys, false, fault) ||
        !read_some(fd, reader->block, 1, &reader->ahead, fault))
        return NULL;
    return talloc_steal(ctx, reader);
}

static bool open_chunk(struct sealed_reader *reader, size_t size, bool last)
{
    EVP_CIPHER_CTX *cipher = reader->stream.cipher;
    int got = 0;
    int rest = 0;

    return begin_chunk(&reader->stream, last) &&
           EVP_CipherUpdate(cipher, reader->plain, &got, reader->block, (int)size) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, SEALED_TAG_SIZE,
                               reader->block + size) == 1 &&
           EVP_CipherFinal_ex(cipher, reader->plain + got, &rest) == 1;
}

static void *refuse_chunk(struct sealed_reader *reader, bool cut, struct fault *fault)
{
    OPENSSL_cleanse(reader->plain, sizeof(reader->plain));
    reader->size = reader->taken = 0;
    if (cut)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the back-up is cut off after %llu chunks: its end is missing",
                         (unsigned long long)reader->stream.number);
    return fault_set(fault, INPUT_MALFORMED, NULL,
                     "the back-up is damaged in chunk %llu, or cut off there",
                     (unsigned long long)reader->stream.number + 1);
}

/* The octet that was read ahead begins the block; one more tells whether it is the last. */
static bool next_chunk(struct sealed_reader *reader, struct fault *fault)
{
    size_t got;

    if (reader->ahead == 0)
        return refuse_chunk(reader, true, fault);
    if (!read_some(reader->stream.fd, reader->block + 1, BLOCK_SIZE, &got, fault))
        return false;
    const bool last = got < BLOCK_SIZE;
    const size_t length = last ? got + 1 : BLOCK_SIZE;
    if (length < SEALED_TAG_SIZE)
        return refuse_chunk(reader, false, fault);
    reader->size = length - SEALED_TAG_SIZE;
    reader->taken = 0;
    if (!open_chunk(reader, reader->size, last))
        return refuse_chunk(reader, last && open_chunk(reader, length - SEALED_TAG_SIZE, false),
                            fault);
    reader->stream.number++;
    reader->ended = last;
    reader->block[0] = reader->block[BLOCK_SIZE];
    return true;
}

bool sealed_read(struct sealed_reader *reader, uint8_t *into, size_t size, size_t *ret_got,
                 struct fault *fault)
{
    *ret_got = 0;
    while (*ret_got < size) {
        if (reader->taken == reader->size) {
            if (reader->ended)
                break;
            if (!next_chunk(reader, fault))
                return false;
            continue;
        }
        const size_t part = least(size - *ret_got, reader->size - reader->taken);
        memcpy(into + *ret_got, reader->plain + reader->taken, part);
        reader->taken += part;
        *ret_got += part;
    }
    return true;
}
