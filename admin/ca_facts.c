/* admin/ca_facts.c: certctl-admin ca facts: what the signer knows about a CA, and a request that it
 * know something else (04 sections 4.0 and 5.2). */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/memory.h"
#include "lifecycle/ca_facts.h"
#include "signer/client.h"

#include "ca_order.h"

#include "core/banned.h"

#define NUMBER_MAX   1000000000
#define FIRST_LETTER 1000

/* $1 CA. */
STATEMENT(ca_facts_of, "SELECT c.id, c.issuer_id, c.key_ref, c.cert_der, m.ocsp_responder_url "
                       "FROM ca_instances c "
                       "LEFT JOIN intermediate_cas m ON m.id = c.intermediate_ca_id "
                       "WHERE c.id = $1::text");

/* What was asked; -1 and empty lists: nothing was said. */
struct wanted {
    const char *base_url;
    const char *ocsp_url;
    int64_t max_leaf_days;
    int64_t signatures_per_hour;
    int64_t crl_validity_s;
    int64_t ocsp_validity_s;
    struct text_list ekus;
    struct text_list policies;
    struct text_list permitted;
    struct text_list excluded;
    struct text_list clear;
};

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_DURATION, OPTION_LIST };

/* The letters of getopt_long are places in this table. */
static const struct {
    const char *name;
    enum option_kind kind;
    size_t offset;
    const char *member; /* of the facts; NULL: it is not one of them alone */
} known[] = {
    {"base-url",            OPTION_TEXT,     AT(wanted, base_url),            NULL                   },
    {"ocsp-url",            OPTION_TEXT,     AT(wanted, ocsp_url),            NULL                   },
    {"max-leaf-days",       OPTION_NUMBER,   AT(wanted, max_leaf_days),       "max_leaf_days"        },
    {"signatures-per-hour", OPTION_NUMBER,   AT(wanted, signatures_per_hour),
     "signatures_per_hour_per_peer"                                                                  },
    {"crl-validity",        OPTION_DURATION, AT(wanted, crl_validity_s),      "crl_validity_seconds" },
    {"ocsp-validity",       OPTION_DURATION, AT(wanted, ocsp_validity_s),     "ocsp_validity_seconds"},
    {"eku",                 OPTION_LIST,     AT(wanted, ekus),                "allowed_ekus"         },
    {"policy",              OPTION_LIST,     AT(wanted, policies),            "allowed_policies"     },
    {"permit",              OPTION_LIST,     AT(wanted, permitted),           "permitted_dns"        },
    {"exclude",             OPTION_LIST,     AT(wanted, excluded),            "excluded_dns"         },
    {"clear",               OPTION_LIST,     AT(wanted, clear),               NULL                   },
};

/* A CA, and what its signer knows of it. */
struct held {
    const char *id;
    const char *issuer_id;
    const char *key_ref;
    const char *ocsp_url; /* its own, or NULL */
    json_t *facts;        /* hangs on the admin's ctx */
};

static bool take_option(struct admin *admin, size_t index, const char *value, struct wanted *wanted)
{
    void *place = (char *)wanted + known[index].offset;
    int64_t duration_ms = 0;

    switch (known[index].kind) {
    case OPTION_TEXT:
        memcpy(place, &value, sizeof value);
        return true;
    case OPTION_NUMBER:
        return text_to_integer(value, 0, NUMBER_MAX, place);
    case OPTION_DURATION:
        if (!text_to_duration_ms(value, &duration_ms) || duration_ms % 1000 != 0)
            return false;
        *(int64_t *)place = duration_ms / 1000;
        return true;
    case OPTION_LIST:
        text_list_add(admin->ctx, place, value);
        return true;
    }
    return false;
}

static bool parse(struct admin *admin, int argc, char **argv, struct wanted *wanted,
                  const char **ret_id)
{
    struct option options[ARRAY_SIZE(known) + 1] = {0};
    int letter;

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        options[i] = (struct option){known[i].name, required_argument, NULL,
                                     FIRST_LETTER + (int)i}; /* a few of them */
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (letter < FIRST_LETTER || !take_option(admin, letter - FIRST_LETTER, optarg, wanted))
            return false;
    *ret_id = argv[optind];
    return optind + 1 == argc;
}

static bool ask(struct admin *admin, enum signer_kind kind, const char *key_ref, const char *text,
                struct signer_reply *ret_reply, struct fault *fault)
{
    const struct signer_request request = {.kind = kind, .key_ref = key_ref, .facts_json = text};

    return signer_call(admin->ctx, admin->settings->signer_admin_socket, &request, ret_reply,
                       fault);
}

static bool look_up(struct admin *admin, const char *id, struct held *ret_held, struct fault *fault)
{
    struct rows *rows = db_query(admin->ctx, admin->db, &ca_facts_of, fault, TEXT(id));
    struct signer_reply reply = {0};

    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, "ca_id", "there is no CA %s",
                         text_quote(admin->ctx, id));
    *ret_held = (struct held){
        .id = row_text(rows, 0, "id"),
        .issuer_id = row_text(rows, 0, "issuer_id"),
        .key_ref = row_text(rows, 0, "key_ref"),
        .ocsp_url = row_text(rows, 0, "ocsp_responder_url"),
    };
    if (!ask(admin, SIGNER_SHOW_FACTS, ret_held->key_ref, NULL, &reply, fault))
        return false;
    json_t *facts = ca_facts_read(reply.facts_json ? reply.facts_json : "",
                                  row_bytes(admin->ctx, rows, 0, "cert_der"), fault);
    if (!facts)
        return false;
    ret_held->facts = mem_adopt(admin->ctx, facts, json_decref);
    return true;
}

