/* jobs/ca/change.c: what happens to CAs that are there: a certificate from elsewhere is installed,
 * a key is replaced, a CA retires (04 sections 3.2, 3.4 and 5.5). */
#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/memory.h"
#include "lifecycle/ca_facts.h"
#include "lifecycle/ca_submit.h"
#include "pki/ocsp.h"

#include "jobs/ca/carry_out.h"

#include "core/banned.h"

/* $1 issuer. */
STATEMENT(ca_single_active,
          "SELECT (SELECT id FROM ca_instances WHERE issuer_id = i.id AND state = 'active' "
          "AND intermediate_ca_id IS NULL) AS id, i.hierarchy_mode, "
          "EXISTS (SELECT 1 FROM ca_instances WHERE issuer_id = i.id) AS has_some "
          "FROM issuers i WHERE i.id = $1::text");

/* $1 SHA-256 of a key. What is lost may come back. */
STATEMENT(ca_of_key, "SELECT id FROM ca_instances WHERE key_sha256 = $1::bytea "
                     "AND state <> 'lost' ORDER BY id LIMIT 1");

/* $1 CA, $2 from, $3 to. Another one issues in its place. */
STATEMENT(ca_instance_move, "UPDATE ca_instances SET state = $3::text, superseded_at = now() "
                            "WHERE id = $1::text AND state = $2::text");
/* As above. */
STATEMENT(ca_row_move, "UPDATE intermediate_cas SET state = $3::text "
                       "WHERE id = $1::text AND state = $2::text");

/* $1 issuer, $2 name without its number. */
STATEMENT(
    ca_name_next,
    "SELECT coalesce(max(substr(name::text, length($2::text) + 2)::integer), 1) + 1 AS number "
    "FROM intermediate_cas WHERE owning_issuer_id = $1::text "
    "AND substr(name::text, 1, length($2::text) + 1) = $2::text || '-' "
    "AND substr(name::text, length($2::text) + 2) ~ '^[0-9]{1,6}$'");

static bool move(const struct ca_work *work, const struct statement *statement, const char *id,
                 const char *from, const char *to, struct fault *fault)
{
    return ca_touched_one(
        db_query(work->ctx, work->run->db, statement, fault, TEXT(id), TEXT(from), TEXT(to)),
        "the CA changed its state meanwhile", fault);
}

/* Both rows of a CA. */
static bool move_ca(const struct ca_work *work, const struct held_ca *ca, const char *to,
                    struct fault *fault)
{
    return (!ca->intermediate_id ||
            move(work, &ca_row_move, ca->intermediate_id, ca->state, to, fault)) &&
           move(work, &ca_instance_move, ca->id, ca->state, to, fault);
}

/* import: 04 section 3.2. */

struct imported {
    struct new_ca ca;
    bool tree;
    const char *replaced; /* the active CA before; NULL: there was none */
};

static bool look_at_issuer(const struct ca_work *work, struct imported *imported,
                           struct fault *fault)
{
    struct rows *rows = db_query(work->ctx, work->run->db, &ca_single_active, fault,
                                 TEXT(work->request->issuer_id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, "issuer_id", "the issuer does not exist");
    const bool is_tree = text_equal(row_text(rows, 0, "hierarchy_mode"), "tree");
    imported->replaced = row_text(rows, 0, "id");
    if (imported->tree != is_tree && row_bool(rows, 0, "has_some"))
        return fault_set(fault, RESOURCE_CONFLICT, "tree", "the issuer is in %s mode already",
                         is_tree ? "tree" : "single");
    return true;
}

/* The signer knows one CA of a key, lists have one row of numbers, and a CertID of OCSP names one
 * issuer: the second CA of a key would take all of it from the first. */
static bool key_is_free(const struct ca_work *work, const struct certificate *certificate,
                        struct fault *fault)
{
    struct ocsp_ca_hashes hashes;

