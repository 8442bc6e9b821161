/* jobs/ca/carry_out.h: an approved CA request of any kind but bootstrap is carried out. */
#ifndef CERTCTL_JOBS_CA_CARRY_OUT_H
#define CERTCTL_JOBS_CA_CARRY_OUT_H

#include "jobs/ca/store.h"

/* What was asked, or the fault that ends the request. Keys are made before the one transaction that
 * stores everything; a run that is killed in between leaves a key that no row names, and the next
 * run does the request anew. */
bool ca_carry_out(struct job_run *run, const char *request_id, const struct ca_request *request,
                  const struct ca_order *order, struct fault *fault);

/* A CA whose key we hold, as its rows have it. */
struct held_ca {
    const char *id;
    const char *intermediate_id; /* NULL: the one CA of its issuer */
    const char *parent_id;       /* NULL: a top */
    const char *name;
    const char *state; /* the row's of the hierarchy, where there is one */
    const char *key_ref;
    const char *algorithm;
    const char *chain_pem;
    const char *ocsp_url; /* where it is not that of the site; NULL */
    struct certificate *certificate;
};

/* RESOURCE_UNKNOWN when the request's issuer has no such CA. */
bool ca_held(const struct ca_work *work, const char *id, struct held_ca *ret_ca,
             struct fault *fault);
/* RESOURCE_STATE unless it may have another CA below it now. */
bool ca_held_may_be_parent(const struct held_ca *parent, struct fault *fault);
/* In the transaction: it still is active, and stays so until the commit. */
bool ca_parent_stays(const struct ca_work *work, const char *parent_id, struct fault *fault);
/* The id of a CA that is in no hierarchy (04 section 3.1). */
const char *ca_single_id(const struct ca_work *work, const struct certificate *certificate);
/* What its signer knows about it now; the caller's reference. ca_facts.c */
json_t *ca_facts_now(const struct ca_work *work, const struct held_ca *ca, struct fault *fault);
/* By the order's URLs, or the CA's own of its responder, and the certificate's own constraints. A
 * CA above others signs no leaf. One that takes another's place has that one's facts. */
bool ca_give_facts(const struct ca_work *work, const struct ca_order *order,
                   const struct new_ca *ca, bool signs_leaves, struct signer_reply *ret_reply,
                   struct fault *fault);

/* change.c */
bool ca_import(const struct ca_work *work, const struct ca_order *order, struct fault *fault);
bool ca_renew(const struct ca_work *work, const struct ca_order *order, struct fault *fault);
bool ca_retire(const struct ca_work *work, const struct ca_order *order, struct fault *fault);
/* facts.c */
bool ca_change_facts(const struct ca_work *work, const struct ca_order *order, struct fault *fault);

#endif
