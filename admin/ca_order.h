/* admin/ca_order.h: what the verbs of certctl-admin ca share. */
#ifndef CERTCTL_ADMIN_CA_ORDER_H
#define CERTCTL_ADMIN_CA_ORDER_H

#include "lifecycle/ca_order.h"

#include "admin.h"

#define CA_SELF_SIGNED_DAYS 3650 /* 04 section 3.3 */

/* Inserts the request, wakes the job and prints the request's id; an exit status. ca_request.c */
int ca_submit(struct admin *admin, const char *kind, const char *issuer_id, json_t *body);
/* A PEM file as a text on the admin's ctx. "-": stdin, since as root we have become certctl-ca, who
 * may not read everything. INPUT_INVALID. ca_order.c */
bool ca_read_file(struct admin *admin, const char *path, const char **ret, struct fault *fault);
/* ASCII only: what a requester wrote must not move the cursor of whoever approves. ca_request.c */
const char *ca_shown(TALLOC_CTX *ctx, const json_t *value);
/* Whether the signer would take a change of its facts, and what changes, printed. ca_facts.c */
bool ca_facts_evidence(struct admin *admin, const struct ca_order *order, struct fault *fault);

#endif
