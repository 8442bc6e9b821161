/* fcgi/pki/pki.h: certctl-pki, which says what is revoked (04 sections 9 and 10). */
#ifndef CERTCTL_FCGI_PKI_PKI_H
#define CERTCTL_FCGI_PKI_PKI_H

#include "db/db.h"
#include "pki/ocsp.h"
#include "web/serve.h"

#include "counters.h"
#include "limit.h"
#include "row_cache.h"

/* A CA that may be asked about. */
struct ca {
    const char *id;
    const char *issuer_id;
    const char *intermediate_id; /* or NULL */
    const char *parent_id;       /* CA that issued its certificate, or NULL: a root, or not ours */
    const struct certificate *certificate;
    struct ocsp_ca_hashes hashes;
    bool issues; /* signs the issuer's leaves now */
    bool revoked;
    int64_t revoked_at;
    enum revocation_reason reason;
    const char *key_path; /* of this host's responder, as the table of responders has it; or NULL */
    struct ocsp_signer *signer; /* NULL: there is none that can be used now */
};

/* What a worker remembers, a second at most: the state of certificates is asked each time. */
struct ca_table {
    struct ca **items;
    size_t count;
    int64_t read_us;
};

struct pki_worker {
    const struct settings *settings;
    struct ca_table table;
    struct limit limit;
    struct row_cache rows;
    struct counters counters;
    int64_t unknown_second; /* monotonic */
    unsigned unknown_count; /* answers "unknown" in it */
};

static inline struct pki_worker *pki_worker_of(const struct request *request)
{
    return request->worker;
}

/* Reads CAs and responders where the last reading is older than a second. */
bool ca_table_refresh(struct request *request, struct fault *fault);
/* Whether a path that bears this id means that CA. */
bool ca_is_named(const struct ca *ca, const char *id);

/* The handlers. */
bool show_ocsp_post(struct request *request, struct response *response, struct fault *fault);
bool show_ocsp_get(struct request *request, struct response *response, struct fault *fault);
bool show_ocsp_nothing(struct request *request, struct response *response, struct fault *fault);
bool show_crl(struct request *request, struct response *response, struct fault *fault);

/* ISSUER_UNAVAILABLE where the issuer exists and signs nothing itself, else RESOURCE_UNKNOWN.
 * Returns false. */
bool issuer_refuse(struct request *request, const char *id, const char *what, struct fault *fault);

/* Refusals in OCSP's words or JSON's; refuse.c. */
void pki_refuse(struct request *request, struct response *response, const struct fault *fault);

#endif
