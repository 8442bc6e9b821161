/* jobs/ca/store.c: keys and certificates from the signer, and their rows (04 sections 3.1, 5.1). */
#include "jobs/ca/store.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/memory.h"
#include "pki/certificate.h"

#include "core/banned.h"

/* $1 issuer. Alone in its statement. */
STATEMENT(
    ca_store_lock,
    "SELECT pg_advisory_xact_lock(hashtextextended('ca-bootstrap:' || $1::text, 0)) AS taken");

/* $1 issuer. */
STATEMENT(ca_store_active, "SELECT EXISTS (SELECT 1 FROM ca_instances "
                           "WHERE issuer_id = $1::text AND state = 'active') AS active");

/* $1 issuer. */
STATEMENT(ca_store_tree, "UPDATE issuers SET hierarchy_mode = 'tree' WHERE id = $1::text");

/* $1 id, $2 issuer, $3 parent, $4 name, $5 subject, $6 PEM, $7 key, $8 $9 validity, $10 path
 * length, $11 serial, $12 name constraints, $13 OCSP, $14 metadata. */
STATEMENT(ca_store_row,
          "INSERT INTO intermediate_cas (id, owning_issuer_id, parent_ca_id, name, subject, "
          "cert_pem, key_driver_id, not_before, not_after, path_len_constraint, serial_number, "
          "name_constraints, ocsp_responder_url, metadata) VALUES ($1::text, $2::text, "
          "$3::text, $4::text, $5::text, $6::text, "
          "$7::text, $8::timestamptz, $9::timestamptz, nullif($10::integer, -1), $11::text, "
          "$12::text::jsonb, $13::text, coalesce($14::text::jsonb, '{}'))");

/* $1 id, $2 issuer, $3 DER, $4 subject, $5 chain, $6 key, $7 its algorithm, $8 SKI, $9 to $12 the
 * hashes of OCSP's CertID, $13 $14 validity, $15 path length, $16 row of the hierarchy. */
STATEMENT(ca_store_signing,
          "INSERT INTO ca_instances (id, issuer_id, cert_der, subject_der, "
          "chain_pem, key_ref, key_algorithm, ski, name_sha1, key_sha1, name_sha256, key_sha256, "
          "not_before, not_after, path_len, intermediate_ca_id) VALUES ($1::text, $2::text, "
          "$3::bytea, $4::bytea, $5::text, $6::text, $7::text, $8::bytea, $9::bytea, $10::bytea, "
          "$11::bytea, $12::bytea, $13::timestamptz, $14::timestamptz, "
          "nullif($15::integer, -1), $16::text)");

/* $1 request, $2 CA of the hierarchy, $3 key, $4 what there is to fetch. No row: somebody ended the
 * request meanwhile. */
STATEMENT(ca_store_finished,
          "UPDATE ca_requests SET state = 'done', intermediate_ca_id = $2::text, "
          "key_ref = $3::text, result = $4::text, finished_at = now() "
          "WHERE id = $1::text AND state IN ('pending', 'approved')");

/* $1 $5 ids, $2 $6 actions, $3 $7 CAs, $4 $8 details, $9 request; $5 null: one row. */
STATEMENT(ca_store_events,
          "WITH events AS (INSERT INTO audit_events (id, actor, actor_type, action, "
          "resource_type, resource_id, details, event_category, request_id) "
          "SELECT e.id, '" CA_ACTOR "', 'System', "
          "e.action, 'intermediate_ca', e.ca, e.details::jsonb, 'config', $9::text "
          "FROM (VALUES ($1::text, $2::text, $3::text, $4::text), "
          "($5::text, $6::text, $7::text, $8::text)) AS e (id, action, ca, details) "
          "WHERE e.id IS NOT NULL RETURNING action) SELECT ca_event_count(action) FROM events");

bool ca_ask(const struct ca_work *work, const struct signer_request *request,
            struct signer_reply *ret_reply, struct fault *fault)
{
    *ret_reply = (struct signer_reply){0};
    return signer_call(work->ctx, work->run->settings->signer_admin_socket, request, ret_reply,
                       fault);
}

bool ca_make_key(const struct ca_work *work, const char *hint, struct new_ca *ca,
                 struct bytes *ret_spki, struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_GENERATE,
        .algorithm = ca->algorithm,
        .driver = ca->driver,
        .hint = mem_printf(work->ctx, "%.7s-%.48s", hint, work->request->issuer_id),
    };
    struct signer_reply reply;

    if (!ca_ask(work, &request, &reply, fault))
        return false;
    if (!reply.key_ref || reply.spki.size == 0)
        return fault_set(fault, SIGNER_MESSAGE, "key_ref", "the signer named no new key");
    ca->key_ref = reply.key_ref;
    *ret_spki = reply.spki;
    return true;
}

