/* tests/fuzz/acme_rig.h: certctl-acme in memory, and a client that holds an account's key. */
#ifndef CERTCTL_TESTS_FUZZ_ACME_RIG_H
#define CERTCTL_TESTS_FUZZ_ACME_RIG_H

#include "core/bytes.h"
#include "web/web_private.h"

/* What the world is like when the request comes; bits. */
enum {
    WORLD_TRUSTS = 1,     /* the profile trusts accounts */
    WORLD_KNOWN_KEY = 2,  /* new-account: the key has an account */
    WORLD_BINDING = 4,    /* the profile wants an external account binding */
    WORLD_DECIDED = 8,    /* the order is valid, the certificate revoked */
    WORLD_BAD_NONCE = 16, /* the database refuses */
    WORLD_OWN_KEY = 32,   /* revoke-cert: jwk, not kid */
    WORLD_STALE = 64,     /* new-order, new-authz: the profile changes each time it was read */
};

struct acme_answer {
    struct response response;
    struct fault fault;
};

/* POST of `body`, as it is, to the path. */
struct acme_answer acme_rig_post(TALLOC_CTX *ctx, const char *path, unsigned world,
                                 struct bytes body);
/* POST of a JWS whose url, nonce, key and signature are right. */
struct acme_answer acme_rig_call(TALLOC_CTX *ctx, const char *path, bool by_jwk, unsigned world,
                                 struct bytes payload);
/* What must hold of every answer. */
void acme_rig_check(TALLOC_CTX *ctx, const struct acme_answer *answer);

#endif
