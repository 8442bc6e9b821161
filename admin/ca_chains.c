/* admin/ca_chains.c: certctl-admin ca chains: what clients may have above a certificate in place of
 * its CA's own chain (RFC 8555 section 7.4.2, 01 section 10.4). Certificates of others for a key
 * that is ours already: no CA comes into being, so nobody has to approve. */
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"

#include "ca_order.h"

#include "core/banned.h"

/* $1 CA. */
STATEMENT(ca_chains_read,
          "SELECT chain_pem, alternate_chains FROM ca_instances WHERE id = $1::text");

/* $1 CA, $2 chains, $3 id of the event, $4 who, $5 details. */
STATEMENT(ca_chains_write,
          "WITH changed AS (UPDATE ca_instances SET alternate_chains = $2::text[] "
          "WHERE id = $1::text RETURNING id) "
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, event_category) SELECT $3::text, $4::text, 'User', 'ca_chains_set', "
          "'intermediate_ca', changed.id, $5::text::jsonb, 'config' FROM changed");

struct chain {
    struct certificate **items;
    size_t count;
};

/* The CA's own chain first, then those that clients may choose. */
struct chains {
    const char *ca_id;
    struct chain items[1 + CA_ALTERNATES_MAX];
    size_t count;
    struct text_list pem; /* of all but the first */
};

static bool take(struct admin *admin, const char *pem, struct chain *ret_chain, struct fault *fault)
{
    return ca_chain_read(admin->ctx, pem, &ret_chain->items, &ret_chain->count, fault);
}

/* What a client that is told to prefer a chain compares: who issued its last certificate. */
static const char *anchor_of(struct admin *admin, const struct chain *chain)
{
    const X509_NAME *issuer = X509_get_issuer_name(chain->items[chain->count - 1]->x509);
    AUTO(BIO) *out = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (!out || X509_NAME_print_ex(out, issuer, 0, XN_FLAG_RFC2253) < 0)
        return "";
    const long length = BIO_get_mem_data(out, &text);
    return mem_text_n(admin->ctx, text, (size_t)length);
}

static int64_t ends(const struct chain *chain)
{
    int64_t first = chain->items[0]->not_after;

    for (size_t i = 1; i < chain->count; i++)
        first = least(first, chain->items[i]->not_after);
    return first;
}

static int show(struct admin *admin, const struct chains *chains)
{
    for (size_t i = 0; i < chains->count; i++)
        (void)printf("%zu\t%s\t%s\n", i, anchor_of(admin, &chains->items[i]),
                     time_to_rfc3339(admin->ctx, ends(&chains->items[i])));
    return EX_OK;
}

/* The CA's own, and *ret_stored those that are set. */
static bool load(struct admin *admin, struct chains *chains, struct text_list *ret_stored,
                 struct fault *fault)
{
    struct rows *rows = db_query(admin->ctx, admin->db, &ca_chains_read, fault,
                                 TEXT(chains->ca_id));

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, "id", "there is no CA %s",
                         text_quote(admin->ctx, chains->ca_id));
    *ret_stored = row_texts(admin->ctx, rows, 0, "alternate_chains");
    chains->count = 1;
    return take(admin, row_text(rows, 0, "chain_pem"), &chains->items[0], fault);
}

static bool load_stored(struct admin *admin, struct chains *chains, const struct text_list *stored,
                        struct fault *fault)
{
    for (size_t i = 0; i < stored->count && chains->count <= CA_ALTERNATES_MAX; i++)
        if (!take(admin, stored->items[i], &chains->items[chains->count++], fault))
            return false;
    return true;
}

static bool judge(const struct chains *chains, const struct chain *chain, struct fault *fault)
{
    if (!ca_chain_serves(chains->items[0].items[0], chain->items, chain->count, clock_now_s(),
                         fault))
        return false;
    for (size_t i = 0; i < chains->count; i++)
        if (ca_chain_same(chain->items, chain->count, chains->items[i].items,
                          chains->items[i].count))
            return fault_set(fault, INPUT_INVALID, "chain",
                             "without its root it is the same as chain %zu", i);
    return true;
}

static bool add(struct admin *admin, struct chains *chains, const char *path, struct fault *fault)
{
    struct chain *chain = &chains->items[chains->count];
    const char *text = NULL;
    char *pem = mem_text(admin->ctx, "");

    if (!ca_read_file(admin, path, &text, fault))
        return false;
    if (!take(admin, text, chain, fault) || !judge(chains, chain, fault)) {
        const char *why = mem_text(admin->ctx, fault->detail);
        return fault_set(fault, fault->reason, "chain", "%s: %s", path, why);
    }
    for (size_t i = 0; i < chain->count; i++)
        pem = mem_append(pem, "%s", pem_encode(admin->ctx, "CERTIFICATE", chain->items[i]->der));
    text_list_add(admin->ctx, &chains->pem, pem);
    chains->count++;
    return true;
}

static const char *details_of(struct admin *admin, const struct chains *chains)
{
    AUTO(json_t) *details = json_object();
    json_t *list = json_array();

    for (size_t i = 1; i < chains->count; i++)
        json_add_text(list, anchor_of(admin, &chains->items[i]));
    json_set_new(details, "chains", list);
    return json_to_text(admin->ctx, details);
}

static int store(struct admin *admin, const struct chains *chains)
{
    struct fault fault = {0};
    struct rows *rows = db_query(
        admin->ctx, admin->db, &ca_chains_write, &fault, TEXT(chains->ca_id), TEXTS(&chains->pem),
        TEXT(id_new(admin->ctx, "audit")), TEXT(admin->actor), TEXT(details_of(admin, chains)));

    return rows ? EX_OK : admin_failed(&fault);
}

/* All of them or none: a file that is no good changes nothing. */
static int set(struct admin *admin, struct chains *chains, size_t count, char **paths)
{
    struct fault fault = {0};

    if (count > CA_ALTERNATES_MAX) {
        fault_set(&fault, INPUT_INVALID, "chain", "more than %d chains", CA_ALTERNATES_MAX);
        return admin_failed(&fault);
    }
    for (size_t i = 0; i < count; i++)
        if (!add(admin, chains, paths[i], &fault))
            return admin_failed(&fault);
    return store(admin, chains);
}

int ca_chains_verb(struct admin *admin, int argc, char **argv)
{
    const bool none = argc == 3 && text_equal(argv[2], "--none");
    struct chains *chains = mem_new(admin->ctx, struct chains);
    struct text_list stored = {0};
    struct fault fault = {0};

    if (argc < 2)
        return admin_misused(ca_verbs, ca_verbs_count, argv[0]);
    for (int i = 2; i < argc; i++)
        if (text_starts(argv[i], "--") && !none)
            return admin_misused(ca_verbs, ca_verbs_count, argv[0]);
    chains->ca_id = argv[1];
    if (!load(admin, chains, &stored, &fault))
        return admin_failed(&fault);
    if (none)
        return store(admin, chains);
    if (argc > 2)
        return set(admin, chains, (size_t)argc - 2, argv + 2); /* at least one */
    return load_stored(admin, chains, &stored, &fault) ? show(admin, chains) : admin_failed(&fault);
}
