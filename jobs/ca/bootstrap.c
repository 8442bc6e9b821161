/* jobs/ca/bootstrap.c: a root and an issuing CA below it, made once (04 sections 3.3 and 5.3).
 *
 * The keys are made before the transaction, so that no lock is held while an RSA key is searched. A
 * run that is killed in between leaves keys that no row names: harmless, and the next run starts
 * anew with other names. */
#include "jobs/ca/bootstrap.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/memory.h"

#include "jobs/ca/store.h"

#include "core/banned.h"

struct making {
    const struct ca_bootstrap *wanted;
    struct new_ca root;
    struct new_ca issuing;
};

static bool make_ca(const struct ca_work *work, const struct making *making, enum ca_place place,
                    struct new_ca *ca, struct fault *fault)
{
    const struct settings *settings = work->run->settings;
    struct signer_reply reply;
    struct bytes spki = {0};

    if (!ca_make_key(work, place == CA_PLACE_ROOT ? "root" : "issuing", ca, &spki, fault))
        return false;
    const struct ca_wish wish = ca_bootstrap_wish(work->ctx, making->wanted, place, spki,
                                                  clock_now_s(),
                                                  settings->not_before_backdate_ms / 1000);
    return ca_certify(work, &wish, ca, fault) &&
           ca_write_facts(work, ca->key_ref,
                          ca_bootstrap_facts(work->ctx, making->wanted, place, ca->id,
                                             ca->certificate->der, settings->signer_max_leaf_days),
                          &reply, fault);
}

static bool make_both(const struct ca_work *work, struct making *making, struct fault *fault)
{
    struct new_ca *issuing = &making->issuing;

    if (!make_ca(work, making, CA_PLACE_ROOT, &making->root, fault))
        return false;
    issuing->parent_id = making->root.id;
    issuing->parent_key_ref = making->root.key_ref;
    issuing->parent_chain = making->root.chain_pem;
    return make_ca(work, making, CA_PLACE_ISSUING, issuing, fault);
}

static bool store(const struct ca_work *work, void *arg, struct fault *fault)
{
    const struct making *making = arg;
    const struct ca_event root = {"intermediate_ca_root_created", &making->root, "active", NULL,
                                  NULL};
    const struct ca_event issuing = {"intermediate_ca_child_created", &making->issuing, "active",
                                     NULL, NULL};

    return ca_none_active(work, fault) && ca_set_tree(work, fault) &&
           ca_store_intermediate(work, &making->root, fault) &&
           ca_store_intermediate(work, &making->issuing, fault) &&
           ca_store_instance(work, &making->root, true, fault) &&
           ca_store_instance(work, &making->issuing, true, fault) &&
           ca_store_done(work, making->issuing.id, making->issuing.key_ref, NULL, fault) &&
           ca_store_audit(work, &root, &issuing, fault);
}

bool ca_bootstrap_carry_out(struct job_run *run, const char *request_id,
                            const struct ca_request *request, const struct ca_bootstrap *bootstrap,
                            struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct ca_work work = {ctx, run, request_id, request};
    struct making making = {
        .wanted = bootstrap,
        .root = {.id = id_new(ctx, "ica"),
                 .name = bootstrap->root_common_name,
                 .algorithm = bootstrap->root_algorithm,
                 .driver = bootstrap->root_driver   },
        .issuing = {.id = id_new(ctx, "ica"),
                 .name = bootstrap->issuing_common_name,
                 .algorithm = bootstrap->issuing_algorithm,
                 .driver = bootstrap->issuing_driver},
    };

    if (!ca_none_active(&work, fault))
        return false;
    if (make_both(&work, &making, fault) && ca_in_transaction(&work, store, &making, fault))
        return true;
    if (fault->reason == DATABASE_COMMIT_UNKNOWN)
        return false; /* the rows may be there, and then name these keys */
    ca_forget(&work, &making.issuing);
    ca_forget(&work, &making.root);
    return false;
}