static json_t *list_of(const struct text_list *texts)
{
    json_t *list = json_array();

    for (size_t i = 0; i < texts->count; i++)
        json_add_text(list, texts->items[i]);
    return list;
}

static void propose_urls(struct admin *admin, const struct held *held, const char *member,
                         const struct text_list *urls, json_t *change)
{
    const struct text_list named = ca_urls_named(admin->ctx, urls, true, held->id);

    ca_facts_propose(change, held->facts, member, list_of(&named));
}

/* The responder of a CA that has its own is not where the others are. */
static void propose_places(struct admin *admin, const struct held *held,
                           const struct wanted *wanted, json_t *change)
{
    struct ca_bootstrap places = {0};

    ca_add_urls(admin->ctx, wanted->base_url, held->issuer_id, &places);
    if (wanted->ocsp_url) {
        places.ocsp_urls = (struct text_list){0};
        text_list_add(admin->ctx, &places.ocsp_urls, wanted->ocsp_url);
    }
    if (wanted->ocsp_url || (wanted->base_url && !held->ocsp_url))
        propose_urls(admin, held, "ocsp_urls", &places.ocsp_urls, change);
    if (wanted->base_url) {
        propose_urls(admin, held, "ca_issuers_urls", &places.ca_issuers_urls, change);
        propose_urls(admin, held, "crl_urls", &places.crl_urls, change);
    }
}

static void propose_members(const struct held *held, const struct wanted *wanted, json_t *change)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        const void *place = (const char *)wanted + known[i].offset;
        const bool list = known[i].kind == OPTION_LIST;
        if (!known[i].member)
            continue;
        if (list && ((const struct text_list *)place)->count > 0)
            ca_facts_propose(change, held->facts, known[i].member, list_of(place));
        if (!list && *(const int64_t *)place >= 0)
            ca_facts_propose(change, held->facts, known[i].member,
                             json_integer(*(const int64_t *)place));
    }
}

static bool propose_clearing(struct admin *admin, const struct held *held,
                             const struct wanted *wanted, json_t *change, struct fault *fault)
{
    for (size_t i = 0; i < wanted->clear.count; i++) {
        const char *member = wanted->clear.items[i];
        if (!json_object_get(held->facts, member))
            return fault_set(fault, INPUT_INVALID, "clear", "the CA's facts do not say %s",
                             text_quote(admin->ctx, member));
        if (json_object_get(change, member))
            return fault_set(fault, INPUT_INVALID, "clear", "%s is both set and cleared", member);
        ca_facts_propose(change, held->facts, member, json_null());
    }
    return true;
}

/* The file as it would be, held against what the signer takes. */
static bool signer_takes(struct admin *admin, const struct held *held, json_t *change,
                         struct fault *fault)
{
    AUTO(json_t) *after = json_deep_copy(held->facts);
    struct signer_reply reply = {0};
    bool changed = false;

    return ca_facts_apply(after, change, &changed, fault) &&
           (!changed || ask(admin, SIGNER_CHECK_FACTS, held->key_ref,
                            json_to_text(admin->ctx, after), &reply, fault));
}

static int submit(struct admin *admin, const struct held *held, const struct wanted *wanted)
{
    AUTO(json_t) *change = json_object();
    struct ca_order order = {.kind = CA_FACTS,
                             .ca_id = held->id,
                             .change = change,
                             .ocsp_responder_url = wanted->ocsp_url};
    struct ca_order checked;
    struct fault fault = {0};

    propose_places(admin, held, wanted, change);
    propose_members(held, wanted, change);
    if (!propose_clearing(admin, held, wanted, change, &fault) ||
        !ca_facts_change_fits(change, &fault))
        return admin_failed(&fault);
    AUTO(json_t) *body = ca_order_to_body(&order);
    if (!ca_order_from_body(admin->ctx, ca_order_kind_text(CA_FACTS), body, &checked, &fault) ||
        !signer_takes(admin, held, change, &fault))
        return admin_failed(&fault);
    return ca_submit(admin, ca_order_kind_text(CA_FACTS), held->issuer_id, body);
}

/* All but the certificate, which ca show prints. */
static int show(struct admin *admin, const struct held *held)
{
    const char *name;
    json_t *value;

    json_object_foreach (held->facts, name, value)
        if (!text_equal(name, "ca_certificate"))
            (void)printf("%s\t%s\n", name, ca_shown(admin->ctx, value));
    return EX_OK;
}

int ca_facts_verb(struct admin *admin, int argc, char **argv)
{
    struct wanted wanted = {.max_leaf_days = -1,
                            .signatures_per_hour = -1,
                            .crl_validity_s = -1,
                            .ocsp_validity_s = -1};
    struct held held = {0};
    struct fault fault = {0};
    const char *id = NULL;

    if (!parse(admin, argc, argv, &wanted, &id))
        return admin_misused(ca_verbs, ca_verbs_count, argv[0]);
    if (!look_up(admin, id, &held, &fault))
        return admin_failed(&fault);
    return argc == 2 ? show(admin, &held) : submit(admin, &held, &wanted);
}

bool ca_facts_evidence(struct admin *admin, const struct ca_order *order, struct fault *fault)
{
    struct held held = {0};
    const char *name;
    json_t *step;

    if (!look_up(admin, order->ca_id, &held, fault) ||
        !signer_takes(admin, &held, order->change, fault))
        return false;
    json_object_foreach (order->change, name, step) {
        (void)printf("was:          %s %s\n", name,
                     ca_shown(admin->ctx, json_object_get(step, "old")));
        (void)printf("will be:      %s %s\n", name,
                     ca_shown(admin->ctx, json_object_get(step, "new")));
    }
    return true;
}
