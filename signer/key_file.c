/* signer/key_file.c: CA keys in PKCS#8 files of CERTCTL_CA_KEY_DIR. 04 section 4.2.
 *
 * A reference is an absolute path, with or without "file:" before it. What is in RAM lies in
 * OpenSSL's secure heap as far as OpenSSL puts it there. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/memory.h"
#include "core/text.h"
#include "signer/key_algorithm.h"
#include "signer/key_driver.h"
#include "signer/safe_file.h"

#include "core/banned.h"

/* An RSA-4096 key in PEM takes 3.3 KiB. */
#define KEY_FILE_MAX 8192

static const char *const pem_types[] = {"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"};

/* What key->handle points to. */
struct file_key {
    const char *path;
    struct file_stamp stamp;
    EVP_PKEY *private_key;
    EVP_PKEY_CTX *context; /* made once: OpenSSL 3.0 spends more on fetching than on signing */
    const EVP_MD *digest;
};

static bool file_owns(const char *reference)
{
    return reference[0] == '/' || text_starts(reference, "file:/");
}

static bool is_inside(const char *directory, const char *root)
{
    const size_t length = strlen(root);

    return text_starts(directory, root) && (directory[length] == '\0' || directory[length] == '/');
}

static bool has_parent_step(const char *path)
{
    return strstr(path, "/../") || text_ends(path, "/..");
}

/* The canonical path of a reference: its directory resolved and inside the safe root. */
static bool resolve(TALLOC_CTX *ctx, const char *key_dir, const char *reference, const char **ret,
                    struct fault *fault)
{
    const char *path = text_starts(reference, "file:") ? reference + strlen("file:") : reference;
    const char *base = strrchr(path, '/') + 1;
    char directory[PATH_MAX];
    char root[PATH_MAX];
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    /* A name with a leading dot is a temporary file of ours. */
    if (has_parent_step(path) || base[0] == '\0' || base[0] == '.')
        return fault_set(fault, SIGNER_MESSAGE, "key_ref", "%s is no canonical path of a key file",
                         text_quote(scratch, path));
    if (!realpath(mem_text_n(scratch, path, base - path), directory) || !realpath(key_dir, root)) {
        const int error = errno;
        fault_set(fault, SIGNER_KEY, "key_ref",
                  "the directory of %s is not available to the signer on this host",
                  text_quote(scratch, path));
        errno = error;
        return fault_cause_errno(fault, path);
    }
    if (!is_inside(directory, root))
        return fault_set(fault, SIGNER_REFUSED, "key_ref", "%s lies outside the key directory",
                         text_quote(scratch, path));
    *ret = mem_printf(ctx, "%s/%s", directory, base);
    return true;
}

/* Reading. */

/* PEM would ask at the terminal otherwise. */
static int no_passphrase(char *buffer, int size, int writing, void *unused)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)unused;
    return -1;
}

static bool check_pem_type(TALLOC_CTX *scratch, const char *pem, struct fault *fault)
{
    static const char begin[] = "-----BEGIN ";
    const char *at = strstr(pem, begin);
    const char *end = at ? strstr(at + strlen(begin), "-----") : NULL;

    if (!end)
        return fault_set(fault, SIGNER_KEY, "key_ref", "the key file holds no PEM block");
    const char *type = mem_text_n(scratch, at + strlen(begin), end - at - strlen(begin));
    for (size_t i = 0; i < ARRAY_SIZE(pem_types); i++)
        if (text_equal(type, pem_types[i]))
            return true;
    return fault_set(fault, SIGNER_KEY, "key_ref",
                     "unsupported private key type: %s (expected RSA PRIVATE KEY, EC PRIVATE KEY, "
                     "or PRIVATE KEY)",
                     type);
}

static EVP_PKEY *parse_key(const char *pem, size_t size, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!check_pem_type(scratch, pem, fault))
        return NULL;
    AUTO(BIO) *bio = BIO_new_mem_buf(pem, (int)size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    if (!key) {
        fault_set(fault, SIGNER_KEY, "key_ref", "the key file cannot be parsed");
        return fault_cause_openssl(fault, "PEM_read_bio_PrivateKey");
    }
    return key;
}

static EVP_PKEY *read_key(const char *path, struct file_stamp *ret_stamp, struct fault *fault)
{
    EVP_PKEY *key = NULL;
    size_t size;
    struct file_stamp stamp;

    /* One octet more, so that the text ends. */
    char *pem = OPENSSL_secure_zalloc(KEY_FILE_MAX);
    if (!pem)
        return fault_set(fault, SIGNER_KEY, "key_ref", "the secure heap is full");
    if (safe_file_read("CA key file", path, &stamp, (uint8_t *)pem, KEY_FILE_MAX - 1, &size, fault))
        key = parse_key(pem, size, fault);
    OPENSSL_secure_clear_free(pem, KEY_FILE_MAX);
    if (key)
        *ret_stamp = stamp;
    return key;
}

static int release(struct file_key *handle)
{
    EVP_PKEY_CTX_free(handle->context);
    EVP_PKEY_free(handle->private_key);
    return 0;
}

/* Everything that can be fetched or looked up is, once. */
static bool prepare_signing(struct file_key *handle, enum signature_algorithm signature)
{
    handle->digest = key_algorithm_digest(signature);
    handle->context = EVP_PKEY_CTX_new_from_pkey(NULL, handle->private_key, NULL);
    if (!handle->context || EVP_PKEY_sign_init(handle->context) != 1)
        return false;
    if (signature == SIGNATURE_RSA_SHA256 &&
        EVP_PKEY_CTX_set_rsa_padding(handle->context, RSA_PKCS1_PADDING) != 1)
        return false;
    return EVP_PKEY_CTX_set_signature_md(handle->context, handle->digest) == 1;
}

