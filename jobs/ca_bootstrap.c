/* jobs/ca_bootstrap.c: a root and an issuing CA below it, made once (04 sections 3.3 and 5.3).
 *
 * The keys are made before the transaction, so that no lock is held while an RSA key is searched. A
 * run that is killed in between leaves key files that no row names: harmless, and the next run
 * starts anew with other names. */
#include "ca_bootstrap.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "signer/client.h"

#include "core/banned.h"

/* $1 issuer. Alone in its statement. */
STATEMENT(
    ca_bootstrap_lock,
    "SELECT pg_advisory_xact_lock(hashtextextended('ca-bootstrap:' || $1::text, 0)) AS taken");

/* $1 issuer. */
STATEMENT(ca_bootstrap_active, "SELECT EXISTS (SELECT 1 FROM ca_instances "
                               "WHERE issuer_id = $1::text AND state = 'active') AS active");

/* $1 issuer. */
STATEMENT(ca_bootstrap_tree, "UPDATE issuers SET hierarchy_mode = 'tree' WHERE id = $1::text");

/* $1 id, $2 issuer, $3 parent, $4 name, $5 subject, $6 PEM, $7 key, $8 $9 validity, $10 path
 * length, $11 serial. */
STATEMENT(ca_bootstrap_intermediate,
          "INSERT INTO intermediate_cas (id, owning_issuer_id, parent_ca_id, name, subject, "
          "cert_pem, key_driver_id, not_before, not_after, path_len_constraint, serial_number) "
          "VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, "
          "$8::timestamptz, $9::timestamptz, $10::integer, $11::text)");

/* $1 id of both rows, $2 issuer, $3 DER, $4 subject, $5 chain, $6 key, $7 its algorithm, $8 SKI,
 * $9 to $12 the hashes of OCSP's CertID, $13 $14 validity, $15 path length. */
STATEMENT(ca_bootstrap_instance,
          "INSERT INTO ca_instances (id, issuer_id, intermediate_ca_id, cert_der, subject_der, "
          "chain_pem, key_ref, key_algorithm, ski, name_sha1, key_sha1, name_sha256, key_sha256, "
          "not_before, not_after, path_len) VALUES ($1::text, $2::text, $1::text, $3::bytea, "
          "$4::bytea, $5::text, $6::text, $7::text, $8::bytea, $9::bytea, $10::bytea, $11::bytea, "
          "$12::bytea, $13::timestamptz, $14::timestamptz, $15::integer)");

/* $1 request, $2 issuing CA. No row: somebody ended the request meanwhile. */
STATEMENT(ca_bootstrap_done,
          "UPDATE ca_requests SET state = 'done', intermediate_ca_id = $2::text, "
          "finished_at = now() WHERE id = $1::text AND state IN ('pending', 'approved')");

/* $1 $4 ids of the events, $2 $5 the CAs, $3 $6 details, $7 request. */
STATEMENT(ca_bootstrap_audit,
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, event_category, request_id) VALUES "
          "($1::text, 'certctl-job-ca-hierarchy', 'System', 'intermediate_ca_root_created', "
          "'intermediate_ca', $2::text, $3::text::jsonb, 'config', $7::text), "
          "($4::text, 'certctl-job-ca-hierarchy', 'System', 'intermediate_ca_child_created', "
          "'intermediate_ca', $5::text, $6::text::jsonb, 'config', $7::text)");

struct new_ca {
    enum ca_place place;
    const char *id;
    const char *name;
    const char *algorithm;
    const char *driver;
    const struct new_ca *parent; /* NULL: the root */
    const char *key_ref;         /* NULL until the signer has made it */
    struct certificate *certificate;
    const char *pem;
    const char *chain_pem;
};

struct making {
    TALLOC_CTX *ctx;
    struct job_run *run;
    const char *request_id;
    const struct ca_request *request;
    const struct ca_bootstrap *wanted;
    struct new_ca root;
    struct new_ca issuing;
};

static bool ask(const struct making *making, const struct signer_request *request,
                struct signer_reply *ret_reply, struct fault *fault)
{
    *ret_reply = (struct signer_reply){0};
    return signer_call(making->ctx, making->run->settings->signer_admin_socket, request, ret_reply,
                       fault);
}

static bool make_key(const struct making *making, struct new_ca *ca, struct bytes *ret_spki,
                     struct fault *fault)
{
    const char *kind = ca->place == CA_PLACE_ROOT ? "root" : "issuing";
    const struct signer_request request = {
        .kind = SIGNER_GENERATE,
        .algorithm = ca->algorithm,
        .driver = ca->driver,
        .hint = mem_printf(making->ctx, "%.7s-%.48s", kind, making->request->issuer_id),
    };
    struct signer_reply reply;

    if (!ask(making, &request, &reply, fault))
        return false;
    if (!reply.key_ref || reply.spki.size == 0)
        return fault_set(fault, SIGNER_MESSAGE, "key_ref", "the signer named no new key");
    ca->key_ref = reply.key_ref;
    *ret_spki = reply.spki;
    return true;
}

