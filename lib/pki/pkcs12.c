/* lib/pki/pkcs12.c: PKCS#12 as Java's trust stores have it (RFC 7292, 04 section 14). */
#include "pki/pkcs12.h"

#include <openssl/pkcs12.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define ITERATIONS 2048
/* Without it keytool shows no entry. Its value is the key usage that is trusted: any. */
#define ORACLE_TRUSTED_KEY_USAGE "2.16.840.1.113894.746875.1.1"

typedef STACK_OF(PKCS12_SAFEBAG) PKCS12_SAFEBAG_STACK;
typedef STACK_OF(PKCS7) PKCS7_STACK;
static void bags_free(PKCS12_SAFEBAG_STACK *stack)
{
    sk_PKCS12_SAFEBAG_pop_free(stack, PKCS12_SAFEBAG_free);
}
static void safes_free(PKCS7_STACK *stack)
{
    sk_PKCS7_pop_free(stack, PKCS7_free);
}
AUTO_DEFINE(PKCS12, PKCS12_free)
AUTO_DEFINE(PKCS12_SAFEBAG_STACK, bags_free)
AUTO_DEFINE(PKCS7_STACK, safes_free)

static void *failed(struct fault *fault, const char *what)
{
    fault_set(fault, INTERNAL, NULL, "the PKCS#12 file cannot be made");
    return fault_cause_openssl(fault, what);
}

static const char *subject_text(TALLOC_CTX *ctx, const struct certificate *certificate)
{
    AUTO(BIO) *out = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (!out || X509_NAME_print_ex(out, X509_get_subject_name(certificate->x509), 0,
                                   XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) < 0)
        return certificate->serial;
    const long length = BIO_get_mem_data(out, &text);
    return length > 0 ? mem_text_n(ctx, text, (size_t)length) /* positive */ : certificate->serial;
}

/* Of two entries of one name Java keeps one. */
static const char *entry_name(TALLOC_CTX *ctx, struct certificate *const *list, size_t place)
{
    const char *name = subject_text(ctx, list[place]);
    size_t same = 0;

    for (size_t i = 0; i < place; i++)
        same += bytes_equal(list[i]->subject_der, list[place]->subject_der);
    return same == 0 ? name : mem_printf(ctx, "%s (%zu)", name, same + 1);
}

static bool bag_add(TALLOC_CTX *ctx, PKCS12_SAFEBAG_STACK **bags, struct certificate *const *list,
                    size_t place)
{
    /* OpenSSL takes any value as octets. */
    const unsigned char *any = (const unsigned char *)OBJ_nid2obj(NID_anyExtendedKeyUsage);
    PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, list[place]->x509);

    return bag && PKCS12_add_friendlyname_utf8(bag, entry_name(ctx, list, place), -1) == 1 &&
           PKCS12_add1_attr_by_txt(bag, ORACLE_TRUSTED_KEY_USAGE, V_ASN1_OBJECT, any, -1) == 1;
}

bool pkcs12_trust_store(TALLOC_CTX *ctx, struct certificate *const *list, size_t count,
                        const char *password, struct bytes *ret_der, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(PKCS12_SAFEBAG_STACK) *bags = NULL;
    AUTO(PKCS7_STACK) *safes = NULL;
    AUTO_OPENSSL(uint8_t) *der = NULL;

    for (size_t i = 0; i < count; i++)
        if (!bag_add(scratch, &bags, list, i))
            return failed(fault, "a certificate bag");
    if (PKCS12_add_safe(&safes, bags, NID_aes_256_cbc, ITERATIONS, password) != 1)
        return failed(fault, "PKCS12_add_safe");
    AUTO(PKCS12) *file = PKCS12_add_safes(safes, 0);
    if (!file || PKCS12_set_mac(file, password, -1, NULL, 0, ITERATIONS, EVP_sha256()) != 1)
        return failed(fault, "PKCS12_set_mac");
    const int size = i2d_PKCS12(file, &der);
    if (size <= 0)
        return failed(fault, "i2d_PKCS12");
    *ret_der = bytes_copy(ctx, (struct bytes){der, (size_t)size}); /* positive */
    return true;
}
