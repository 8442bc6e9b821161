/* lib/pki/ocsp_signer.c: the delegated key of an OCSP responder and its certificate (RFC 6960
 * section 4.2.2.2, 04 section 12). The only private keys that this room touches. */
#include "pki/ocsp.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/der.h"

#include "core/banned.h"

#define KEY_FILE_MAX 8192

static void *file_refused(struct fault *fault, const char *path, const char *why)
{
    fault_set(fault, FILE_FAILED, NULL, "the key file of an OCSP responder cannot be used");
    return fault_cause(fault, "%s: %s", path, why);
}

static void *file_failed(struct fault *fault, const char *path)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "the key file of an OCSP responder cannot be used");
    errno = error;
    return fault_cause_errno(fault, path);
}

/* PEM would ask at the terminal otherwise. */
static int no_passphrase(char *buffer, int size, int writing, void *unused)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)unused;
    return -1;
}

/* Directly inside the directory: the path comes from the database. */
static bool is_inside(const char *directory, const char *path)
{
    const size_t length = strlen(directory);

    return text_starts(path, directory) && path[length] == '/' && path[length + 1] != '\0' &&
           path[length + 1] != '.' && !strchr(path + length + 1, '/');
}

static int open_key(const char *directory, const char *path, struct fault *fault)
{
    struct stat status;

    if (!is_inside(directory, path)) {
        (void)file_refused(fault, path, "it lies outside the key directory");
        return -1;
    }
    AUTO_FD fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        (void)file_failed(fault, path);
        return -1;
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_mode & 077) {
        (void)file_refused(fault, path, "it is no plain file of mode 0600 that is ours");
        return -1;
    }
    return TAKE_FD(fd);
}

static EVP_PKEY *read_key(const char *directory, const char *path, struct fault *fault)
{
    char pem[KEY_FILE_MAX];
    AUTO_FD fd = open_key(directory, path, fault);

    if (fd < 0)
        return NULL;
    const ssize_t got = read(fd, pem, sizeof pem);
    if (got <= 0)
        return file_failed(fault, path);
    AUTO(BIO) *bio = BIO_new_mem_buf(pem, (int)got); /* at most KEY_FILE_MAX */
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    OPENSSL_cleanse(pem, sizeof pem);
    if (!key) {
        fault_set(fault, FILE_FAILED, NULL, "the key file of an OCSP responder cannot be used");
        return fault_cause_openssl(fault, path);
    }
    return key;
}

static bool spki_of(TALLOC_CTX *ctx, const EVP_PKEY *key, struct bytes *ret_spki,
                    struct fault *fault)
{
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_PUBKEY(key, &der);

    if (size <= 0) {
        fault_set(fault, INTERNAL, NULL, "a public key cannot be encoded");
        return fault_cause_openssl(fault, "i2d_PUBKEY");
    }
    *ret_spki = bytes_copy(ctx, (struct bytes){der, (size_t)size}); /* positive */
    return true;
}

bool ocsp_key_read(TALLOC_CTX *ctx, const char *directory, const char *path, struct bytes *ret_spki,
                   struct fault *fault)
{
    AUTO(EVP_PKEY) *key = read_key(directory, path, fault);

    return key && spki_of(ctx, key, ret_spki, fault);
}

static bool write_key(int fd, const EVP_PKEY *key)
{
    AUTO(BIO) *bio = BIO_new(BIO_s_secmem());
    const char *pem = NULL;

    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return false;
    const long size = BIO_get_mem_data(bio, &pem);
    return size > 0 && write(fd, pem, (size_t)size) == size && fsync(fd) == 0;
}

