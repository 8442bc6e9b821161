/* lib/net/hop.c: resolve, judge every address, connect to one of them (01 section 11.2). */
#include "net/hop.h"

#include <string.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define CONNECT_MS 5000
#define ANSWER_MS  10000

static void on_fetched(void *context, const struct fetch_result *result)
{
    struct hop *hop = context;
    struct validation *validation = hop->validation;

    if (result->address) /* the last one stays when a later connection fails */
        validation->address = mem_text(validation, result->address);
    if (result->fault.reason == NET_CONNECTION && !result->connected && hop->on_v6 &&
        hop->v4.count > 0) {
        hop->on_v6 = false;
        hop->step = HOP_CONNECT;
    } else if (result->fault.reason != REASON_NONE) {
        validation_finish(validation, result->fault.reason == NET_CONNECTION, &result->fault);
    } else {
        hop->answered(validation, result);
    }
}

static void hop_connect(struct hop *hop)
{
    const struct hop_addresses *addresses = hop->on_v6 ? &hop->v6 : &hop->v4;
    struct validation *validation = hop->validation;
    struct fault fault = {0};

    hop->fetch.addresses = addresses->items;
    hop->fetch.address_count = addresses->count;
    hop->fetch.deadline_us = validation->wish->deadline_us;
    hop->fetch.connect_ms = CONNECT_MS;
    hop->fetch.headers_ms = ANSWER_MS;
    if (!fetch_start(validation->held, validation->rig->fetcher, &hop->fetch, on_fetched, hop,
                     &fault))
        validation_finish(validation, true, &fault);
}

/* Any address that is refused refuses the name: else a second answer could be slipped in. */
static void hop_resolved(struct hop *hop)
{
    struct validation *validation = hop->validation;
    struct fault fault = {0};

    validation->question = NULL;
    if (hop->address_refused) {
        fault_set(&fault, NET_ADDRESS_REFUSED, NULL,
                  "%s %s an address this server does not contact", hop->host,
                  hop->is_address ? "is" : "resolves to");
        fault_cause(&fault, "address %s", validation->address);
        validation_finish(validation, false, &fault);
    } else if (hop->v4.count + hop->v6.count == 0) {
        validation_finish(validation, true, &hop->dns_fault);
    } else {
        hop->on_v6 = hop->v6.count > 0;
        hop->step = HOP_CONNECT;
    }
}

static void address_add(struct hop *hop, const struct net_address *address)
{
    struct validation *validation = hop->validation;
    struct hop_addresses *list = address->v6 ? &hop->v6 : &hop->v4;

    if (!guard_allows(validation->rig->guard, address)) {
        hop->address_refused = true;
        validation->address = net_address_to_text(validation, address);
    } else if (list->count < HOP_ADDRESSES_MAX) {
        list->items[list->count++] = *address;
    }
}

static void on_answer(void *context, const struct dns_answer *answer)
{
    struct hop *hop = context;
    const size_t size = answer->type == DNS_AAAA ? 16 : 4;

    for (size_t i = 0; i < answer->count; i++) {
        struct net_address address = {.v6 = answer->type == DNS_AAAA};

        if (answer->records[i].size != size)
            continue;
        memcpy(address.octets, answer->records[i].data, size);
        address_add(hop, &address);
    }
    /* A server that failed says more than a type that is not there; else what was said of A. */
    if (answer->fault.reason != REASON_NONE &&
        (hop->dns_fault.reason == REASON_NONE || answer->type == DNS_A || !answer->absent))
        hop->dns_fault = answer->fault;
    if (--hop->questions_open == 0)
        hop_resolved(hop);
}

static void resolve(struct hop *hop)
{
    static const enum dns_type types[] = {DNS_AAAA, DNS_A};
    struct validation *validation = hop->validation;

    validation->question = mem_printf(validation->held, "%s A, AAAA", hop->host);
    hop->questions_open = ARRAY_SIZE(types);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct fault fault = {0};

        if (!resolver_ask(validation->held, validation->wish->addresses, hop->host, types[i],
                          on_answer, hop, &fault)) {
            validation_finish(validation, true, &fault);
            return;
        }
    }
}

static void look_up(struct hop *hop)
{
    struct validation *validation = hop->validation;
    struct net_address address;

    talloc_free(validation->held);
    validation->held = talloc_new(validation);
    hop->is_address = net_address_from_text(hop->host, &address);
    if (!hop->is_address) {
        resolve(hop);
        return;
    }
    address_add(hop, &address);
    hop_resolved(hop);
}

void hop_begin(struct hop *hop, struct validation *validation, const struct fetch_wish *fetch,
               const char *host, hop_answered *answered)
{
    *hop = (struct hop){
        .validation = validation,
        .fetch = *fetch,
        .host = host,
        .answered = answered,
        .step = HOP_RESOLVE,
    };
    validation->url = fetch->url;
}

void hop_step(struct hop *hop)
{
    while (hop->step != HOP_WAIT && !hop->validation->over) {
        const bool resolves = hop->step == HOP_RESOLVE;

        hop->step = HOP_WAIT;
        if (resolves)
            look_up(hop);
        else
            hop_connect(hop);
    }
}
