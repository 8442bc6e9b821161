/* jobs/site/request.c: a fresh key and the CSR for it (RFC 2986). */
#include "jobs/site/request.h"

#include <openssl/x509v3.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"

#include "core/banned.h"

static bool failed(struct fault *fault, const char *what)
{
    fault_set(fault, INTERNAL, NULL, "the request for the site's certificate could not be made");
    return fault_cause_openssl(fault, what);
}

/* *name takes over the value only where this succeeds. */
static bool fill_name(GENERAL_NAME *name, const struct name *wanted)
{
    const bool address = wanted->kind == NAME_IP;
    const char *text = wanted->value;
    uint8_t octets[16];
    size_t size = strlen(text);

    if (address && !name_ip_to_octets(text, octets, &size))
        return false;
    ASN1_STRING *value = ASN1_STRING_type_new(address ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (!value)
        return false;
    GENERAL_NAME_set0_value(name, address ? GEN_IPADD : GEN_DNS, value);
    return ASN1_STRING_set(value, address ? (const void *)octets : text, (int)size) == 1;
}

static bool add_names(X509_REQ *request, const struct name_list *names)
{
    AUTO(GENERAL_NAMES) *list = GENERAL_NAMES_new();
    AUTO(X509_EXTENSION_STACK) *extensions = sk_X509_EXTENSION_new_null();

    for (size_t i = 0; list && i < names->count; i++) {
        AUTO(GENERAL_NAME) *name = GENERAL_NAME_new();
        if (!name || !fill_name(name, &names->items[i]) || sk_GENERAL_NAME_push(list, name) <= 0)
            return false;
        (void)TAKE(name);
    }
    return list && extensions &&
           X509V3_add1_i2d(&extensions, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1 &&
           X509_REQ_add_extensions(request, extensions) == 1;
}

static int forget_text(char *text)
{
    OPENSSL_cleanse(text, strlen(text));
    return 0;
}

static char *key_to_pem(TALLOC_CTX *ctx, EVP_PKEY *key)
{
    AUTO(BIO) *out = BIO_new(BIO_s_mem());
    char *data = NULL;

    if (!out || PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        return NULL;
    const long size = BIO_get_mem_data(out, &data);
    char *text = mem_text_n(ctx, data, (size_t)size); /* a few hundred octets */
    OPENSSL_cleanse(data, (size_t)size);
    talloc_set_destructor(text, forget_text);
    return text;
}

bool site_request_make(TALLOC_CTX *ctx, const struct name_list *names,
                       struct site_request *ret_request, struct fault *fault)
{
    AUTO(EVP_PKEY) *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    AUTO(X509_REQ) *request = X509_REQ_new();
    AUTO_OPENSSL(uint8_t) *der = NULL;

    if (!key || !request || X509_REQ_set_pubkey(request, key) != 1 || !add_names(request, names))
        return failed(fault, "CSR");
    if (X509_REQ_sign(request, key, digest_algorithm_sha256()) <= 0)
        return failed(fault, "signing the CSR");
    const int size = i2d_X509_REQ(request, &der);
    char *pem = key_to_pem(ctx, key);
    if (size <= 0 || !pem)
        return failed(fault, "encoding");
    *ret_request = (struct site_request){
        .key_pem = pem, .csr_der = bytes_copy(ctx, (struct bytes){der, (size_t)size})};
    return true;
}