static bool flush_directory_of(const char *path)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *slash = strrchr(path, '/');

    AUTO_FD fd = open(mem_text_n(scratch, path, (size_t)(slash - path)),
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

bool ocsp_key_generate(TALLOC_CTX *ctx, const char *path, const char *algorithm,
                       struct bytes *ret_spki, struct fault *fault)
{
    AUTO(EVP_PKEY) *key = text_equal(algorithm, "RSA-2048") ? EVP_RSA_gen(2048)
                                                            : EVP_EC_gen("P-256");

    if (!key) {
        fault_set(fault, INTERNAL, NULL, "a key cannot be made");
        return fault_cause_openssl(fault, algorithm);
    }
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_failed(fault, path);
    if (!write_key(fd, key) || !flush_directory_of(path)) {
        (void)file_failed(fault, path);
        (void)unlink(path);
        return false;
    }
    return spki_of(ctx, key, ret_spki, fault);
}

static bool algorithm_of(const EVP_PKEY *key, enum signature_algorithm *ret)
{
    if (EVP_PKEY_is_a(key, "RSA") == 1)
        *ret = SIGNATURE_RSA_SHA256;
    else if (EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_bits(key) == 256)
        *ret = SIGNATURE_ECDSA_SHA256;
    else
        return false;
    return true;
}

static int release(struct ocsp_signer *signer)
{
    EVP_PKEY_CTX_free(signer->context);
    return 0;
}

/* Fetched once, since OpenSSL 3.0 spends more on that than on signing. */
static bool prepare(struct ocsp_signer *signer, EVP_PKEY *key)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

    signer->context = context;
    talloc_set_destructor(signer, release);
    return context && algorithm_of(key, &signer->algorithm) && EVP_PKEY_sign_init(context) == 1 &&
           (signer->algorithm != SIGNATURE_RSA_SHA256 ||
            EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1) &&
           EVP_PKEY_CTX_set_signature_md(context, digest_algorithm_sha256()) == 1;
}

/* SHA-1 over the key's bits, as in a CertID. */
static bool key_hash(struct ocsp_signer *signer, const struct certificate *leaf)
{
    struct ocsp_ca_hashes hashes;

    if (!ocsp_ca_hashes(leaf, &hashes))
        return false;
    signer->key_hash = bytes_copy(signer, (struct bytes){hashes.key[OCSP_SHA1], 20});
    return true;
}

static struct bytes certs(TALLOC_CTX *ctx, struct bytes certificate)
{
    struct der_writer to;

    der_start(&to, ctx, certificate.size + 16);
    der_put(&to, certificate);
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(0), 0);
    return der_finish(&to, ctx);
}

/* RFC 6960 section 4.2.2.2: issued directly by the CA that it answers for, and for this alone. */
static const char *unfit(const struct certificate *leaf, const struct certificate *ca,
                         struct bytes spki)
{
    EVP_PKEY *issuer = X509_get0_pubkey(ca->x509);

    if (!bytes_equal(leaf->spki, spki))
        return "the certificate is another key's";
    if (!bytes_equal(leaf->issuer_der, ca->subject_der) || !issuer ||
        X509_verify(leaf->x509, issuer) != 1)
        return "the certificate is not of this CA";
    if (!(X509_get_extended_key_usage(leaf->x509) & XKU_OCSP_SIGN) ||
        X509_get_extended_key_usage(leaf->x509) == UINT32_MAX)
        return "the certificate may not sign OCSP answers";
    return NULL;
}

struct ocsp_signer *ocsp_signer_load(TALLOC_CTX *ctx, const char *directory, const char *key_path,
                                     const char *certificate_pem, const struct certificate *ca,
                                     struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(EVP_PKEY) *key = read_key(directory, key_path, fault);
    const struct certificate *leaf = key ? certificate_from_pem(scratch, certificate_pem, fault)
                                         : NULL;
    struct ocsp_signer *signer = mem_new(scratch, struct ocsp_signer);
    struct bytes spki = {0};

    if (!leaf || !spki_of(scratch, key, &spki, fault))
        return NULL;
    const char *why = unfit(leaf, ca, spki);
    if (why)
        return fault_set(fault, CERTIFICATE_MALFORMED, NULL, "%s", why);
    if (!prepare(signer, key) || !key_hash(signer, leaf)) {
        fault_set(fault, INTERNAL, NULL, "OpenSSL cannot sign with the key of an OCSP responder");
        return fault_cause_openssl(fault, key_path);
    }
    signer->serial = mem_text(signer, leaf->serial);
    signer->not_before = leaf->not_before;
    signer->not_after = leaf->not_after;
    signer->certs = certs(signer, leaf->der);
    return talloc_steal(ctx, signer);
}
