/* lib/lifecycle/ca_order.h: CA requests of all kinds but bootstrap, as their approver and their job
 * see them (04 sections 3.2 to 3.4 and 5, 00 decision 52). No database in here. */
#ifndef CERTCTL_LIFECYCLE_CA_ORDER_H
#define CERTCTL_LIFECYCLE_CA_ORDER_H

#include "lifecycle/ca_request.h"
#include "pki/certificate.h"
#include "pki/csr.h"

/* ca_requests.kind. */
enum ca_order_kind {
    CA_SELF_SIGNED = 1, /* the one CA of an issuer, which signs leaves itself */
    CA_CREATE_CHILD = 2,
    CA_CSR = 4, /* a key and a request for a CA elsewhere to certify */
    CA_IMPORT = 8,
    CA_SIGN_CSR = 16, /* a CA elsewhere asks one of ours */
    CA_RENEW = 32,    /* the same CA with a new key; the old one is retiring */
    CA_RETIRE = 64,
    CA_FACTS = 128, /* what the signer knows about it */
};

/* What a body may say; a kind has its own members, all others are refused. */
struct ca_order {
    enum ca_order_kind kind;
    const char *name; /* of the row; else the common name */
    const char *common_name;
    const char *organization;
    struct text_list organizations; /* create_child: more of the subject, an RDN each */
    struct text_list organizational_units;
    struct text_list countries; /* two letters */
    struct text_list localities;
    struct text_list provinces;
    const char
        *ocsp_responder_url; /* of what the CA signs, in place of ocsp_urls; may hold "{ca}" */
    json_t *metadata;        /* of the row: texts by name; borrowed from the body */
    const char *algorithm;
    const char *driver;
    int64_t days;
    int64_t path_len;    /* -1: as the parent allows */
    const char *ca_id;   /* the parent, or the CA that is renewed, retired or changed */
    const char *key_ref; /* import */
    const char *chain;   /* import: PEM, the CA first, then its parents */
    const char *csr;     /* sign_csr: PEM */
    bool tree;           /* import: the root of a hierarchy, which signs no leaves */
    bool confirm;        /* retire: for good */
    json_t *change;      /* facts: see ca_facts.h; borrowed from the body */
    struct text_list permitted_dns;
    struct text_list excluded_dns;
    struct text_list ocsp_urls; /* with "{ca}", as in a bootstrap */
    struct text_list ca_issuers_urls;
    struct text_list crl_urls;
};

/* 0 when there is none of that name. */
enum ca_order_kind ca_order_kind_from_text(const char *text);
const char *ca_order_kind_text(enum ca_order_kind kind);

/* INPUT_INVALID names the member: missing, unknown in this kind, or broken. Texts hang on ctx or on
 * the body. */
bool ca_order_from_body(TALLOC_CTX *ctx, const char *kind, json_t *body, struct ca_order *ret_order,
                        struct fault *fault) MUST_USE;
/* The caller's reference. Members that are not the kind's are left out. */
json_t *ca_order_to_body(const struct ca_order *order) MUST_USE;

/* The three lists of URLs, by ca_add_urls. */
void ca_order_urls(TALLOC_CTX *ctx, const char *base_url, const char *issuer_id,
                   struct ca_order *order);

/* The subject of a new CA: country, province, locality, organization, unit, common name. */
struct ca_wish ca_order_wish(TALLOC_CTX *ctx, const struct ca_order *order, struct bytes spki,
                             int64_t now_s, int64_t backdate_s);

/* What the facts file of a CA is made of. */
struct ca_facts_wish {
    const char *ca_id;
    struct bytes certificate_der;
    int64_t max_leaf_days;
    bool signs_leaves; /* else no EKU is allowed, so no leaf is */
    struct text_list permitted_dns;
    struct text_list excluded_dns;
    struct text_list ocsp_urls;
    struct text_list ca_issuers_urls;
    struct text_list crl_urls;
    const struct ca_before *before; /* whose place it takes, so all but URLs is as there; or NULL */
};
/* JSON on ctx. */
char *ca_facts_text(TALLOC_CTX *ctx, const struct ca_facts_wish *wish);

/* The certificates of a PEM file, at most 8, on ctx. CERTIFICATE_MALFORMED. */
bool ca_chain_read(TALLOC_CTX *ctx, const char *pem, struct certificate ***ret_chain,
                   size_t *ret_count, struct fault *fault);
/* 04 section 3.2, steps 3 to 5 and 9, room for what the first signs, then RFC 5280 section 6 with
 * the last of the chain as the trust anchor: each refusal names what is wrong with which
 * certificate. INPUT_INVALID. */
bool ca_chain_check(struct certificate *const *chain, size_t count, int64_t now_s,
                    struct fault *fault);
/* Chains that clients may have in place of a CA's own. */
#define CA_ALTERNATES_MAX 8
/* Whether a chain serves what `ca` signs: it begins with a certificate of its subject, key and key
 * identifier, its own or another CA's for it, and is good by ca_chain_check. INPUT_INVALID. */
bool ca_chain_serves(const struct certificate *ca, struct certificate *const *chain, size_t count,
                     int64_t now_s, struct fault *fault);
/* Whether a client that gets the one gets the other: roots are not sent. */
bool ca_chain_same(struct certificate *const *one, size_t one_count,
                   struct certificate *const *other, size_t other_count);
/* A root as 04 section 5.3 wants it: a CA, signed by itself. INPUT_INVALID. */
bool ca_root_check(const struct certificate *certificate, struct fault *fault);
/* Path length and name constraints of a child, cut to its parent's (04 section 5.3). INPUT_INVALID.
 * The lists hang on ctx. */
bool ca_fit_below(TALLOC_CTX *ctx, const struct certificate *parent, struct ca_wish *wish,
                  struct fault *fault);
/* RESOURCE_STATE unless a CA in that state may have another one below it now. */
bool ca_may_be_parent(const struct certificate *certificate, const char *state, int64_t now_s,
                      struct fault *fault);
/* The certificate's nameConstraints as text (pki/constraint.h), in which directory and other names
 * have none; empty lists where there are none. */
void ca_constraints_of(TALLOC_CTX *ctx, const struct certificate *certificate,
                       struct text_list *ret_permitted, struct text_list *ret_excluded);
/* The subject as typed RDNs, in order. INPUT_INVALID for string types that we do not write. */
bool ca_subject_read(TALLOC_CTX *ctx, const X509_NAME *name, struct rdn **ret_rdns,
                     size_t *ret_count, struct fault *fault);
/* A PEM request (RFC 7468) whose signature is good. INPUT_INVALID and the reasons of csr.h. */
struct csr *ca_csr_read(TALLOC_CTX *ctx, const char *pem, struct fault *fault);
/* Its subject as OpenSSL reads it; hangs on ctx. */
const X509_NAME *ca_csr_subject(TALLOC_CTX *ctx, const struct csr *csr);

#endif
