/* admin/reseal.c: certctl-admin reseal: secrets under the current passphrase (04 section 15.4).
 *
 * New blobs are made while nothing is locked, since one takes 0.2 s. A short transaction writes
 * a batch of them, each only where the old blob still lies, and says so in the audit log. So a kill
 * loses a batch of work and no secret, the next run finds what is left, and a row that somebody
 * wrote meanwhile is left to him: he sealed it under the current passphrase. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/id.h"
#include "core/macro.h"
#include "core/memory.h"
#include "core/text.h"
#include "seal/seal.h"

#include "admin.h"

#include "core/banned.h"

#define BATCH  10 /* as the LIMIT says: a batch takes two seconds, and a kill costs no more */
#define CANARY "certctl"

/* $1 the last key of the batch before, or ''; $1 key, $2 old blob, $3 new blob. */
#define COLUMN(table, key, column)                                                                 \
    {                                                                                              \
        table, table "." column,                                                                   \
            {"reseal_read_" table "_" column,                                                      \
             "SELECT (" key ") COLLATE \"C\" AS key, " column " AS blob FROM " table               \
             " WHERE " column " IS NOT NULL AND (" key                                             \
             ") COLLATE \"C\" > $1::text ORDER BY 1 LIMIT 10"},                                    \
        {                                                                                          \
            "reseal_write_" table "_" column,                                                      \
                "UPDATE " table " SET " column " = $3::bytea WHERE (" key                          \
                ") = $1::text AND " column " = $2::bytea"                                          \
        }                                                                                          \
    }

static const struct column {
    const char *table;
    const char *name;
    struct statement read;
    struct statement write;
} columns[] = {
    COLUMN("crypto_params", "one::text", "canary"),
    COLUMN("acme_nonce_keys", "key_id::text", "secret_enc"),
    COLUMN("acme_eab_keys", "kid::text", "hmac_enc"),
    COLUMN("issuers", "id::text", "encrypted_config"),
    COLUMN("issuer_accounts", "issuer_id || ' ' || directory_url", "key_sealed"),
    COLUMN("issuer_accounts", "issuer_id || ' ' || directory_url", "eab_hmac_sealed"),
    COLUMN("issuer_tokens", "issuer_id::text", "token_sealed"),
    COLUMN("deployment_targets", "id::text", "encrypted_config"),
    COLUMN("oidc_providers", "id::text", "client_secret_encrypted"),
    COLUMN("session_signing_keys", "id::text", "key_material_encrypted"),
    COLUMN("scep_intune_tokens", "path_id || ' ' || scope", "token_enc"),
    COLUMN("certificate_version_keys", "version_id::text", "key_enc"),
};

/* No STATEMENT: the list of this binary is that of role certctl_ca, which must not reach these. */
static const struct statement others[] = {
    {"reseal_become_owner", "SET ROLE certctl_owner"                               },
 /* $1 audit id, $2 actor, $3 table, $4 how many. */
    {"reseal_told",
     "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
     "details) VALUES ($1::text, $2::text, 'User', 'secret_resealed', 'table', $3::text, "
     "jsonb_build_object('table', $3::text, 'count', $4::bigint))"                 },
    {"reseal_canary",       "SELECT canary FROM crypto_params"                     },
    {"reseal_canary_new",
     "INSERT INTO crypto_params (canary) VALUES ($1::bytea) ON CONFLICT DO NOTHING"},
};
enum other { BECOME_OWNER, TOLD, CANARY_READ, CANARY_NEW };

struct reseal {
    struct admin *admin;
    struct seal_passphrases passphrases;
    bool dry_run;
};

struct counts {
    int64_t done;
    int64_t kept;    /* under the current passphrase already */
    int64_t moved;   /* written by somebody else meanwhile */
    int64_t refused; /* opens under no passphrase: untouched */
};

/* One row of a batch: its new blob, or none. */
struct renewed {
    const char *key;
    struct bytes old;
    struct bytes *sealed;
};

static struct statement check_list[2 * ARRAY_SIZE(columns) + ARRAY_SIZE(others) - TOLD];

