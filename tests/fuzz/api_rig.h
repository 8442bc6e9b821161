/* tests/fuzz/api_rig.h: the responder of the REST API without web server and database. */
#ifndef CERTCTL_TESTS_FUZZ_API_RIG_H
#define CERTCTL_TESTS_FUZZ_API_RIG_H

#include "../unit/web/rig.h"
#include "fake_db.h"

/* The key whose digest api_rig_new enters as column "key_hash". */
#define API_RIG_KEY "cck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"

/* What the database answers, borrowed for as long as the rig serves. */
struct rig *api_rig_new(TALLOC_CTX *ctx, struct fake_column *columns, size_t count);
/* Each column of this name. */
void api_rig_column(struct fake_column *columns, size_t count, const char *name, const char *value);
/* Serves, and asserts what holds of every answer. */
void api_rig_serve(struct rig *rig);

#endif
