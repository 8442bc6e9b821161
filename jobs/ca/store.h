/* jobs/ca/store.h: what all CA requests share: asking the signer, and the rows of a CA. */
#ifndef CERTCTL_JOBS_CA_STORE_H
#define CERTCTL_JOBS_CA_STORE_H

#include "lifecycle/ca_order.h"
#include "signer/client.h"

#include "jobs/run/runner.h"

#define CA_ACTOR "certctl-job-ca-hierarchy"

/* One request being carried out. */
struct ca_work {
    TALLOC_CTX *ctx;
    struct job_run *run;
    const char *request_id;
    const struct ca_request *request;
};

struct new_ca {
    const char *id;
    const char *name;
    const char *algorithm;
    const char *driver;
    const char *parent_id;      /* row of the hierarchy; NULL: a top */
    const char *parent_key_ref; /* what signs; NULL: itself */
    const char *parent_chain;   /* PEM from the parent upwards; NULL: none */
    const char *key_ref;        /* NULL until the signer has made it */
    struct certificate *certificate;
    const char *pem;
    const char *chain_pem;
    const char *ocsp_url; /* of what it signs, where the request said so; NULL */
    json_t *metadata;
    const struct ca_before *before; /* whose place it takes, with what its signer knows; or NULL */
};

bool ca_ask(const struct ca_work *work, const struct signer_request *request,
            struct signer_reply *ret_reply, struct fault *fault);
bool ca_make_key(const struct ca_work *work, const char *hint, struct new_ca *ca,
                 struct bytes *ret_spki, struct fault *fault);
/* Has it signed, by the parent's key or its own, and holds the whole path against RFC 5280 before
 * anything is stored. */
bool ca_certify(const struct ca_work *work, const struct ca_wish *wish, struct new_ca *ca,
                struct fault *fault);
bool ca_write_facts(const struct ca_work *work, const char *key_ref, const char *facts,
                    struct signer_reply *ret_reply, struct fault *fault);
/* Best effort: a key that stays is named by no row. */
void ca_forget(const struct ca_work *work, const struct new_ca *ca);

/* `store` in one transaction, alone among the requests of its issuer. */
bool ca_in_transaction(const struct ca_work *work,
                       bool (*store)(const struct ca_work *work, void *arg, struct fault *fault),
                       void *arg, struct fault *fault);
/* RESOURCE_CONFLICT when the issuer has an active CA. */
bool ca_none_active(const struct ca_work *work, struct fault *fault);
bool ca_set_tree(const struct ca_work *work, struct fault *fault);
bool ca_store_intermediate(const struct ca_work *work, const struct new_ca *ca,
                           struct fault *fault);
/* With `in_tree` the row of the hierarchy has the same id. */
bool ca_store_instance(const struct ca_work *work, const struct new_ca *ca, bool in_tree,
                       struct fault *fault);
/* NULL for what there is none of. RESOURCE_STATE: the request was ended meanwhile. */
bool ca_store_done(const struct ca_work *work, const char *intermediate_id, const char *key_ref,
                   const char *result, struct fault *fault);

/* An audit row; at most two a request, in one statement. */
struct ca_event {
    const char *action;
    const struct new_ca *ca;
    const char *state;
    const char *note;      /* or NULL */
    const json_t *changes; /* what was and what is, or NULL */
};
bool ca_store_audit(const struct ca_work *work, const struct ca_event *first,
                    const struct ca_event *second, struct fault *fault);
/* An UPDATE that must find its one row: else RESOURCE_STATE with these words. */
bool ca_touched_one(const struct rows *rows, const char *otherwise, struct fault *fault);

#endif
