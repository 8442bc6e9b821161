/* jobs/ca/facts.c: what the signer knows about a CA becomes what was approved (04 section 5.2).
 *
 * The signer's file first, then the rows: a run that is killed in between finds the file as it
 * should be, and writes the rows. */
#include "core/auto.h"
#include "core/memory.h"
#include "lifecycle/ca_facts.h"

#include "jobs/ca/carry_out.h"

#include "core/banned.h"

/* $1 CA, $2 its own responder's URL or NULL. */
STATEMENT(ca_facts_responder,
          "UPDATE intermediate_cas SET ocsp_responder_url = $2::text WHERE id = $1::text");

struct change {
    const struct ca_order *order;
    const struct held_ca *ca;
};

/* A renewed CA gets the responder that its row names. */
static bool store_responder(const struct ca_work *work, const struct change *change,
                            struct fault *fault)
{
    const struct ca_order *order = change->order;

    if (!change->ca->intermediate_id || !json_object_get(order->change, "ocsp_urls"))
        return true;
    return ca_touched_one(db_query(work->ctx, work->run->db, &ca_facts_responder, fault,
                                   TEXT(change->ca->intermediate_id),
                                   TEXT(order->ocsp_responder_url)),
                          "the CA is gone", fault);
}

static bool store(const struct ca_work *work, void *arg, struct fault *fault)
{
    const struct change *change = arg;
    const struct held_ca *held = change->ca;
    const struct new_ca ca = {.id = held->id,
                              .name = held->name,
                              .key_ref = held->key_ref,
                              .parent_id = held->parent_id,
                              .certificate = held->certificate};
    const struct ca_event event = {"ca_facts_changed", &ca, held->state, NULL,
                                   change->order->change};

    return store_responder(work, change, fault) &&
           ca_store_done(work, held->intermediate_id, held->key_ref, NULL, fault) &&
           ca_store_audit(work, &event, NULL, fault);
}

json_t *ca_facts_now(const struct ca_work *work, const struct held_ca *ca, struct fault *fault)
{
    const struct signer_request request = {.kind = SIGNER_SHOW_FACTS, .key_ref = ca->key_ref};
    struct signer_reply reply;

    if (!ca_ask(work, &request, &reply, fault))
        return NULL;
    return ca_facts_read(reply.facts_json ? reply.facts_json : "", ca->certificate->der, fault);
}

bool ca_change_facts(const struct ca_work *work, const struct ca_order *order, struct fault *fault)
{
    struct held_ca ca = {0};
    struct change change = {order, &ca};
    struct signer_reply reply;
    bool changed = false;

    if (!ca_held(work, order->ca_id, &ca, fault))
        return false;
    AUTO(json_t) *facts = ca_facts_now(work, &ca, fault);
    if (!facts || !ca_facts_apply(facts, order->change, &changed, fault))
        return false;
    if (changed && !ca_write_facts(work, ca.key_ref, json_to_text(work->ctx, facts), &reply, fault))
        return false;
    return ca_in_transaction(work, store, &change, fault);
}
