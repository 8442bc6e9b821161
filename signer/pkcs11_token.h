/* signer/pkcs11_token.h: the one PKCS#11 token that this process talks to, by one session.
 *
 * Which token, by which module and with which PIN are settings and never part of a request: a peer
 * that could name a token or a PIN file could have the signer lock a token by wrong PINs. The
 * module is loaded on first use, in this very process (a session does not survive a fork). */
#ifndef CERTCTL_SIGNER_PKCS11_TOKEN_H
#define CERTCTL_SIGNER_PKCS11_TOKEN_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/settings.h"

/* Loads the module, opens the session and logs in, as far as that is not done. SIGNER_KEY. */
bool token_open(const struct settings *settings, struct fault *fault);
/* Session, login and module are let go; token_open begins anew. */
void token_close(void);
/* Another number after each token_close: handles of objects are of one generation. */
uint64_t token_generation(void);
/* Whether a refusal may come of a session that was lost since: a new one is worth a try. */
bool token_is_old(void);
/* Whether the URI's token attributes, as far as it has any, are this token's. */
bool token_matches(const P11KitUri *uri);

/* The handles of what bears these attributes: at most `most_objects`, how many there are in
 * *ret_count, which stops at one more. */
bool token_find(CK_ATTRIBUTE *wanted, CK_ULONG wanted_count, CK_OBJECT_HANDLE *ret_objects,
                CK_ULONG most_objects, CK_ULONG *ret_count, struct fault *fault);
/* One attribute on ctx; size 0 where the object has none. */
bool token_attribute(TALLOC_CTX *ctx, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                     struct bytes *ret, struct fault *fault);
/* C_SignInit and C_Sign. The token's own word, since some of them are worth a second try. */
CK_RV token_sign(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type, struct bytes input, uint8_t *into,
                 size_t *size);
/* Whether the word means that session, token or object went away. */
bool token_went_away(CK_RV word);
/* Both in a session for writing that is closed again. */
bool token_generate(CK_MECHANISM_TYPE type, CK_ATTRIBUTE *public_half, CK_ULONG public_count,
                    CK_ATTRIBUTE *private_half, CK_ULONG private_count, struct fault *fault);
bool token_destroy(const CK_OBJECT_HANDLE *objects, size_t count, struct fault *fault);

/* SIGNER_KEY with the token's word in the cause. Returns false. */
bool token_refused(struct fault *fault, const char *what, CK_RV word);

#endif