static bool sign_certificate(const struct making *making, struct new_ca *ca, struct bytes spki,
                             struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CA,
        .key_ref = ca->key_ref,
        .issuer_key_ref = ca->parent ? ca->parent->key_ref : NULL,
        .ca = ca_bootstrap_wish(making->ctx, making->wanted, ca->place, spki, clock_now_s(),
                                making->run->settings->not_before_backdate_ms / 1000),
    };
    struct signer_reply reply;

    if (!ask(making, &request, &reply, fault))
        return false;
    ca->certificate = certificate_from_der(making->ctx, reply.der, fault);
    if (!ca->certificate)
        return false;
    if (!bytes_equal(ca->certificate->spki, spki) || !ca->certificate->is_ca)
        return fault_set(fault, SIGNER_MESSAGE, "der", "the signer certified something else");
    ca->pem = pem_encode(making->ctx, "CERTIFICATE", ca->certificate->der);
    ca->chain_pem = mem_printf(making->ctx, "%s%s", ca->pem, ca->parent ? ca->parent->pem : "");
    return true;
}

static bool write_facts(const struct making *making, const struct new_ca *ca, struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_FACTS,
        .key_ref = ca->key_ref,
        .facts_json = ca_bootstrap_facts(making->ctx, making->wanted, ca->place, ca->id,
                                         ca->certificate->der,
                                         making->run->settings->signer_max_leaf_days),
    };
    struct signer_reply reply;

    return ask(making, &request, &reply, fault);
}

static bool make_ca(const struct making *making, struct new_ca *ca, struct fault *fault)
{
    struct bytes spki = {0};

    return make_key(making, ca, &spki, fault) && sign_certificate(making, ca, spki, fault) &&
           write_facts(making, ca, fault);
}

/* Best effort: a key that stays is named by no row. */
static void forget(const struct making *making, const struct new_ca *ca)
{
    const struct signer_request request = {.kind = SIGNER_FORGET, .key_ref = ca->key_ref};
    struct signer_reply reply;
    struct fault fault = {0};

    if (ca->key_ref)
        (void)ask(making, &request, &reply, &fault);
}

static bool refuse_second(const struct making *making, struct fault *fault)
{
    struct rows *rows = db_query(making->ctx, making->run->db, &ca_bootstrap_active, fault,
                                 TEXT(making->request->issuer_id));

    if (!rows)
        return false;
    return !row_bool(rows, 0, "active") ||
           fault_set(fault, RESOURCE_CONFLICT, "issuer_id", "issuer %s has an active CA already",
                     making->request->issuer_id);
}

/* RFC 4514 form, for people. */
static const char *subject_text(TALLOC_CTX *ctx, const struct certificate *certificate)
{
    AUTO(BIO) *out = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (!out || X509_NAME_print_ex(out, X509_get_subject_name(certificate->x509), 0,
                                   XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) < 0)
        return "";
    const long length = BIO_get_mem_data(out, &text);
    return length > 0 ? mem_text_n(ctx, text, (size_t)length) : "";
}

static bool store_intermediate(const struct making *making, const struct new_ca *ca,
                               struct fault *fault)
{
    const struct certificate *certificate = ca->certificate;

    return db_query(making->ctx, making->run->db, &ca_bootstrap_intermediate, fault, TEXT(ca->id),
                    TEXT(making->request->issuer_id), TEXT(ca->parent ? ca->parent->id : NULL),
                    TEXT(ca->name), TEXT(subject_text(making->ctx, certificate)), TEXT(ca->pem),
                    TEXT(ca->key_ref), INSTANT(certificate->not_before),
                    INSTANT(certificate->not_after), INTEGER(certificate->path_len),
                    TEXT(certificate->serial)) != NULL;
}

/* SHA-1 here is OCSP's name for a CA (RFC 6960 section 4.1.1), not a protection. */
struct certificate_ids {
    uint8_t name_sha1[20];
    uint8_t key_sha1[20];
    uint8_t name_sha256[DIGEST_SHA256_SIZE];
    uint8_t key_sha256[DIGEST_SHA256_SIZE];
};

static bool certificate_ids(const struct certificate *certificate, struct certificate_ids *ret_ids,
                            struct fault *fault)
{
    const struct bytes name = certificate->subject_der;
    const X509 *x509 = certificate->x509;
    const bool done = EVP_Digest(name.data, name.size, ret_ids->name_sha1, NULL, EVP_sha1(),
                                 NULL) == 1 &&
                      X509_pubkey_digest(x509, EVP_sha1(), ret_ids->key_sha1, NULL) == 1 &&
                      X509_pubkey_digest(x509, digest_algorithm_sha256(), ret_ids->key_sha256,
                                         NULL) == 1;

    digest_sha256(name, ret_ids->name_sha256);
    if (done)
        return true;
    fault_set(fault, INTERNAL, NULL, "the hashes of a CA could not be made");
    return fault_cause_openssl(fault, "digest");
}

static bool store_instance(const struct making *making, const struct new_ca *ca,
                           struct fault *fault)
{
    const struct certificate *certificate = ca->certificate;
    struct certificate_ids ids;

