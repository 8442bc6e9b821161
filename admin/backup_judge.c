/* admin/backup_judge.c: whether a restored database is what its back-up says, and holds together:
 * schema, counts, CAs and their keys, the audit chain, each certificate (10 section 17). */
#include <openssl/x509.h>
#include <stdio.h>

#include "backup.h"
#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "pki/certificate.h"

#include "core/banned.h"

#define TOLD_MAX 100

const char *const backup_counts[BACKUP_COUNTS] = {"certificates", "revocations", "events"};

static const struct statement contents = {
    "judge_contents",
    "SELECT (SELECT max(version)::integer FROM schema_migrations WHERE version ~ '^[0-9]+$') AS "
    "schema, (SELECT count(*) FROM certificate_versions) AS certificates, (SELECT count(*) FROM "
    "certificate_revocations) AS revocations, (SELECT count(*) FROM audit_events) AS events, "
    "coalesce((SELECT jsonb_agg(jsonb_build_object('id', id, 'key_ref', key_ref, 'crl_number', "
    "crl_number) ORDER BY id) FROM ca_instances), '[]')::text AS cas"};
static const struct statement chain = {
    "judge_chain",
    "SELECT first_break_id, first_break_pos, row_count FROM audit_events_verify_chain()"};
static const struct statement keys = {
    "judge_keys", "SELECT id, key_ref FROM ca_instances WHERE state <> 'lost' ORDER BY id"};
static const struct statement versions = {
    "judge_versions",
    "SELECT v.id, v.serial_number, v.fingerprint_sha256, v.not_after, v.pem_chain, v.ca_id, "
    "c.cert_der, EXISTS (SELECT 1 FROM ca_instances i WHERE i.issuer_id = v.issuer_id) AS ours "
    "FROM certificate_versions v LEFT JOIN ca_instances c ON c.id = v.ca_id ORDER BY v.id"};

void judge_statements_add(struct db *db)
{
    db_statements_add(db, &contents, 1);
    db_statements_add(db, &chain, 1);
    db_statements_add(db, &keys, 1);
    db_statements_add(db, &versions, 1);
}

struct judge {
    TALLOC_CTX *ctx;
    struct set_reader *set;
    int64_t looked_at; /* versions */
    int64_t faults;
    const char *first; /* of them */
    struct certificate *ca;
    const char *ca_id; /* of `ca` */
};

static void __attribute__((format(printf, 2, 3)))
found(struct judge *judge, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const char *text = mem_vprintf(judge->ctx, format, args);
    va_end(args);
    if (judge->faults++ == 0)
        judge->first = text;
    if (judge->faults <= TOLD_MAX)
        (void)printf("fault\t%s\n", text);
}

static bool check_contents(struct judge *judge, struct db *db, struct fault *fault)
{
    const json_t *manifest = set_manifest(judge->set);
    const int64_t schema = json_integer_value(json_object_get(set_head(judge->set), "schema"));
    const struct rows *rows = db_query_params(judge->ctx, db, &contents, fault, NULL, 0);

    if (!rows)
        return false;
    if (row_integer(rows, 0, "schema") != schema)
        found(judge, "the head says schema %lld, the database is of %lld", (long long)schema,
              (long long)row_integer(rows, 0, "schema"));
    for (size_t i = 0; i < BACKUP_COUNTS; i++) {
        const int64_t said = json_integer_value(json_object_get(manifest, backup_counts[i]));
        if (row_integer(rows, 0, backup_counts[i]) != said)
            found(judge, "the manifest says %lld %s, the database has %lld", (long long)said,
                  backup_counts[i], (long long)row_integer(rows, 0, backup_counts[i]));
    }
    AUTO(json_t) *cas = json_loads(row_text(rows, 0, "cas"), 0, NULL);
    if (!json_equal(cas, json_object_get(manifest, "cas")))
        found(judge, "the manifest names other CAs, or CRL numbers, than the database has");
    return true;
}

static bool check_chain(struct judge *judge, struct db *db, struct fault *fault)
{
    const struct rows *rows = db_query_params(judge->ctx, db, &chain, fault, NULL, 0);

    if (!rows)
        return false;
    (void)printf("sealed events\t%lld\n", (long long)row_integer(rows, 0, "row_count"));
    if (row_integer(rows, 0, "first_break_pos") != -1)
        found(judge, "the audit chain is broken at %s",
              text_quote(judge->ctx, row_text(rows, 0, "first_break_id")));
    return true;
}

static bool has_entry(const struct judge *judge, const char *name)
{
    const json_t *entries = json_object_get(set_manifest(judge->set), "entries");

    for (size_t i = 0; i < json_array_size(entries); i++)
        if (text_equal(json_text_at(json_array_get(entries, i), "name"), name))
            return true;
    return false;
}

