/* jobs/ca/carry_out.c: new CAs, requests to and from CAs elsewhere (04 sections 3.3, 3.4, 5.3). */
#include "jobs/ca/carry_out.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/memory.h"

#include "core/banned.h"

/* $1 CA, $2 issuer. */
STATEMENT(
    ca_held_by_id,
    "SELECT c.id, c.intermediate_ca_id, m.parent_ca_id, "
    "coalesce(m.name::text, c.id::text) AS name, coalesce(m.state, c.state) AS state, "
    "c.key_ref, c.key_algorithm, c.chain_pem, c.cert_der, m.ocsp_responder_url FROM ca_instances c "
    "LEFT JOIN intermediate_cas m ON m.id = c.intermediate_ca_id "
    "WHERE c.id = $1::text AND c.issuer_id = $2::text");

/* $1 CA. */
STATEMENT(ca_parent_lock, "SELECT state FROM intermediate_cas WHERE id = $1::text FOR SHARE");

bool ca_held(const struct ca_work *work, const char *id, struct held_ca *ret_ca,
             struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rows *rows = db_query(work->ctx, work->run->db, &ca_held_by_id, fault, TEXT(id),
                                 TEXT(work->request->issuer_id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, "ca_id", "issuer %s holds no CA %s",
                         work->request->issuer_id, text_quote(scratch, id));
    *ret_ca = (struct held_ca){
        .id = row_text(rows, 0, "id"),
        .intermediate_id = row_text(rows, 0, "intermediate_ca_id"),
        .parent_id = row_text(rows, 0, "parent_ca_id"),
        .name = row_text(rows, 0, "name"),
        .state = row_text(rows, 0, "state"),
        .key_ref = row_text(rows, 0, "key_ref"),
        .algorithm = row_text(rows, 0, "key_algorithm"),
        .chain_pem = row_text(rows, 0, "chain_pem"),
        .ocsp_url = row_text(rows, 0, "ocsp_responder_url"),
    };
    ret_ca->certificate = certificate_from_der(work->ctx, row_bytes(work->ctx, rows, 0, "cert_der"),
                                               fault);
    return ret_ca->certificate != NULL;
}

bool ca_held_may_be_parent(const struct held_ca *parent, struct fault *fault)
{
    if (!parent->intermediate_id)
        return fault_set(fault, RESOURCE_STATE, "ca_id",
                         "CA %s is in no hierarchy: it signs leaves alone", parent->id);
    return ca_may_be_parent(parent->certificate, parent->state, clock_now_s(), fault);
}

bool ca_parent_stays(const struct ca_work *work, const char *parent_id, struct fault *fault)
{
    struct rows *rows = db_query(work->ctx, work->run->db, &ca_parent_lock, fault, TEXT(parent_id));

    if (!rows)
        return false;
    return (rows->count == 1 && text_equal(row_text(rows, 0, "state"), "active")) ||
           fault_set(fault, RESOURCE_STATE, "ca_id", "parent CA is not in active state");
}

const char *ca_single_id(const struct ca_work *work, const struct certificate *certificate)
{
    return mem_printf(work->ctx, "ca-%.16s", certificate->fingerprint_sha256);
}

bool ca_give_facts(const struct ca_work *work, const struct ca_order *order,
                   const struct new_ca *ca, bool signs_leaves, struct signer_reply *ret_reply,
                   struct fault *fault)
{
    struct ca_facts_wish facts = {
        .ca_id = ca->id,
        .certificate_der = ca->certificate->der,
        .max_leaf_days = work->run->settings->signer_max_leaf_days,
        .signs_leaves = signs_leaves,
        .ocsp_urls = order->ocsp_urls,
        .ca_issuers_urls = order->ca_issuers_urls,
        .crl_urls = order->crl_urls,
        .before = ca->before,
    };

    if (ca->ocsp_url) {
        facts.ocsp_urls = (struct text_list){0};
        text_list_add(work->ctx, &facts.ocsp_urls, ca->ocsp_url);
    }
    ca_constraints_of(work->ctx, ca->certificate, &facts.permitted_dns, &facts.excluded_dns);
    return ca_write_facts(work, ca->key_ref, ca_facts_text(work->ctx, &facts), ret_reply, fault);
}

static struct ca_wish wish_of(const struct ca_work *work, const struct ca_order *order,
                              struct bytes spki)
{
    return ca_order_wish(work->ctx, order, spki, clock_now_s(),
                         work->run->settings->not_before_backdate_ms / 1000);
}

/* What failed after a key was made: unless the rows may be there, and then name it. */
static bool given_up(const struct ca_work *work, const struct new_ca *ca, const struct fault *fault)
{
    if (fault->reason != DATABASE_COMMIT_UNKNOWN)
        ca_forget(work, ca);
    return false;
}

/* self_signed */

static bool store_self_signed(const struct ca_work *work, void *arg, struct fault *fault)
{
    const struct new_ca *ca = arg;
    const struct ca_event event = {"ca_bootstrap", ca, "active", NULL, NULL};

    return ca_none_active(work, fault) && ca_store_instance(work, ca, false, fault) &&
           ca_store_done(work, NULL, ca->key_ref, ca->chain_pem, fault) &&
           ca_store_audit(work, &event, NULL, fault);
}

static bool make_self_signed(const struct ca_work *work, const struct ca_order *order,
                             struct new_ca *ca, struct fault *fault)
{
    struct signer_reply reply;
    struct bytes spki = {0};

    if (!ca_make_key(work, "ca", ca, &spki, fault))
        return false;
    const struct ca_wish wish = wish_of(work, order, spki);
    if (!ca_certify(work, &wish, ca, fault))
        return false;
    ca->id = ca->name = ca_single_id(work, ca->certificate);
    return ca_give_facts(work, order, ca, true, &reply, fault) &&
           ca_in_transaction(work, store_self_signed, ca, fault);
}

static bool self_signed(const struct ca_work *work, const struct ca_order *order,
                        struct fault *fault)
{
    struct new_ca ca = {.algorithm = order->algorithm, .driver = order->driver};

    if (!ca_none_active(work, fault))
        return false;
    return make_self_signed(work, order, &ca, fault) || given_up(work, &ca, fault);
}

/* create_child and sign_csr */

struct child {
    struct new_ca ca;
    bool ours; /* we hold its key */
};

static bool store_child(const struct ca_work *work, void *arg, struct fault *fault)
{
    const struct child *child = arg;
    const struct new_ca *ca = &child->ca;
    const struct ca_event event = {"intermediate_ca_child_created", ca, "active",
                                   child->ours ? NULL : "its key is elsewhere", NULL};

    return ca_parent_stays(work, ca->parent_id, fault) && ca_store_intermediate(work, ca, fault) &&
           (!child->ours || ca_store_instance(work, ca, true, fault)) &&
           ca_store_done(work, ca->id, ca->key_ref, ca->chain_pem, fault) &&
           ca_store_audit(work, &event, NULL, fault);
}

static struct new_ca below(const struct ca_work *work, const struct ca_order *order,
                           const struct held_ca *parent)
{
    return (struct new_ca){
        .id = id_new(work->ctx, "ica"),
        .name = order->name ? order->name : order->common_name,
        .algorithm = order->algorithm,
        .driver = order->driver,
        .parent_id = parent->intermediate_id,
        .parent_key_ref = parent->key_ref,
        .parent_chain = parent->chain_pem,
        .ocsp_url = order->ocsp_responder_url,
        .metadata = order->metadata,
    };
}

/* The wish without its key has been held against the parent. */
static bool make_child(const struct ca_work *work, const struct ca_order *order,
                       struct ca_wish *wish, struct child *child, struct fault *fault)
{
    struct signer_reply reply;

    if (!ca_make_key(work, "issuing", &child->ca, &wish->spki, fault) ||
        !ca_certify(work, wish, &child->ca, fault))
        return false;
    const bool signs_leaves = child->ca.certificate->path_len <= 0;
    return ca_give_facts(work, order, &child->ca, signs_leaves, &reply, fault) &&
           ca_in_transaction(work, store_child, child, fault);
}

static bool create_child(const struct ca_work *work, const struct ca_order *order,
                         struct fault *fault)
{
    struct held_ca parent = {0};

    if (!ca_held(work, order->ca_id, &parent, fault) || !ca_held_may_be_parent(&parent, fault))
        return false;
    struct ca_wish wish = wish_of(work, order, (struct bytes){0});
    if (!ca_fit_below(work->ctx, parent.certificate, &wish, fault))
        return false;
    struct child child = {.ca = below(work, order, &parent), .ours = true};
    return make_child(work, order, &wish, &child, fault) || given_up(work, &child.ca, fault);
}

/* Subject and key are the request's; everything else is what was approved. */
static bool sign_csr(const struct ca_work *work, const struct ca_order *order, struct fault *fault)
{
    struct held_ca parent = {0};
    struct rdn *subject = NULL;
    struct ca_wish wish;
    const struct csr *csr = ca_csr_read(work->ctx, order->csr, fault);

    if (!csr || !ca_held(work, order->ca_id, &parent, fault) ||
        !ca_held_may_be_parent(&parent, fault))
        return false;
    wish = wish_of(work, order, csr->spki);
    if (!ca_subject_read(work->ctx, ca_csr_subject(work->ctx, csr), &subject, &wish.subject_count,
                         fault) ||
        !ca_fit_below(work->ctx, parent.certificate, &wish, fault))
        return false;
    wish.subject = subject;
    struct child child = {.ca = below(work, order, &parent)};
    if (!child.ca.name)
        child.ca.name = csr->common_name ? csr->common_name : child.ca.id;
    return ca_certify(work, &wish, &child.ca, fault) &&
           ca_in_transaction(work, store_child, &child, fault);
}

/* csr */

struct asked {
    struct new_ca ca;
    const char *pem;
};

static bool store_request(const struct ca_work *work, void *arg, struct fault *fault)
{
    const struct asked *asked = arg;
    const struct ca_event event = {"ca_csr_created", &asked->ca, "requested", NULL, NULL};

    return ca_store_done(work, NULL, asked->ca.key_ref, asked->pem, fault) &&
           ca_store_audit(work, &event, NULL, fault);
}

static bool request_elsewhere(const struct ca_work *work, const struct ca_order *order,
                              struct fault *fault)
{
    struct asked asked = {
        .ca = {.id = work->request_id,
               .name = order->common_name,
               .algorithm = order->algorithm,
               .driver = order->driver}
    };
    struct signer_reply reply;
    struct bytes spki = {0};

    if (!ca_make_key(work, "sub", &asked.ca, &spki, fault))
        return false;
    const struct signer_request request = {
        .kind = SIGNER_SIGN_CSR, .key_ref = asked.ca.key_ref, .ca = wish_of(work, order, spki)};
    if (!ca_ask(work, &request, &reply, fault))
        return given_up(work, &asked.ca, fault);
    asked.pem = pem_encode(work->ctx, "CERTIFICATE REQUEST", reply.der);
    return ca_in_transaction(work, store_request, &asked, fault) ||
           given_up(work, &asked.ca, fault);
}

static const struct {
    enum ca_order_kind kind;
    bool (*carry_out)(const struct ca_work *work, const struct ca_order *order,
                      struct fault *fault);
} kinds[] = {
    {CA_SELF_SIGNED,  self_signed      },
    {CA_CREATE_CHILD, create_child     },
    {CA_CSR,          request_elsewhere},
    {CA_IMPORT,       ca_import        },
    {CA_SIGN_CSR,     sign_csr         },
    {CA_RENEW,        ca_renew         },
    {CA_RETIRE,       ca_retire        },
    {CA_FACTS,        ca_change_facts  },
};

bool ca_carry_out(struct job_run *run, const char *request_id, const struct ca_request *request,
                  const struct ca_order *order, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct ca_work work = {ctx, run, request_id, request};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].kind == order->kind)
            return kinds[i].carry_out(&work, order, fault);
    return fault_set(fault, INTERNAL, "kind", "a kind of request is not in the table");
}