    if (!ocsp_ca_hashes(certificate, &hashes))
        return fault_set(fault, INPUT_INVALID, "chain", "the CA's key cannot be read");
    struct rows *rows = db_query(
        work->ctx, work->run->db, &ca_of_key, fault,
        BYTEA(((struct bytes){hashes.key[OCSP_SHA256], ocsp_hash_size(OCSP_SHA256)})));
    if (!rows)
        return false;
    return rows->count == 0 ||
           fault_set(fault, RESOURCE_CONFLICT, "chain",
                     "CA %s has that key already: a CA is renewed with a new key",
                     row_text(rows, 0, "id"));
}

static bool store_import(const struct ca_work *work, void *arg, struct fault *fault)
{
    struct imported *imported = arg;
    const struct new_ca *ca = &imported->ca;
    const struct new_ca old = {.id = imported->replaced, .name = imported->replaced};
    const struct ca_event event = {imported->tree ? "intermediate_ca_root_created"
                                                  : "ca_instance_activated",
                                   ca, "active", NULL, NULL};
    const struct ca_event retiring = {"intermediate_ca_retiring", &old, "retiring", ca->id, NULL};

    if (!look_at_issuer(work, imported, fault) || !key_is_free(work, ca->certificate, fault))
        return false;
    if (imported->replaced && !imported->tree &&
        !move(work, &ca_instance_move, imported->replaced, "active", "retiring", fault))
        return false;
    if (imported->tree && (!ca_set_tree(work, fault) || !ca_store_intermediate(work, ca, fault)))
        return false;
    return ca_store_instance(work, ca, imported->tree, fault) &&
           ca_store_done(work, imported->tree ? ca->id : NULL, ca->key_ref, NULL, fault) &&
           ca_store_audit(work, &event, imported->replaced ? &retiring : NULL, fault);
}

static bool read_import(const struct ca_work *work, const struct ca_order *order,
                        struct imported *imported, struct fault *fault)
{
    struct certificate **chain = NULL;
    size_t count = 0;
    struct new_ca *ca = &imported->ca;