/* Takes over private_key, whatever comes of it. */
static struct key *make_key(TALLOC_CTX *ctx, const char *path, EVP_PKEY *private_key,
                            const struct file_stamp *stamp, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct key *key = mem_new(scratch, struct key);
    struct file_key *handle = mem_new(key, struct file_key);

    handle->private_key = private_key;
    talloc_set_destructor(handle, release);
    const struct key_algorithm *algorithm = key_algorithm_of(private_key, fault);
    if (!algorithm)
        return NULL;
    if (!prepare_signing(handle, algorithm->signature)) {
        fault_set(fault, SIGNER_KEY, "key_ref", "OpenSSL cannot sign with the key");
        return fault_cause_openssl(fault, path);
    }
    handle->path = mem_text(handle, path);
    handle->stamp = *stamp;
    key->driver = &key_driver_file;
    key->reference = mem_printf(key, "file:%s", path);
    key->beside = handle->path;
    key->algorithm = algorithm->name;
    key->signature = algorithm->signature;
    key->spki = key_algorithm_spki(key, private_key);
    key->handle = handle;
    return talloc_steal(ctx, key);
}

static struct key *file_load(TALLOC_CTX *ctx, const struct settings *settings,
                             const char *reference, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct file_stamp stamp;
    const char *path = NULL;

    if (!resolve(scratch, settings->ca_key_dir, reference, &path, fault))
        return NULL;
    EVP_PKEY *private_key = read_key(path, &stamp, fault);
    return private_key ? make_key(ctx, path, private_key, &stamp, fault) : NULL;
}

static bool file_is_current(const struct key *key)
{
    const struct file_key *handle = key->handle;
    struct file_stamp now;

    return file_stamp_of(handle->path, &now) && file_stamp_equal(&now, &handle->stamp);
}

/* Making. */

static EVP_PKEY *make_private_key(const struct key_algorithm *algorithm)
{
    if (algorithm->curve)
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", algorithm->curve);
    return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)algorithm->bits);
}

static bool write_key(const char *path, EVP_PKEY *private_key, struct fault *fault)
{
    char *text = NULL;
    AUTO(BIO) *bio = BIO_new(BIO_s_secmem());

    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, private_key, NULL, NULL, 0, NULL, NULL) != 1) {
        fault_set(fault, SIGNER_KEY, NULL, "the new key cannot be encoded");
        return fault_cause_openssl(fault, "PEM_write_bio_PKCS8PrivateKey");
    }
    const long size = BIO_get_mem_data(bio, &text);
    return size > 0 &&
           safe_file_write(path, (struct bytes){(const uint8_t *)text, size}, false, fault);
}

static struct key *file_generate(TALLOC_CTX *ctx, const struct settings *settings,
                                 const char *algorithm_name, const char *hint, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *key_dir = settings->ca_key_dir;
    char root[PATH_MAX];
    uint8_t random[4];
    const struct key_algorithm *algorithm = key_algorithm_named(algorithm_name, fault);

    if (!algorithm)
        return NULL;
    if (!id_valid(hint) || hint[0] == '.')
        return fault_set(fault, SIGNER_MESSAGE, "hint", "%s cannot begin a file name",
                         text_quote(scratch, hint));
    if (!safe_directory(key_dir, fault))
        return NULL;
    if (!realpath(key_dir, root))
        return fault_set(fault, SIGNER_KEY, NULL, "the key directory is not there");
    AUTO(EVP_PKEY) *private_key = make_private_key(algorithm);
    if (!private_key) {
        fault_set(fault, SIGNER_KEY, NULL, "no key could be made");
        return fault_cause_openssl(fault, algorithm->name);
    }
    random_bytes(random, sizeof(random));
    const char *path = mem_printf(scratch, "%s/%s-%s.key", root, hint,
                                  hex_from_bytes(scratch, BYTES_OF(random)));
    if (!write_key(path, private_key, fault))
        return NULL;
    /* Read back: what the answer names is what the disk holds. */
    return file_load(ctx, settings, path, fault);
}

/* Using and forgetting. */

static bool file_sign(TALLOC_CTX *ctx, struct key *key, struct bytes tbs,
                      struct bytes *ret_signature, struct fault *fault)
{
    const struct file_key *handle = key->handle;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size;
    size_t size = (size_t)EVP_PKEY_get_size(handle->private_key);

    uint8_t *signature = mem_array(ctx, uint8_t, size);
    if (EVP_Digest(tbs.data, tbs.size, digest, &digest_size, handle->digest, NULL) != 1 ||
        EVP_PKEY_sign(handle->context, signature, &size, digest, digest_size) != 1) {
        fault_set(fault, SIGNER_KEY, "key_ref", "signing failed");
        return fault_cause_openssl(fault, key->reference);
    }
    *ret_signature = (struct bytes){signature, size};
    return true;
}

static bool file_forget(const struct key *key, struct fault *fault)
{
    const struct file_key *handle = key->handle;

    /* The key first: what remains of a crash in between is of use to nobody. */
    return safe_file_remove(handle->path, "", fault) && key_forget_beside(key, fault);
}

const struct key_driver key_driver_file = {
    .name = "file",
    .owns = file_owns,
    .load = file_load,
    .is_current = file_is_current,
    .generate = file_generate,
    .sign = file_sign,
    .forget = file_forget,
};