void reseal_statements_add(struct db *db)
{
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        check_list[count++] = columns[i].read;
        check_list[count++] = columns[i].write;
    }
    for (size_t i = TOLD; i < ARRAY_SIZE(others); i++)
        check_list[count++] = others[i];
    db_statements_add(db, check_list, count);
}

static bool become_owner(struct admin *admin, struct fault *fault)
{
    return db_connect(admin->db, fault) && db_pin(admin->db, fault) &&
           db_query_params(admin->ctx, admin->db, &others[BECOME_OWNER], fault, NULL, 0);
}

/* NULL: the row stays as it is. A blob is written only after it was opened again. */
static struct bytes *renew(const struct reseal *reseal, TALLOC_CTX *ctx, struct bytes old,
                           struct fault *fault)
{
    const struct seal_passphrases current = {reseal->passphrases.current, NULL};
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct secret *secret = seal_open(scratch, &reseal->passphrases, old, fault);

    if (!secret)
        return NULL;
    const struct bytes plain = {secret->data, secret->size};
    struct bytes *sealed = seal_write(scratch, &current, plain, fault);
    const struct secret *again = sealed ? seal_open(scratch, &current, *sealed, fault) : NULL;
    if (!again)
        return NULL;
    if (!bytes_equal_secret(plain, (struct bytes){again->data, again->size}))
        return fault_set(fault, INTERNAL, NULL, "a blob does not hold what was sealed");
    return talloc_steal(ctx, sealed);
}

static void prepare(const struct reseal *reseal, TALLOC_CTX *ctx, const struct column *column,
                    struct renewed *row, struct counts *counts)
{
    struct fault fault = {0};

    if (seal_is_current(&reseal->passphrases, row->old)) {
        counts->kept++;
        return;
    }
    if (reseal->dry_run) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        if (seal_open(scratch, &reseal->passphrases, row->old, &fault))
            counts->done++;
    } else {
        row->sealed = renew(reseal, ctx, row->old, &fault);
    }
    if (!fault.reason)
        return;
    counts->refused++;
    (void)fprintf(stderr, "certctl-admin: %s of %s: %s\n", column->name, text_quote(ctx, row->key),
                  fault.detail);
}

static bool write_row(const struct reseal *reseal, TALLOC_CTX *ctx, const struct column *column,
                      const struct renewed *row, struct counts *counts, struct fault *fault)
{
    if (!row->sealed)
        return true;
    struct rows *rows = db_query(ctx, reseal->admin->db, &column->write, fault, TEXT(row->key),
                                 BYTEA(row->old), BYTEA(*row->sealed));
    if (!rows)
        return false;
    if (rows->affected == 1)
        counts->done++;
    else
        counts->moved++;
    return true;
}

static bool write_batch(const struct reseal *reseal, TALLOC_CTX *ctx, const struct column *column,
                        const struct renewed *rows, size_t count, struct counts *counts,
                        struct fault *fault)
{
    struct db *db = reseal->admin->db;
    const int64_t before = counts->done;

    if (!db_begin(db, fault))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!write_row(reseal, ctx, column, &rows[i], counts, fault)) {
            db_rollback(db);
            return false;
        }
    if (counts->done > before && !db_query(ctx, db, &others[TOLD], fault,
                                           TEXT(id_new(ctx, "audit")), TEXT(reseal->admin->actor),
                                           TEXT(column->table), INTEGER(counts->done - before))) {
        db_rollback(db);
        return false;
    }
    return db_commit(db, fault);
}

/* *after moves to the last key; *ret_more: there may be another batch. */
static bool reseal_batch(const struct reseal *reseal, const struct column *column, char **after,
                         bool *ret_more, struct counts *counts, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct renewed renewed[BATCH] = {0};
    struct rows *rows = db_query(ctx, reseal->admin->db, &column->read, fault, TEXT(*after));

    if (!rows)
        return false;
    for (size_t i = 0; i < rows->count; i++) {
        renewed[i].key = row_text(rows, i, "key");
        renewed[i].old = row_bytes(ctx, rows, i, "blob");
        prepare(reseal, ctx, column, &renewed[i], counts);
    }
    *ret_more = rows->count == BATCH;
    if (rows->count > 0)
        *after = mem_text(reseal->admin->ctx, renewed[rows->count - 1].key);
    return rows->count == 0 || reseal->dry_run ||
           write_batch(reseal, ctx, column, renewed, rows->count, counts, fault);
}

