/* tests/fuzz/pki_csr.c: PKCS#10 requests of strangers (RFC 2986). OpenSSL's own reader must accept
 * what ours accepts, and see the same. A changed request has a wrong signature and would end at it;
 * so each is also tried with its subject and attributes under a key and a signature of ours. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/csr.h"
#include "pki/der.h"

#include "core/banned.h"

/* Each host of OpenSSL's list is in ours, and no more names are than OpenSSL sees. */
static bool same_names(const struct csr *csr, X509_REQ *request)
{
    AUTO(X509_EXTENSION_STACK) *extensions = X509_REQ_get_extensions(request);
    AUTO(GENERAL_NAMES) *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    const int count = sk_GENERAL_NAME_num(names);
    bool same = csr->names.count <= (size_t)most(count, 0) && (count > 0) == (csr->names.count > 0);

    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        if (name->type != GEN_DNS)
            continue;
        const struct name host = {
            NAME_DNS, text_lower(scratch, (const char *)ASN1_STRING_get0_data(name->d.dNSName))};
        same = same && name_list_has(&csr->names, &host);
    }
    return same;
}

static bool openssl_agrees(const struct csr *csr)
{
    const uint8_t *at = csr->der.data;
    AUTO(X509_REQ) *request = d2i_X509_REQ(NULL, &at, (long)csr->der.size);
    AUTO_OPENSSL(uint8_t) *spki = NULL;

    if (!request || at != csr->der.data + csr->der.size ||
        X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) != 1)
        return false;
    const int size = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &spki);
    const int attributes = X509_NAME_entry_count(X509_REQ_get_subject_name(request));
    return size > 0 && bytes_equal(csr->spki, (struct bytes){spki, (size_t)size}) &&
           attributes >= 0 && csr->subject_count == (size_t)attributes &&
           EVP_PKEY_eq(csr->pkey, X509_REQ_get0_pubkey(request)) == 1 && same_names(csr, request);
}

static void try(struct bytes der)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};
    const struct csr *csr = csr_from_der(scratch, der, true, &fault);

    if (csr ? !bytes_equal(csr->der, der) || csr->key.bits < 256 || !openssl_agrees(csr)
            : fault.reason == REASON_NONE)
        abort();
}

static void put_spki(struct der_writer *to, EVP_PKEY *key)
{
    AUTO_OPENSSL(uint8_t) *spki = NULL;
    const int size = i2d_PUBKEY(key, &spki);

    der_put(to, (struct bytes){spki, (size_t)size});
}

/* The same version, subject and attributes, with our key and signed by it. */
static struct bytes sign_anew(TALLOC_CTX *ctx, struct bytes der)
{
    static const uint8_t secret[32] = {1};
    static const uint8_t algorithm[] = {DER_SEQUENCE, 5, DER_OID, 3, 0x2b, 0x65, 0x70};
    AUTO(EVP_PKEY) *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, 32);
    AUTO(EVP_MD_CTX) *signing = EVP_MD_CTX_new();
    struct bytes info;
    struct bytes version;
    struct bytes subject;
    uint8_t signature[1 + 64] = {0};
    size_t size = 64;
    struct der_writer to;

    if (!der_read_tag(&der, DER_SEQUENCE, &der) || !der_read_tag(&der, DER_SEQUENCE, &info) ||
        !der_read(&info, NULL, NULL, &version) || !der_read(&info, NULL, NULL, &subject) ||
        !der_read(&info, NULL, NULL, NULL))
        return (struct bytes){0};
    der_start(&to, ctx, der.size + 256);
    der_put(&to, info); /* what is left: the attributes */
    put_spki(&to, key);
    der_put(&to, subject);
    der_put(&to, version);
    der_wrap(&to, DER_SEQUENCE, 0);
    info = der_finish(&to, ctx);
    if (EVP_DigestSignInit(signing, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(signing, signature + 1, &size, info.data, info.size) != 1)
        abort();
    der_start(&to, ctx, info.size + 256);
    der_put_value(&to, DER_BIT_STRING, BYTES_OF(signature));
    der_put(&to, BYTES_OF(algorithm));
    der_put(&to, info);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes exact = {mem_copy(scratch, data, size), size};

    try(exact);
    try(sign_anew(scratch, exact));
    return 0;
}
