/* lib/lifecycle/revoke.h: the one way to revoke (04 section 8). ACME comes here now; REST, EST and
 * the jobs will. Whoever calls has settled who may; state and completeness are settled here. */
#ifndef CERTCTL_LIFECYCLE_REVOKE_H
#define CERTCTL_LIFECYCLE_REVOKE_H

#include "core/settings.h"
#include "db/db.h"
#include "pki/crl_entry.h"

/* RFC 5280 section 5.3.1: 0 to 6 and 9 as they are; removeFromCRL (8) and aACompromise (10) become
 * unspecified; false for others, *ret_reason untouched. */
bool revocation_reason_from_code(int64_t code, enum revocation_reason *ret_reason) MUST_USE;
/* The eight texts of 04 section 8.1, in their case. */
bool revocation_reason_from_text(const char *text, enum revocation_reason *ret_reason) MUST_USE;
const char *revocation_reason_text(enum revocation_reason reason);
/* "0 unspecified, 1 keyCompromise, …": for refusals. */
char *revocation_reason_list(TALLOC_CTX *ctx);

/* A version of ours, borrowed from the row that it was read from (view revocables). */
struct revocable {
    const char *version_id;
    const char *serial;
    bool revoked;
    struct text_list same_key_versions; /* unexpired and not revoked, without this one */
    struct text_list same_key_serials;
};

/* From the columns version_id, serial_number, revoked, same_key_versions, same_key_serials. */
void revocable_from_row(TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                        struct revocable *ret_subject);

struct revoke_request {
    const struct revocable *subject;
    enum revocation_reason reason;
    int64_t invalidity_date; /* Unix seconds; 0: not given */
    bool speaks_for_key;     /* its holder asks, or an operator: a compromise is the key's */
    const char *actor;
    const char *actor_type; /* of the audit row: "System", "User", … */
    const char *source_ip;
    const char *request_id;
    const char *nonce; /* spent in the same commit; or NULL */
    int64_t nonce_expires;
};

/* One transaction: the revocation with its CRL entry, the certificate's state, marks for CRL and
 * OCSP, audit and notices. A compromised key is blocked, and every unexpired version of it is
 * revoked with this one, where the asker speaks for the key: an account does not, since the CSR
 * that it ordered with may be somebody else's. Afterwards the CRL job is woken, and the
 * web server of this host told, within 10 ms, what its kept OCSP answers now are.
 *
 * ALREADY_REVOKED: nothing changed, but the nonce is spent. ACME_BAD_NONCE: replay. DATABASE_BUSY:
 * what was read kept changing; a compromised key is blocked, nothing else changed. An uncertain
 * commit was looked after: after DATABASE_COMMIT_UNKNOWN nothing is known to have changed, and
 * asking again is safe. */
bool lifecycle_revoke(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                      const struct revoke_request *request, struct fault *fault);

/* After the commit of a revocation: wakes the CRL job and ocsp-refresh, and tells the web server of
 * this host as far as it listens within 10 ms. `refresh`: a text a revocation, "issuer serial
 * name-sha1 key-sha1 name-sha256 key-sha256". */
void revocation_announce(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                         const struct text_list *refresh);

#endif