    if (!ca_chain_read(work->ctx, order->chain, &chain, &count, fault) ||
        !ca_chain_check(chain, count, clock_now_s(), fault))
        return false;
    if (order->tree && !ca_root_check(chain[0], fault))
        return false;
    if (order->tree && count > 1)
        return fault_set(fault, INPUT_INVALID, "chain", "a root has no CA above it");
    ca->certificate = chain[0];
    ca->pem = pem_encode(work->ctx, "CERTIFICATE", chain[0]->der);
    ca->chain_pem = "";
    for (size_t i = 0; i < count; i++)
        ca->chain_pem = mem_printf(work->ctx, "%s%s", ca->chain_pem,
                                   pem_encode(work->ctx, "CERTIFICATE", chain[i]->der));
    ca->id = order->tree ? id_new(work->ctx, "ica") : ca_single_id(work, ca->certificate);
    ca->name = order->name                    ? order->name
               : ca->certificate->common_name ? ca->certificate->common_name
                                              : ca->id;
    return true;
}

/* "RSA-3072": what the signer signs with, as ca_instances has it. */
static bool name_algorithm(const struct ca_work *work, struct new_ca *ca, struct fault *fault)
{
    const struct key_facts *key = ca->certificate ? &ca->certificate->key : NULL;
    enum signature_algorithm algorithm;

    if (!key)
        return fault_set(fault, INTERNAL, NULL, "a CA without its certificate");
    ca->algorithm = key->kind == KEY_RSA ? mem_printf(work->ctx, "RSA-%d", key->bits)
                                         : mem_printf(work->ctx, "ECDSA-P%d", key->bits);
    return (key->kind != KEY_ED25519 && signature_algorithm_from_text(ca->algorithm, &algorithm)) ||
           fault_set(fault, INPUT_INVALID, "chain",
                     "unsupported key algorithm of a CA (supported: RSA 2048, 3072, 4096, P-256, "
                     "P-384)");
}

/* The key was there before and is never forgotten. That it is the certificate's is the signer's to
 * say; what it calls the key is what we store. */
bool ca_import(const struct ca_work *work, const struct ca_order *order, struct fault *fault)
{
    struct imported imported = {
        .ca = {.key_ref = order->key_ref,
               .ocsp_url = order->ocsp_responder_url,
               .metadata = order->metadata},
        .tree = order->tree
    };
    struct signer_reply reply;

    if (!read_import(work, order, &imported, fault) || !name_algorithm(work, &imported.ca, fault) ||
        !look_at_issuer(work, &imported, fault) ||
        !key_is_free(work, imported.ca.certificate, fault))
        return false;
    if (!ca_give_facts(work, order, &imported.ca, !order->tree, &reply, fault)) {
        /* Not to be had now, or not the certificate's: the second will not change. */
        if (strstr(fault->detail, "does not match"))
            fault->reason = INPUT_INVALID;
        return false;
    }
    if (!reply.key_ref)
        return fault_set(fault, SIGNER_MESSAGE, "key_ref", "the signer named no key");
    imported.ca.key_ref = reply.key_ref;
    return ca_in_transaction(work, store_import, &imported, fault);
}

/* renew: a new key below the same parent, under the facts that the old one has now; that keeps its
 * CRL and answers. */

struct renewal {
    struct new_ca ca;
    const struct held_ca *old;
};

static bool store_renewal(const struct ca_work *work, void *arg, struct fault *fault)
{
    const struct renewal *renewal = arg;
    const struct new_ca *ca = &renewal->ca;
    const struct held_ca *was = renewal->old;
    const struct new_ca old = {.id = was->id,
                               .name = was->name,
                               .key_ref = was->key_ref,
                               .parent_id = was->parent_id,
                               .certificate = was->certificate};
    const bool in_tree = was->intermediate_id != NULL;
    const struct ca_event made = {!in_tree        ? "ca_instance_activated"
                                  : ca->parent_id ? "intermediate_ca_child_created"
                                                  : "intermediate_ca_root_created",
                                  ca, "active", was->id, NULL};
    const struct ca_event retiring = {"intermediate_ca_retiring", &old, "retiring", ca->id, NULL};

    if (ca->parent_id && !ca_parent_stays(work, ca->parent_id, fault))
        return false;
    return move_ca(work, was, "retiring", fault) &&
           (!in_tree || ca_store_intermediate(work, ca, fault)) &&
           ca_store_instance(work, ca, in_tree, fault) &&
           ca_store_done(work, in_tree ? ca->id : NULL, ca->key_ref, ca->chain_pem, fault) &&
           ca_store_audit(work, &made, &retiring, fault);
}

/* "Issuing CA" becomes "Issuing CA-2". */
static bool name_renewal(const struct ca_work *work, const struct held_ca *old, const char **ret,
                         struct fault *fault)
{
    const char *dash = strrchr(old->name, '-');
    const bool numbered = dash && dash[1] && dash[1 + strspn(dash + 1, "0123456789")] == '\0';
    const char *base = numbered ? mem_text_n(work->ctx, old->name, dash - old->name) : old->name;
    struct rows *rows = db_query(work->ctx, work->run->db, &ca_name_next, fault,
                                 TEXT(work->request->issuer_id), TEXT(base));

    if (!rows)
        return false;
    *ret = mem_printf(work->ctx, "%s-%lld", base, (long long)row_integer(rows, 0, "number"));
    return true;
}

static bool is_self_signed(const struct held_ca *ca)
{
    return bytes_equal(ca->certificate->subject_der, ca->certificate->issuer_der);
}

/* Who signs the new certificate: the parent of the hierarchy, or the new key itself. */
static bool find_signer(const struct ca_work *work, struct renewal *renewal, struct held_ca *parent,
                        struct ca_wish *wish, struct fault *fault)
{
    const struct held_ca *old = renewal->old;

    if (old->parent_id) {
        if (!ca_held(work, old->parent_id, parent, fault) || !ca_held_may_be_parent(parent, fault))
            return false;
        renewal->ca.parent_id = parent->intermediate_id;
        renewal->ca.parent_key_ref = parent->key_ref;
        renewal->ca.parent_chain = parent->chain_pem;
        return ca_fit_below(work->ctx, parent->certificate, wish, fault);
    }
    return is_self_signed(old) ||
           fault_set(fault, RESOURCE_STATE, "ca_id",
                     "a CA elsewhere certified %s: ask it by ca csr, then ca import", old->id);
}

static bool make_renewal(const struct ca_work *work, const struct ca_order *order,
                         struct ca_wish *wish, struct renewal *renewal, struct fault *fault)
{
    struct signer_reply reply;
    struct new_ca *ca = &renewal->ca;