static bool path_holds(const struct ca_work *work, const struct new_ca *ca, struct fault *fault)
{
    struct certificate **chain;
    size_t count;

    return ca_chain_read(work->ctx, ca->chain_pem, &chain, &count, fault) &&
           ca_chain_check(chain, count, clock_now_s(), fault);
}

bool ca_certify(const struct ca_work *work, const struct ca_wish *wish, struct new_ca *ca,
                struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CA,
        .key_ref = ca->key_ref,
        .issuer_key_ref = ca->parent_key_ref,
        .ca = *wish,
    };
    struct signer_reply reply;

    if (!ca_ask(work, &request, &reply, fault))
        return false;
    ca->certificate = certificate_from_der(work->ctx, reply.der, fault);
    if (!ca->certificate)
        return false;
    if (!bytes_equal(ca->certificate->spki, wish->spki) || !ca->certificate->is_ca)
        return fault_set(fault, SIGNER_MESSAGE, "der", "the signer certified something else");
    ca->pem = pem_encode(work->ctx, "CERTIFICATE", ca->certificate->der);
    ca->chain_pem = mem_printf(work->ctx, "%s%s", ca->pem,
                               ca->parent_chain ? ca->parent_chain : "");
    return path_holds(work, ca, fault);
}

bool ca_write_facts(const struct ca_work *work, const char *key_ref, const char *facts,
                    struct signer_reply *ret_reply, struct fault *fault)
{
    const struct signer_request request = {
        .kind = SIGNER_FACTS, .key_ref = key_ref, .facts_json = facts};

    return ca_ask(work, &request, ret_reply, fault);
}

