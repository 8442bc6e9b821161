/* tests/bench/connection.h: connections as the users that the product's processes have. */
#ifndef CERTCTL_BENCH_CONNECTION_H
#define CERTCTL_BENCH_CONNECTION_H

#include "db/db.h"

/* root becomes that user, as whom PostgreSQL and the signer then see it; nobody else changes. NULL:
 * root again. All threads change together. */
void become(const char *user);
/* A connection of this role, open; root is root again afterwards. */
struct db *connection_as(TALLOC_CTX *ctx, const char *url, const char *user, const char *role);

#endif
