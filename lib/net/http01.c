/* lib/net/http01.c: resolve, judge, connect, compare; each redirect the same again (RFC 8555
 * section 8.3, 01 section 11.4). */
#include "net/http01.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"
#include "net/target.h"

#include "core/banned.h"

#define CONNECT_MS     5000
#define HEADERS_MS     10000
#define ADDRESSES_MAX  8
#define BODY_SHOWN     100
#define STATUS_OK      200
#define STATUS_FAILING 500

struct addresses {
    struct net_address items[ADDRESSES_MAX];
    size_t count;
};

/* What http01_tick does next; answers from outside only set it, so that no call nests. */
enum step { WAIT, RESOLVE, CONNECT };

struct http01 {
    const struct http01_rig *rig;
    enum step step;
    const char *key_authorization;
    http01_done *done;
    void *context;
    int64_t deadline_us;
    struct http_target target; /* where we are */
    struct text_list visited;
    unsigned redirects;
    TALLOC_CTX *hop; /* questions and request of this hop */
    unsigned questions_open;
    bool is_address; /* the host itself: nothing to resolve */
    bool address_refused;
    struct addresses v4;
    struct addresses v6;
    bool on_v6;
    struct fault dns_fault; /* of A, unless AAAA says more */
    const char *address;
    bool over;
};

static void finish(struct http01 *validation, bool valid, bool transient, const struct fault *fault)
{
    struct http01_outcome outcome = {
        .valid = valid,
        .transient = transient,
        .address = validation->address,
        .url = validation->target.url,
        .redirects = validation->redirects,
    };

    if (validation->over)
        return;
    if (fault)
        outcome.fault = *fault;
    validation->over = true;
    validation->done(validation->context, &outcome);
}

static bool white(uint8_t octet)
{
    return octet == ' ' || (octet >= '\t' && octet <= '\r');
}

bool http01_body_matches(struct bytes body, const char *key_authorization)
{
    while (body.size > 0 && white(body.data[body.size - 1]))
        body.size--;
    return bytes_equal(body, bytes_of_text(key_authorization));
}

/* The beginning, in characters that harm no log and no terminal. */
static char *shown(TALLOC_CTX *ctx, struct bytes body)
{
    char *text = mem_array(ctx, char, BODY_SHOWN + 1);

    for (size_t i = 0; i < body.size && i < BODY_SHOWN; i++)
        text[i] = body.data[i] >= ' ' && body.data[i] < 0x7f ? (char)body.data[i] : '?'; /* ASCII */
    return text;
}

static void redirect(struct http01 *validation, const char *location)
{
    struct fault fault = {0};
    struct http_target next;

    if (validation->redirects >= HTTP01_REDIRECTS_MAX) {
        fault_set(&fault, NET_RESPONSE, NULL, "more than %d redirects", HTTP01_REDIRECTS_MAX);
        finish(validation, false, false, &fault);
        return;
    }
    if (!http_target_read(validation, validation->target.url, location, validation->rig->port,
                          &next, &fault)) {
        finish(validation, false, false, &fault);
        return;
    }
    validation->redirects++;
    validation->target = next;
    if (text_list_has(&validation->visited, next.url)) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        fault_set(&fault, NET_RESPONSE, NULL, "redirect loop: %s was asked for before",
                  text_quote(scratch, next.url));
        finish(validation, false, false, &fault);
        return;
    }
    validation->step = RESOLVE;
}

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void judge(struct http01 *validation, const struct fetch_result *result)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault = {0};

    if (is_redirect(result->status) && result->location) {
        redirect(validation, mem_text(scratch, result->location));
        return;
    }
    if (result->status != STATUS_OK) {
        fault_set(&fault, NET_RESPONSE, NULL, "%s answered with status %u",
                  text_quote(scratch, validation->target.url), result->status);
        finish(validation, false, result->status >= STATUS_FAILING, &fault);
        return;
    }
    if (http01_body_matches(result->body, validation->key_authorization)) {
        finish(validation, true, false, NULL);
        return;
    }
    fault_set(&fault, NET_RESPONSE, NULL, "the answer is not the key authorization: \"%s\"",
              shown(scratch, result->body));
    finish(validation, false, false, &fault);
}

static void on_fetched(void *context, const struct fetch_result *result)
{
    struct http01 *validation = context;

    if (result->address) /* the last one stays when a later connection fails */
        validation->address = mem_text(validation, result->address);
    if (result->fault.reason == NET_CONNECTION && !result->connected && validation->on_v6 &&
        validation->v4.count > 0) {
        validation->on_v6 = false;
        validation->step = CONNECT;
    } else if (result->fault.reason != REASON_NONE) {
        const bool transient = result->fault.reason == NET_CONNECTION;
        finish(validation, false, transient, &result->fault);
    } else {
        judge(validation, result);
    }
}