    if (!certificate_ids(certificate, &ids, fault))
        return false;
    return db_query(making->ctx, making->run->db, &ca_bootstrap_instance, fault, TEXT(ca->id),
                    TEXT(making->request->issuer_id), BYTEA(certificate->der),
                    BYTEA(certificate->subject_der), TEXT(ca->chain_pem), TEXT(ca->key_ref),
                    TEXT(ca->algorithm), BYTEA(certificate->ski), BYTEA(BYTES_OF(ids.name_sha1)),
                    BYTEA(BYTES_OF(ids.key_sha1)), BYTEA(BYTES_OF(ids.name_sha256)),
                    BYTEA(BYTES_OF(ids.key_sha256)), INSTANT(certificate->not_before),
                    INSTANT(certificate->not_after), INTEGER(certificate->path_len)) != NULL;
}

/* The members of 04 section 5.5, and who asked. */
static const char *audit_details(const struct making *making, const struct new_ca *ca)
{
    AUTO(json_t) *details = json_object();

    json_set_text(details, "intermediate_ca_id", ca->id);
    json_set_text(details, "owning_issuer_id", making->request->issuer_id);
    json_set_text(details, "name", ca->name);
    json_set_text(details, "subject", subject_text(making->ctx, ca->certificate));
    json_set_text(details, "state", "active");
    json_set_text(details, "key_driver_id", ca->key_ref);
    json_set_text(details, "not_before", time_to_rfc3339(making->ctx, ca->certificate->not_before));
    json_set_text(details, "not_after", time_to_rfc3339(making->ctx, ca->certificate->not_after));
    json_set_text(details, "parent_ca_id", ca->parent ? ca->parent->id : NULL);
    json_set_text(details, "requested_by", making->request->requested_by);
    json_set_text(details, "ca_request_id", making->request_id);
    return json_to_text(making->ctx, details);
}

static bool store_audit(const struct making *making, struct fault *fault)
{
    const struct new_ca *root = &making->root;
    const struct new_ca *issuing = &making->issuing;

    return db_query(making->ctx, making->run->db, &ca_bootstrap_audit, fault,
                    TEXT(id_new(making->ctx, "audit")), TEXT(root->id),
                    TEXT(audit_details(making, root)), TEXT(id_new(making->ctx, "audit")),
                    TEXT(issuing->id), TEXT(audit_details(making, issuing)),
                    TEXT(making->request_id)) != NULL;
}

/* An UPDATE that must find its one row. */
static bool touched_one(const struct rows *rows, const char *what, struct fault *fault)
{
    if (!rows)
        return false;
    return rows->affected == 1 || fault_set(fault, RESOURCE_STATE, NULL, "%s", what);
}

static bool store(const struct making *making, struct fault *fault)
{
    struct db *db = making->run->db;
    const char *issuer_id = making->request->issuer_id;

    return db_query(making->ctx, db, &ca_bootstrap_lock, fault, TEXT(issuer_id)) != NULL &&
           refuse_second(making, fault) &&
           touched_one(db_query(making->ctx, db, &ca_bootstrap_tree, fault, TEXT(issuer_id)),
                       "the issuer does not exist", fault) &&
           store_intermediate(making, &making->root, fault) &&
           store_intermediate(making, &making->issuing, fault) &&
           store_instance(making, &making->root, fault) &&
           store_instance(making, &making->issuing, fault) &&
           touched_one(db_query(making->ctx, db, &ca_bootstrap_done, fault,
                                TEXT(making->request_id), TEXT(making->issuing.id)),
                       "the request was ended meanwhile", fault) &&
           store_audit(making, fault);
}

static bool store_all(const struct making *making, struct fault *fault)
{
    struct db *db = making->run->db;

    if (!db_begin(db, fault))
        return false;
    if (store(making, fault))
        return db_commit(db, fault);
    db_rollback(db);
    return false;
}

bool ca_bootstrap_carry_out(struct job_run *run, const char *request_id,
                            const struct ca_request *request, const struct ca_bootstrap *bootstrap,
                            struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct making making = {
        .ctx = ctx,
        .run = run,
        .request_id = request_id,
        .request = request,
        .wanted = bootstrap,
        .root = {.place = CA_PLACE_ROOT,
                 .id = id_new(ctx, "ica"),
                 .name = bootstrap->root_common_name,
                 .algorithm = bootstrap->root_algorithm,
                 .driver = bootstrap->root_driver   },
        .issuing = {.place = CA_PLACE_ISSUING,
                 .id = id_new(ctx, "ica"),
                 .name = bootstrap->issuing_common_name,
                 .algorithm = bootstrap->issuing_algorithm,
                 .driver = bootstrap->issuing_driver},
    };

    making.issuing.parent = &making.root;
    if (!refuse_second(&making, fault))
        return false;
    if (make_ca(&making, &making.root, fault) && make_ca(&making, &making.issuing, fault) &&
        store_all(&making, fault))
        return true;
    if (fault->reason == DATABASE_COMMIT_UNKNOWN)
        return false; /* the rows may be there, and then name these keys */
    forget(&making, &making.issuing);
    forget(&making, &making.root);
    return false;
}