/* A token keeps its keys; of a file the key and what the signer knows belong together. */
static bool check_keys(struct judge *judge, struct db *db, struct fault *fault)
{
    const struct rows *rows = db_query_params(judge->ctx, db, &keys, fault, NULL, 0);

    for (size_t i = 0; rows && i < rows->count; i++) {
        const char *slash = strrchr(row_text(rows, i, "key_ref"), '/');
        if (text_starts(row_text(rows, i, "key_ref"), "pkcs11:") || !slash)
            continue;
        if (!has_entry(judge, mem_printf(judge->ctx, "ca/%s", slash + 1)))
            found(judge, "the key of CA %s is not in the file", row_text(rows, i, "id"));
        if (!has_entry(judge, mem_printf(judge->ctx, "ca/%s.facts", slash + 1)))
            found(judge, "the signer's facts of CA %s are not in the file",
                  row_text(rows, i, "id"));
    }
    return rows;
}

/* The CA of the row; most rows in a row have the same. NULL: it cannot be read. */
static const struct certificate *ca_of(struct judge *judge, const struct rows *row)
{
    const char *id = row_text(row, 0, "ca_id");
    struct fault ignored = {0};

    if (text_equal(judge->ca_id, id))
        return judge->ca;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    talloc_free(judge->ca); /* nothing where it is NULL */
    judge->ca = certificate_from_der(judge->ctx, row_bytes(scratch, row, 0, "cert_der"), &ignored);
    judge->ca_id = mem_text(judge->ctx, id);
    return judge->ca;
}

static const char *wrong_with_ca(struct judge *judge, const struct rows *row,
                                 const struct certificate *leaf)
{
    if (row_null(row, 0, "ca_id"))
        return row_bool(row, 0, "ours") ? "it names no CA, and its issuer has CAs" : NULL;
    if (row_null(row, 0, "cert_der"))
        return "it is of an unknown CA";
    const struct certificate *ca = ca_of(judge, row);
    EVP_PKEY *key = ca ? X509_get0_pubkey(ca->x509) : NULL;
    if (!key)
        return "the certificate of its CA cannot be read";
    if (leaf &&
        (!bytes_equal(leaf->issuer_der, ca->subject_der) || X509_verify(leaf->x509, key) != 1))
        return "its CA did not sign it";
    return NULL;
}

/* NULL: nothing. A version that a restore took from the signer's log has no bytes. */
static const char *wrong_with(struct judge *judge, const struct rows *row)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *pem = row_text(row, 0, "pem_chain");
    struct fault ignored = {0};

    if (!*pem)
        return wrong_with_ca(judge, row, NULL);
    const struct certificate *leaf = certificate_from_pem(scratch, pem, &ignored);
    if (!leaf)
        return "its certificate cannot be read";
    if (!text_equal(leaf->serial, row_text(row, 0, "serial_number")))
        return "its serial is not that of its certificate";
    if (!text_equal(leaf->fingerprint_sha256, row_text(row, 0, "fingerprint_sha256")))
        return "its fingerprint is not that of its certificate";
    if (leaf->not_after != row_time(row, 0, "not_after"))
        return "its end is not that of its certificate";
    return wrong_with_ca(judge, row, leaf);
}

static bool look_at(void *arg, const struct rows *row, struct fault *fault)
{
    struct judge *judge = arg;
    const char *wrong = wrong_with(judge, row);

    (void)fault;
    judge->looked_at++;
    if (wrong)
        found(judge, "certificate version %s: %s", row_text(row, 0, "id"), wrong);
    return true;
}

static bool check_versions(struct judge *judge, struct db *db, struct fault *fault)
{
    if (!db_begin_snapshot(db, fault))
        return false;
    const bool read = db_each_params(db, &versions, look_at, judge, fault, NULL, 0);
    db_rollback(db);
    (void)printf("certificates looked at\t%lld\n", (long long)judge->looked_at);
    return read;
}

bool backup_judge(TALLOC_CTX *ctx, struct set_reader *set, struct db *db, struct fault *fault)
{
    struct judge judge = {.ctx = ctx, .set = set};

    if (!check_contents(&judge, db, fault) || !check_chain(&judge, db, fault) ||
        !check_keys(&judge, db, fault) || !check_versions(&judge, db, fault))
        return false;
    if (judge.faults == 0)
        return true;
    if (judge.faults == 1)
        return fault_set(fault, INPUT_MALFORMED, NULL, "the back-up does not hold: %s",
                         judge.first);
    return fault_set(fault, INPUT_MALFORMED, NULL,
                     "the back-up does not hold: %.150s, and %lld more of its faults above",
                     judge.first, (long long)judge.faults - 1);
}
