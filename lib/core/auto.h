/* lib/core/auto.h: cleanup bound to scope, for handles that talloc does not own.
 *
 *     AUTO(X509) *leaf = d2i_X509(NULL, &at, size);   released at every way out
 *     return TAKE(leaf);                              except this one: the caller's now
 *
 * Each foreign type is declared once, here or (for types of one room only) in that room. */
#ifndef CERTCTL_CORE_AUTO_H
#define CERTCTL_CORE_AUTO_H

#include <dirent.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <talloc.h>
#include <unistd.h>

#define AUTO(type) __attribute__((cleanup(auto_##type))) type

#define TAKE(name)                                                                                 \
    ({                                                                                             \
        __typeof__(name) take_kept = (name);                                                       \
        (name) = NULL;                                                                             \
        take_kept;                                                                                 \
    })

/* Declares what AUTO(type) does at the end of the scope. */
#define AUTO_DEFINE(type, release)                                                                 \
    static inline void auto_##type(type **held)                                                    \
    {                                                                                              \
        if (*held)                                                                                 \
            (void)release(*held);                                                                  \
    }

AUTO_DEFINE(TALLOC_CTX, talloc_free)
AUTO_DEFINE(json_t, json_decref)
AUTO_DEFINE(FILE, fclose)
AUTO_DEFINE(DIR, closedir)
AUTO_DEFINE(BIO, BIO_free_all)
AUTO_DEFINE(BIGNUM, BN_clear_free)
AUTO_DEFINE(ASN1_INTEGER, ASN1_INTEGER_free)
AUTO_DEFINE(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free)
AUTO_DEFINE(ASN1_TIME, ASN1_TIME_free)
AUTO_DEFINE(EVP_PKEY, EVP_PKEY_free)
AUTO_DEFINE(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
AUTO_DEFINE(EVP_MD_CTX, EVP_MD_CTX_free)
AUTO_DEFINE(EVP_MAC_CTX, EVP_MAC_CTX_free)
AUTO_DEFINE(ECDSA_SIG, ECDSA_SIG_free)
AUTO_DEFINE(X509, X509_free)
AUTO_DEFINE(X509_CRL, X509_CRL_free)
AUTO_DEFINE(X509_REQ, X509_REQ_free)
AUTO_DEFINE(X509_NAME, X509_NAME_free)
AUTO_DEFINE(GENERAL_NAME, GENERAL_NAME_free)
AUTO_DEFINE(GENERAL_NAMES, GENERAL_NAMES_free)
AUTO_DEFINE(BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free)
AUTO_DEFINE(NAME_CONSTRAINTS, NAME_CONSTRAINTS_free)

/* AUTO(STACK_OF(X509)) would not compile, so each stack has a name of its own. */
typedef STACK_OF(X509) X509_STACK;
typedef STACK_OF(X509_EXTENSION) X509_EXTENSION_STACK;
static inline void x509_stack_free(X509_STACK *stack)
{
    sk_X509_pop_free(stack, X509_free);
}
static inline void x509_extension_stack_free(X509_EXTENSION_STACK *stack)
{
    sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free);
}
AUTO_DEFINE(X509_STACK, x509_stack_free)
AUTO_DEFINE(X509_EXTENSION_STACK, x509_extension_stack_free)

/* A buffer that OpenSSL allocated: AUTO_OPENSSL(uint8_t) *der = NULL; i2d_X509(x, &der). */
#define AUTO_OPENSSL(type) __attribute__((cleanup(auto_openssl_buffer))) type
static inline void auto_openssl_buffer(void *held)
{
    OPENSSL_free(*(void **)held);
}

/* A file descriptor: AUTO_FD fd = open(…); -1 means none. */
#define AUTO_FD __attribute__((cleanup(auto_fd))) int
static inline void auto_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_fd = (fd);                                                                        \
        (fd) = -1;                                                                                 \
        take_fd;                                                                                   \
    })

#endif
