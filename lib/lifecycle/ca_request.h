/* lib/lifecycle/ca_request.h: what certctl-admin and certctl-job-ca-hierarchy must see alike: the
 * canonical fields of a CA request, their SHA-256, its approval on this host, and what the signer
 * is asked for (04 sections 3.3 and 5.2, 00 decision 52). No database in here. */
#ifndef CERTCTL_LIFECYCLE_CA_REQUEST_H
#define CERTCTL_LIFECYCLE_CA_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/fault.h"
#include "core/json.h"
#include "core/text.h"
#include "pki/compose.h"

/* The fields that an approval covers; borrowed. */
struct ca_request {
    const char *kind;
    const char *issuer_id;
    const char *requested_by;
    json_t *body;
};

/* One JSON object with sorted keys, compact, on ctx. Sorting makes it independent of what jsonb
 * does with the order of members. */
char *ca_request_canonical(TALLOC_CTX *ctx, const struct ca_request *request);
/* Lower-case hex of the SHA-256 of that, on ctx. */
char *ca_request_sha256(TALLOC_CTX *ctx, const struct ca_request *request);

/* Kind `bootstrap`: a root (path length 1) and an issuing CA below it (path length 0). In the URLs
 * "{ca}" stands for the id of the CA whose certificates bear them. */
struct ca_bootstrap {
    const char *root_common_name;
    const char *issuing_common_name;
    const char *organization; /* or NULL */
    const char *root_algorithm;
    const char *issuing_algorithm;
    const char *root_driver; /* the signer's key driver; NULL: file */
    const char *issuing_driver;
    int64_t root_days;
    int64_t issuing_days;
    struct text_list ocsp_urls;
    struct text_list ca_issuers_urls;
    struct text_list crl_urls;
};

#define CA_ROOT_DAYS    7300
#define CA_ISSUING_DAYS 1825
#define CA_DAYS_MAX     10950

/* Fills in the defaults. INPUT_INVALID names the member: unknown ones too, since whoever approves
 * must have seen all that counts. Texts hang on ctx or on the body. */
bool ca_bootstrap_from_body(TALLOC_CTX *ctx, json_t *body, struct ca_bootstrap *ret_bootstrap,
                            struct fault *fault) MUST_USE;
/* The caller's reference. */
json_t *ca_bootstrap_to_body(const struct ca_bootstrap *bootstrap) MUST_USE;

enum ca_place { CA_PLACE_ROOT, CA_PLACE_ISSUING };

/* What sign-ca is asked; arrays hang on ctx, the texts are the bootstrap's. */
struct ca_wish ca_bootstrap_wish(TALLOC_CTX *ctx, const struct ca_bootstrap *bootstrap,
                                 enum ca_place place, struct bytes spki, int64_t now_s,
                                 int64_t backdate_s);
/* The facts file of that key, JSON on ctx. The root may sign no leaf at all: it has no EKU. */
char *ca_bootstrap_facts(TALLOC_CTX *ctx, const struct ca_bootstrap *bootstrap, enum ca_place place,
                         const char *ca_id, struct bytes certificate_der, int64_t max_leaf_days);

/* For the bodies of other kinds (ca_order.c): at most 4 http URLs; a list into an object, an empty
 * one not at all. */
bool ca_urls_fit(const char *member, const struct text_list *urls, struct fault *fault);
void ca_set_texts(json_t *object, const char *name, const struct text_list *texts);

/* The URLs with the CA's id for "{ca}", on ctx. Lists and certificates that do not name it mean
 * another CA's, and would lead a client that checks this one astray: without `others` they are left
 * out. */
struct text_list ca_urls_named(TALLOC_CTX *ctx, const struct text_list *urls, bool others,
                               const char *ca_id);

/* What a CA's certificates say about where its CRL, certificate and OCSP responder are; "{ca}"
 * becomes its id when that is known. Adds nothing without a base URL. */
void ca_add_urls(TALLOC_CTX *ctx, const char *base_url, const char *issuer_id,
                 struct ca_bootstrap *ret_urls);

enum ca_approval {
    CA_APPROVAL_NONE,
    CA_APPROVAL_GIVEN,
    CA_APPROVAL_OTHER, /* given for other fields than these */
};

/* <state_dir>/ca-approvals/<request id>. Whoever may write there approves, so a directory or file
 * that others can write is refused (FILE_FAILED). */
bool ca_approval_read(const char *state_dir, const char *request_id, const char *sha256,
                      enum ca_approval *ret_approval, struct fault *fault) MUST_USE;
/* Whole or not at all, 0600, owned by the caller; makes the directory when it is missing. */
bool ca_approval_write(const char *state_dir, const char *request_id, const char *sha256,
                       struct fault *fault) MUST_USE;
/* Silent when there is none. */
void ca_approval_remove(const char *state_dir, const char *request_id);

#endif
