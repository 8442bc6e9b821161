/* signer/key_driver.h: where CA keys live, behind one const table of functions per kind of place.
 *
 * A driver is a file, a line in key_drivers.c and a page in doc/. 04 section 4.1. */
#ifndef CERTCTL_SIGNER_KEY_DRIVER_H
#define CERTCTL_SIGNER_KEY_DRIVER_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/settings.h"
#include "pki/compose.h"

/* A loaded key: a talloc object whose destructor lets the driver's handle go. */
struct key {
    const struct key_driver *driver;
    const char *reference; /* canonical: what log and answers name */
    const char *beside;    /* absolute path to which ".facts", ".rate", ".state" are appended */
    const char *algorithm; /* "ECDSA-P256" … */
    enum signature_algorithm signature;
    struct bytes spki;
    bool proven; /* its first signature has been verified */
    void *handle;
};

/* A driver reads its own settings, which outlive every key. All faults are SIGNER_KEY unless a line
 * says otherwise. */
struct key_driver {
    const char *name;
    /* Whether the syntax of the reference is this driver's. */
    bool (*owns)(const char *reference);
    struct key *(*load)(TALLOC_CTX *ctx, const struct settings *settings, const char *reference,
                        struct fault *fault);
    /* False when what was loaded is not what is there now. */
    bool (*is_current)(const struct key *key);
    /* An unknown algorithm (SIGNER_MESSAGE) is refused before any side effect. */
    struct key *(*generate)(TALLOC_CTX *ctx, const struct settings *settings, const char *algorithm,
                            const char *hint, struct fault *fault);
    /* RSA PKCS#1 v1.5, or DER ECDSA-Sig-Value, over the digest that key->signature names. */
    bool (*sign)(TALLOC_CTX *ctx, struct key *key, struct bytes tbs, struct bytes *ret_signature,
                 struct fault *fault);
    /* The key is gone for good, with everything beside it. */
    bool (*forget)(const struct key *key, struct fault *fault);
    /* What the process keeps open beside its keys, before it ends; NULL: nothing. */
    void (*close)(void);
};

extern const struct key_driver key_driver_file;
extern const struct key_driver key_driver_pkcs11;

/* SIGNER_MESSAGE when no driver owns the reference. */
const struct key_driver *key_driver_for(const char *reference, struct fault *fault);
/* The driver that is to make a key; NULL: the first of the list. SIGNER_MESSAGE for other names. */
const struct key_driver *key_driver_named(const char *name, struct fault *fault);
/* After the last key is gone. */
void key_drivers_close(void);
/* Facts, rates and state of a key that its driver has let go. */
bool key_forget_beside(const struct key *key, struct fault *fault);
/* The driver's sign; the first signature of a loaded key is verified before it is believed. */
bool key_sign(TALLOC_CTX *ctx, struct key *key, struct bytes tbs, struct bytes *ret_signature,
              struct fault *fault);

#endif