static bool reseal_column(const struct reseal *reseal, const struct column *column,
                          struct counts *counts, struct fault *fault)
{
    char *after = mem_text(reseal->admin->ctx, "");
    bool more = true;

    while (more)
        if (!reseal_batch(reseal, column, &after, &more, counts, fault))
            return false;
    if (counts->done + counts->kept + counts->moved + counts->refused > 0)
        (void)printf("%s\t%s %" PRId64 "\tcurrent %" PRId64 "\tchanged meanwhile %" PRId64
                     "\tunreadable %" PRId64 "\n",
                     column->name, reseal->dry_run ? "would re-seal" : "re-sealed", counts->done,
                     counts->kept, counts->moved, counts->refused);
    return true;
}

/* The canary is a text that everybody knows: whoever opens it has the database's passphrase. Made
 * where there is none. */
bool reseal_canary_check(struct admin *admin, struct fault *fault)
{
    const struct seal_passphrases held = seal_passphrases_of(admin->settings);
    const struct seal_passphrases *passphrases = &held;
    struct rows *rows = db_query_params(admin->ctx, admin->db, &others[CANARY_READ], fault, NULL,
                                        0);

    if (!rows)
        return false;
    if (rows->count > 0) {
        if (seal_open(admin->ctx, passphrases, row_bytes(admin->ctx, rows, 0, "canary"), fault))
            return true;
        if (fault->reason == SEAL_UNREADABLE)
            fault_set(fault, SEAL_UNREADABLE, NULL, "encryption key does not match this database");
        return false;
    }
    const struct bytes *sealed = seal_write(admin->ctx, passphrases, bytes_of_text(CANARY), fault);
    return sealed && db_query(admin->ctx, admin->db, &others[CANARY_NEW], fault, BYTEA(*sealed));
}

static int reseal_check_verb(struct admin *admin, int argc, char **argv)
{
    const struct seal_passphrases passphrases = seal_passphrases_of(admin->settings);
    struct fault fault = {0};

    if (argc != 1)
        return admin_misused(reseal_verbs, reseal_verbs_count, argv[0]);
    if (!become_owner(admin, &fault) || !reseal_canary_check(admin, &fault))
        return admin_failed(&fault);
    (void)printf("the passphrase is this database's%s\n",
                 passphrases.previous ? "; a previous one is set as well" : "");
    return EX_OK;
}

static int reseal_all_verb(struct admin *admin, int argc, char **argv)
{
    const struct reseal reseal = {.admin = admin,
                                  .passphrases = seal_passphrases_of(admin->settings),
                                  .dry_run = argc == 2 && text_equal(argv[1], "--dry-run")};
    struct fault fault = {0};
    int64_t refused = 0;

    if (argc != 1 && !reseal.dry_run)
        return admin_misused(reseal_verbs, reseal_verbs_count, argv[0]);
    /* A passphrase that is not this database's would find every row unreadable, one by one. */
    if (!become_owner(admin, &fault) || !reseal_canary_check(admin, &fault))
        return admin_failed(&fault);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        struct counts counts = {0};
        if (!reseal_column(&reseal, &columns[i], &counts, &fault))
            return admin_failed(&fault);
        refused += counts.refused;
    }
    return refused == 0 ? EX_OK : 1;
}

const struct verb reseal_verbs[] = {
    {"reseal", "--all",   "[--dry-run]",
     "seal all secrets anew under CERTCTL_CONFIG_ENCRYPTION_KEY; restartable",            reseal_all_verb  },
    {"reseal", "--check", "",            "say whether the passphrase is this database's", reseal_check_verb},
};
const size_t reseal_verbs_count = ARRAY_SIZE(reseal_verbs);