void ca_forget(const struct ca_work *work, const struct new_ca *ca)
{
    const struct signer_request request = {.kind = SIGNER_FORGET, .key_ref = ca->key_ref};
    struct signer_reply reply;
    struct fault fault = {0};

    if (ca->key_ref)
        (void)ca_ask(work, &request, &reply, &fault);
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

/* [{"permitted":[…],"excluded":[…]}] of 04 section 5.2. */
static const char *constraints_text(const struct ca_work *work,
                                    const struct certificate *certificate)
{
    AUTO(json_t) *list = json_array();
    struct text_list permitted;
    struct text_list excluded;

    ca_constraints_of(work->ctx, certificate, &permitted, &excluded);
    if (permitted.count + excluded.count > 0) {
        json_t *object = json_object();
        ca_set_texts(object, "permitted", &permitted);
        ca_set_texts(object, "excluded", &excluded);
        json_add_new(list, object);
    }
    return json_to_text(work->ctx, list);
}

bool ca_store_intermediate(const struct ca_work *work, const struct new_ca *ca, struct fault *fault)
{
    const struct certificate *certificate = ca->certificate;
    const struct rows *rows = db_query(
        work->ctx, work->run->db, &ca_store_row, fault, TEXT(ca->id),
        TEXT(work->request->issuer_id), TEXT(ca->parent_id), TEXT(ca->name),
        TEXT(subject_text(work->ctx, certificate)), TEXT(ca->pem),
        TEXT(ca->key_ref ? ca->key_ref : "external"), INSTANT(certificate->not_before),
        INSTANT(certificate->not_after), INTEGER(certificate->path_len), TEXT(certificate->serial),
        TEXT(constraints_text(work, certificate)), TEXT(ca->ocsp_url),
        TEXT(ca->metadata ? json_to_text(work->ctx, ca->metadata) : NULL));

    if (!rows && fault->reason == DATABASE_DUPLICATE)
        return fault_set(fault, RESOURCE_CONFLICT, "name",
                         "the issuer has a CA of that name, or an active root, already");
    return rows != NULL;
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

bool ca_store_instance(const struct ca_work *work, const struct new_ca *ca, bool in_tree,
                       struct fault *fault)
{
    const struct certificate *certificate = ca->certificate;
    struct certificate_ids ids;

    if (!certificate_ids(certificate, &ids, fault))
        return false;
    const struct rows *rows = db_query(
        work->ctx, work->run->db, &ca_store_signing, fault, TEXT(ca->id),
        TEXT(work->request->issuer_id), BYTEA(certificate->der), BYTEA(certificate->subject_der),
        TEXT(ca->chain_pem), TEXT(ca->key_ref), TEXT(ca->algorithm), BYTEA(certificate->key_id),
        BYTEA(BYTES_OF(ids.name_sha1)), BYTEA(BYTES_OF(ids.key_sha1)),
        BYTEA(BYTES_OF(ids.name_sha256)), BYTEA(BYTES_OF(ids.key_sha256)),
        INSTANT(certificate->not_before), INSTANT(certificate->not_after),
        INTEGER(certificate->path_len), TEXT(in_tree ? ca->id : NULL));
    if (!rows && fault->reason == DATABASE_DUPLICATE)
        return fault_set(fault, RESOURCE_CONFLICT, "chain",
                         "the issuer has that certificate, or an active CA, already");
    return rows != NULL;
}

bool ca_touched_one(const struct rows *rows, const char *otherwise, struct fault *fault)
{
    if (!rows)
        return false;
    return rows->affected == 1 || fault_set(fault, RESOURCE_STATE, NULL, "%s", otherwise);
}

bool ca_store_done(const struct ca_work *work, const char *intermediate_id, const char *key_ref,
                   const char *result, struct fault *fault)
{
    return ca_touched_one(db_query(work->ctx, work->run->db, &ca_store_finished, fault,
                                   TEXT(work->request_id), TEXT(intermediate_id), TEXT(key_ref),
                                   TEXT(result)),
                          "the request was ended meanwhile", fault);
}

/* The members of 04 section 5.5, and who asked. */
static const char *audit_details(const struct ca_work *work, const struct ca_event *event)
{
    const struct new_ca *ca = event->ca;
    AUTO(json_t) *details = json_object();

    json_set_text(details, "intermediate_ca_id", ca->id);
    json_set_text(details, "owning_issuer_id", work->request->issuer_id);
    json_set_text(details, "name", ca->name);
    json_set_text(details, "state", event->state);
    json_set_text(details, "key_driver_id", ca->key_ref);
    if (ca->certificate) {
        json_set_text(details, "subject", subject_text(work->ctx, ca->certificate));
        json_set_text(details, "not_before",
                      time_to_rfc3339(work->ctx, ca->certificate->not_before));
        json_set_text(details, "not_after", time_to_rfc3339(work->ctx, ca->certificate->not_after));
        json_set_text(details, "fingerprint_sha256", ca->certificate->fingerprint_sha256);
    }
    json_set_text(details, "parent_ca_id", ca->parent_id);
    json_set_text(details, "note", event->note);
    if (event->changes)
        json_set_new(details, "changes", json_deep_copy(event->changes));
    json_set_text(details, "requested_by", work->request->requested_by);
    json_set_text(details, "ca_request_id", work->request_id);
    return json_to_text(work->ctx, details);
}

bool ca_store_audit(const struct ca_work *work, const struct ca_event *first,
                    const struct ca_event *second, struct fault *fault)
{
    const struct ca_event *last = second ? second : first;

    return db_query(
               work->ctx, work->run->db, &ca_store_events, fault, TEXT(id_new(work->ctx, "audit")),
               TEXT(first->action), TEXT(first->ca->id), TEXT(audit_details(work, first)),
               TEXT(second ? id_new(work->ctx, "audit") : NULL), TEXT(last->action),
               TEXT(last->ca->id), TEXT(audit_details(work, last)), TEXT(work->request_id)) != NULL;
}

bool ca_none_active(const struct ca_work *work, struct fault *fault)
{
    struct rows *rows = db_query(work->ctx, work->run->db, &ca_store_active, fault,
                                 TEXT(work->request->issuer_id));

    if (!rows)
        return false;
    return !row_bool(rows, 0, "active") ||
           fault_set(fault, RESOURCE_CONFLICT, "issuer_id", "issuer %s has an active CA already",
                     work->request->issuer_id);
}

bool ca_set_tree(const struct ca_work *work, struct fault *fault)
{
    return ca_touched_one(
        db_query(work->ctx, work->run->db, &ca_store_tree, fault, TEXT(work->request->issuer_id)),
        "the issuer does not exist", fault);
}

bool ca_in_transaction(const struct ca_work *work,
                       bool (*store)(const struct ca_work *work, void *arg, struct fault *fault),
                       void *arg, struct fault *fault)
{
    struct db *db = work->run->db;

    if (!db_begin(db, fault))
        return false;
    if (db_query(work->ctx, db, &ca_store_lock, fault, TEXT(work->request->issuer_id)) &&
        store(work, arg, fault))
        return db_commit(db, fault);
    db_rollback(db);
    return false;
}