static void hop_connect(struct http01 *validation)
{
    const struct addresses *addresses = validation->on_v6 ? &validation->v6 : &validation->v4;
    const struct http01_rig *rig = validation->rig;
    const struct fetch_wish wish = {
        .url = validation->target.url,
        .host = validation->target.host,
        .port = validation->target.port,
        .addresses = addresses->items,
        .address_count = addresses->count,
        .user_agent = rig->user_agent,
        .body_max = HTTP01_BODY_MAX,
        .deadline_us = validation->deadline_us,
        .connect_ms = CONNECT_MS,
        .headers_ms = HEADERS_MS,
    };
    struct fault fault = {0};

    if (!fetch_start(validation->hop, rig->fetcher, &wish, on_fetched, validation, &fault))
        finish(validation, false, true, &fault);
}

/* Any address that is refused refuses the name: else a second answer could be slipped in. */
static void hop_resolved(struct http01 *validation)
{
    struct fault fault = {0};

    if (validation->address_refused) {
        fault_set(&fault, NET_ADDRESS_REFUSED, NULL,
                  "%s %s an address this server does not contact", validation->target.host,
                  validation->is_address ? "is" : "resolves to");
        fault_cause(&fault, "address %s", validation->address);
        finish(validation, false, false, &fault);
    } else if (validation->v4.count + validation->v6.count == 0) {
        finish(validation, false, true, &validation->dns_fault);
    } else {
        validation->on_v6 = validation->v6.count > 0;
        validation->step = CONNECT;
    }
}

static void address_add(struct http01 *validation, const struct net_address *address)
{
    struct addresses *list = address->v6 ? &validation->v6 : &validation->v4;

    if (!guard_allows(validation->rig->guard, address)) {
        validation->address_refused = true;
        validation->address = net_address_to_text(validation, address);
    } else if (list->count < ADDRESSES_MAX) {
        list->items[list->count++] = *address;
    }
}

static void on_answer(void *context, const struct dns_answer *answer)
{
    struct http01 *validation = context;
    const size_t size = answer->type == DNS_AAAA ? 16 : 4;

    for (size_t i = 0; i < answer->count; i++) {
        struct net_address address = {.v6 = answer->type == DNS_AAAA};

        if (answer->records[i].size != size)
            continue;
        memcpy(address.octets, answer->records[i].data, size);
        address_add(validation, &address);
    }
    /* A server that failed says more than a type that is not there; else what was said of A. */
    if (answer->fault.reason != REASON_NONE &&
        (validation->dns_fault.reason == REASON_NONE || answer->type == DNS_A || !answer->absent))
        validation->dns_fault = answer->fault;
    if (--validation->questions_open == 0)
        hop_resolved(validation);
}

static void resolve(struct http01 *validation)
{
    static const enum dns_type types[] = {DNS_AAAA, DNS_A};

    validation->questions_open = ARRAY_SIZE(types);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct fault fault = {0};

        if (!resolver_ask(validation->hop, validation->rig->resolver, validation->target.host,
                          types[i], on_answer, validation, &fault)) {
            finish(validation, false, true, &fault);
            return;
        }
    }
}

static void hop_begin(struct http01 *validation)
{
    struct net_address address;

    talloc_free(validation->hop);
    validation->hop = talloc_new(validation);
    validation->v4.count = 0;
    validation->v6.count = 0;
    validation->address_refused = false;
    validation->dns_fault = (struct fault){0};
    text_list_add(validation, &validation->visited, validation->target.url);
    validation->is_address = net_address_from_text(validation->target.host, &address);
    if (!validation->is_address) {
        resolve(validation);
        return;
    }
    address_add(validation, &address);
    hop_resolved(validation);
}

struct http01 *http01_start(TALLOC_CTX *ctx, const struct http01_rig *rig,
                            const struct http01_wish *wish, http01_done *done, void *context)
{
    struct http01 *validation = mem_new(ctx, struct http01);
    struct fault fault = {0};

    validation->rig = rig;
    validation->key_authorization = mem_text(validation, wish->key_authorization);
    validation->done = done;
    validation->context = context;
    validation->deadline_us = clock_monotonic_us() + rig->timeout_ms * 1000;
    const bool v6 = strchr(wish->host, ':') != NULL;
    const char *url = mem_printf(validation, "http://%s%s%s:%u/.well-known/acme-challenge/%s",
                                 v6 ? "[" : "", wish->host, v6 ? "]" : "", rig->port, wish->token);
    if (http_target_read(validation, NULL, url, rig->port, &validation->target, &fault))
        validation->step = RESOLVE;
    else
        finish(validation, false, false, &fault);
    return validation;
}

static bool late(struct http01 *validation)
{
    struct fault fault = {0};

    if (clock_monotonic_us() < validation->deadline_us)
        return false;
    if (validation->questions_open > 0)
        fault_set(&fault, NET_DNS, NULL, "no answer for %s A, AAAA in time",
                  validation->target.host);
    else
        fault_set(&fault, NET_CONNECTION, NULL, "the answer did not come in time");
    TALLOC_FREE(validation->hop);
    finish(validation, false, true, &fault);
    return true;
}

void http01_tick(struct http01 *validation)
{
    while (!validation->over && !late(validation) && validation->step != WAIT) {
        const enum step step = validation->step;

        validation->step = WAIT;
        if (step == RESOLVE)
            hop_begin(validation);
        else
            hop_connect(validation);
    }
}
