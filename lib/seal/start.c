/* lib/seal/start.c: a process without a passphrase does not start over a database that has
 * connectors' secrets (04 section 15.1, 06 section 15.2). */
#include "core/auto.h"

#include "seal/seal.h"

#include "core/banned.h"

STATEMENT(seal_needed, "SELECT seal_needed() AS needed");

bool seal_start_check_on(struct db *db, const struct settings *settings, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (settings->config_encryption_key)
        return true;
    struct rows *rows = db_query_params(scratch, db, &seal_needed, fault, NULL, 0);
    if (!rows)
        return false;
    return !row_bool(rows, 0, "needed") ||
           fault_set(fault, SEAL_KEY_MISSING, "CERTCTL_CONFIG_ENCRYPTION_KEY",
                     "crypto: CERTCTL_CONFIG_ENCRYPTION_KEY is required to encrypt or decrypt "
                     "sensitive config: the database holds secrets of connectors");
}

bool seal_start_check(const struct settings *settings, const char *role, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct db_options options = {
        .url = settings->database_url,
        .role = role,
        .application_name = role,
        .statement_timeout_ms = 5000,
        .unnamed_statements = true,
    };

    if (settings->config_encryption_key)
        return true;
    return seal_start_check_on(db_new(scratch, &options), settings, fault) ||
           fault->reason != SEAL_KEY_MISSING;
}
