/* tests/bench/sql_flow.h: the statements of one order, as certctl-acme and acme-validate send them,
 * without anything around them. */
#ifndef CERTCTL_BENCH_SQL_FLOW_H
#define CERTCTL_BENCH_SQL_FLOW_H

#include <jansson.h>

#include "db/db.h"
#include "tests/bench/samples.h"

enum flow_statement {
    FLOW_ACCOUNT,
    FLOW_ORDER_NEW,
    FLOW_AUTHZ,
    FLOW_CHALLENGE,
    FLOW_CLAIM,
    FLOW_RESULT,
    FLOW_ORDER_READ,
    FLOW_FINALIZE,
    FLOW_COMMIT,
    FLOW_CERTIFICATE,
    FLOW_STATEMENTS
};
extern const char *const flow_names[FLOW_STATEMENTS];

/* What an order is made of besides its own ids: taken from one that the site issued. */
struct flow_model {
    bool challenge;
    const char *profile;
    const char *mode;
    const char *issuer;
    const char *ca;
    const char *owner;
    const char *team;
    const char *policy;
    const char *chain_pem;
    const char *csr_pem;
    const char *details;
    const char *thumbprint;
    int64_t profile_version;
    int64_t ca_version;
    struct text_list accounts;
};

void flow_model_read(TALLOC_CTX *ctx, json_t *json, struct flow_model *model);

/* One connection, used by one thread. */
struct flow {
    const struct flow_model *model;
    struct db *db;
    const char *account;
    struct samples samples[FLOW_STATEMENTS];
};

struct flow_order {
    const char *account;
    char *order_id;
    char *authz_id;
    char *challenge_id;
    int64_t began_us;
};

/* new-order, and in challenge mode the authorization and the answer to its challenge. On ctx. */
struct flow_order *flow_order_begin(TALLOC_CTX *ctx, struct flow *flow);
/* The name that it orders. */
const char *flow_order_name(TALLOC_CTX *ctx, const struct flow_order *order);
/* The one issuance of it: what finalize reads with the account, and the commit. */
struct rows *flow_finalize_read(TALLOC_CTX *ctx, struct flow *flow, const struct flow_order *order);
void flow_commit(struct flow *flow, const struct flow_order *order, const char *certificate);
/* In challenge mode one poll; then finalize and the certificate. */
void flow_order_end(struct flow *flow, const struct flow_order *order);
/* What acme-validate does: claims, and stores that each proof was good. taken(arg, challenge_id)
 * after each. How many; 0 where there was nothing. */
size_t flow_validate(struct flow *flow, void (*taken)(void *arg, const char *challenge_id),
                     void *arg);

#endif
