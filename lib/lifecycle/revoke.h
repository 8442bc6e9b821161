/* lib/lifecycle/revoke.h: the one way to revoke (04 section 8), for ACME and REST. Whoever calls
 * has settled who may; state and completeness are settled here. */
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

/* What goes along with the version that is named; expired ones never do. */
enum revoke_scope {
    REVOKE_VERSION,      /* nothing */
    REVOKE_LATEST,       /* nothing, and it must be its certificate's newest */
    REVOKE_ALL_VERSIONS, /* the other versions of its certificate */
    REVOKE_SAME_KEY,     /* the other versions of its key, whosever they are */
};
/* "latest", "all_versions", "same_key": those that a client may ask for. */
bool revoke_scope_from_text(const char *text, enum revoke_scope *ret_scope) MUST_USE;

/* A version of ours, borrowed from the row that it was read from. */
struct revocable {
    const char *certificate_id;
    const char *version_id;
    const char *serial;
    bool revoked;
    int64_t revoked_at;        /* of one that is revoked, as the next */
    const char *reason;        /* as a text */
    struct text_list others;   /* versions that go along */
    struct text_list serials;  /* theirs */
    struct text_list siblings; /* serials of its certificate's other valid versions */
    const char *status;        /* of the certificate, as the next two */
    const char *profile_id;    /* or NULL */
    const char *issuer_id;
};

/* From a row of the view revocables, with its columns version_id, certificate_id, serial_number,
 * revoked, same_key_versions and same_key_serials; the rest stays empty. */
void revocable_from_row(TALLOC_CTX *ctx, const struct rows *rows, size_t row,
                        struct revocable *ret_subject);

struct revoke_request {
    const struct revocable *subject;
    const char *serial; /* the version that was asked for; NULL: the newest, whichever that is */
    enum revoke_scope scope;
    enum revocation_reason reason;
    int64_t invalidity_date; /* Unix seconds; 0: not given */
    bool speaks_for_key;     /* its holder asks, or an operator: a compromise is the key's */
    bool once;               /* it must not be revoked yet, whatever else there were to do */
    const char *actor;
    const char *actor_type; /* of the audit row: "System", "User", … */
    const char *source_ip;
    const char *request_id;
    const char *nonce; /* spent in the same commit; or NULL */
    int64_t nonce_expires;
};

struct revoked {
    struct text_list serials;     /* revoked now */
    struct text_list still_valid; /* of the same certificate */
};

/* The version to revoke with what would go along; of the request, scope, reason, serial and
 * speaks_for_key count. RESOURCE_UNKNOWN: no such certificate. version_id NULL: it has none, or
 * none of that serial. */
bool lifecycle_revocable(TALLOC_CTX *ctx, struct db *db, const struct revoke_request *request,
                         const char *certificate_id, struct revocable *ret_subject,
                         struct fault *fault);

/* One transaction: the revocation with its CRL entry, the certificate's state, marks for CRL and
 * OCSP, audit and notices. A compromised key is blocked, and every unexpired version of it is
 * revoked with this one, where the asker speaks for the key: an account does not, since the CSR
 * that it ordered with may be somebody else's. Unless it must be `once`, one that was revoked for
 * another reason becomes compromised, and the time of its revocation stays. Afterwards the CRL job
 * is woken, and the web server of this host told, within 10 ms, what its kept OCSP answers now are.
 *
 * ALREADY_REVOKED: nothing changed, but the nonce is spent. ACME_BAD_NONCE: replay. DATABASE_BUSY:
 * what was read kept changing; a compromised key is blocked, nothing else changed. An uncertain
 * commit was looked after: after DATABASE_COMMIT_UNKNOWN nothing is known to have changed, and
 * asking again is safe. ret_done may be NULL. */
bool lifecycle_revoke(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                      const struct revoke_request *request, struct revoked *ret_done,
                      struct fault *fault);

/* Ends a certificateHold of the version of that serial, NULL: of the newest, and tells as above.
 * Actor, address and ids are the request's. RESOURCE_UNKNOWN: no such certificate or version.
 * RESOURCE_STATE: it is not revoked, or for another reason. */
bool lifecycle_unrevoke(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                        const struct revoke_request *request, const char *certificate_id,
                        struct fault *fault);

/* After the commit of a revocation: wakes the CRL job and ocsp-refresh, and tells the web server of
 * this host as far as it listens within 10 ms. `refresh`: a text a revocation, "issuer serial
 * name-sha1 key-sha1 name-sha256 key-sha256". */
void revocation_announce(TALLOC_CTX *ctx, struct db *db, const struct settings *settings,
                         const struct text_list *refresh);

#endif