    if (!ca_make_key(work, "renewed", ca, &wish->spki, fault) || !ca_certify(work, wish, ca, fault))
        return false;
    const bool signs_leaves = !renewal->old->intermediate_id || ca->certificate->path_len == 0;
    if (!renewal->old->intermediate_id)
        ca->id = ca->name = ca_single_id(work, ca->certificate);
    return ca_give_facts(work, order, ca, signs_leaves, &reply, fault) &&
           ca_in_transaction(work, store_renewal, renewal, fault);
}

bool ca_renew(const struct ca_work *work, const struct ca_order *order, struct fault *fault)
{
    struct held_ca old = {0};
    struct held_ca parent = {0};
    struct rdn *subject = NULL;
    size_t count = 0;

    if (!ca_held(work, order->ca_id, &old, fault))
        return false;
    if (!text_equal(old.state, "active"))
        return fault_set(fault, RESOURCE_STATE, "ca_id", "the CA is %s: only an active one renews",
                         old.state);
    if (!ca_subject_read(work->ctx, X509_get_subject_name(old.certificate->x509), &subject, &count,
                         fault))
        return false;
    AUTO(json_t) *facts = ca_facts_now(work, &old, fault);
    if (!facts)
        return false;
    const struct ca_before before = {old.id, facts};
    struct renewal renewal = {
        .ca = {.id = id_new(work->ctx, "ica"),
               .algorithm = order->algorithm,
               .driver = order->driver,
               .ocsp_url = old.ocsp_url,
               .before = &before},
        .old = &old
    };
    struct ca_wish wish = ca_order_wish(work->ctx, order, (struct bytes){0}, clock_now_s(),
                                        work->run->settings->not_before_backdate_ms / 1000);
    wish.subject = subject;
    wish.subject_count = count;
    wish.path_len = old.certificate->path_len;
    ca_constraints_of(work->ctx, old.certificate, &wish.permitted_dns, &wish.excluded_dns);
    if (!name_renewal(work, &old, &renewal.ca.name, fault) ||
        !find_signer(work, &renewal, &parent, &wish, fault))
        return false;
    if (make_renewal(work, order, &wish, &renewal, fault))
        return true;
    if (fault->reason != DATABASE_COMMIT_UNKNOWN)
        ca_forget(work, &renewal.ca);
    return false;
}

/* retire: first no new CAs below, then no certificates at all. close.c tells the signer. */

struct retirement {
    const struct held_ca *ca;
    bool confirm;
};

static const char *details_of(const struct ca_work *work)
{
    AUTO(json_t) *details = json_object();

    json_set_text(details, "requested_by", work->request->requested_by);
    json_set_text(details, "ca_request_id", work->request_id);
    return json_to_text(work->ctx, details);
}

static bool store_retirement(const struct ca_work *work, void *arg, struct fault *fault)
{
    const struct retirement *retirement = arg;
    const struct held_ca *ca = retirement->ca;
    const struct ca_retirement wanted = {
        .ca_id = ca->id, .confirm = retirement->confirm, .details = details_of(work)};
    const struct ca_asker asker = {
        .actor = CA_ACTOR, .actor_type = "System", .request_id = work->request_id};
    const char *state;

    return lifecycle_ca_retire(work->ctx, work->run->db, &wanted, &asker, &state, fault) &&
           ca_store_done(work, ca->intermediate_id, ca->key_ref, NULL, fault);
}

bool ca_retire(const struct ca_work *work, const struct ca_order *order, struct fault *fault)
{
    struct held_ca ca = {0};
    struct retirement retirement = {.ca = &ca, .confirm = order->confirm};

    return ca_held(work, order->ca_id, &ca, fault) &&
           ca_in_transaction(work, store_retirement, &retirement, fault);
}
