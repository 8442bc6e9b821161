/* signer/key_store.h: the keys that this process has open, each with its facts.
 *
 * Both are looked at on the disk at every use (two lstat) and read again when they changed, so a
 * new facts file or a tightened mode needs no signal and no restart. */
#ifndef CERTCTL_SIGNER_KEY_STORE_H
#define CERTCTL_SIGNER_KEY_STORE_H

#include "signer/facts.h"
#include "signer/key_driver.h"

/* The secure heap of 64 KiB holds about as many RSA-4096 keys; the one unused for longest goes. */
#define KEY_STORE_MAX 12

struct key_store;

/* The settings are borrowed for the life of the store, with which the drivers close. */
struct key_store *key_store_new(TALLOC_CTX *ctx, const struct settings *settings);
size_t key_store_count(const struct key_store *store);

/* Borrowed until the next call. */
struct key *key_store_find(struct key_store *store, const char *reference, struct fault *fault);
/* The facts of a key that key_store_find gave, borrowed as long as it. SIGNER_REFUSED when there
 * are none: such a key signs nothing but itself. */
const struct ca_facts *key_store_facts(struct key_store *store, const struct key *key,
                                       struct fault *fault);

#endif
