/* tests/bench/order.c: one ACME client as a machine of states (RFC 8555 sections 7.3 to 7.5). */
#include "tests/bench/order.h"

#include <stdio.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define NEVER_US    INT64_MAX
#define PATIENCE_US INT64_C(2000000) /* a proof that nobody fetches: ask all the same */
#define AGAIN_US    INT64_C(50000)

const char *const step_names[STEPS] = {"new_nonce", "new_account", "new_order", "authorization",
                                       "challenge", "poll",        "finalize",  "certificate"};

struct client {
    struct http http; /* first */
    struct crowd *crowd;
    const struct account_key *key;
    struct client *account_of; /* whose account this client uses */
    char *kid;
    char nonce[HTTP_FIELD_MAX];
    enum step step;
    bool entered;
    /* One order; its texts hang on order. */
    TALLOC_CTX *order;
    struct wish *wish;
    int64_t began_us;
    const char *url;
    const char *finalize_url;
    struct text_list authorizations;
    size_t authorization;
    size_t fetched;
    int64_t poll_at_us;
};

static void post(struct client *client, enum step step, const char *url, const char *payload)
{
    const struct client *account = client->account_of ? client->account_of : client;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *body = account_key_jws(scratch, account->key, account->kid, client->nonce, url,
                                       payload);

    client->step = step;
    http_request(&client->http, "POST", http_path(url), "application/jose+json",
                 bytes_of_text(body));
}

static void fetch_nonce(struct client *client)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *url = mem_printf(scratch, "%s/new-nonce", client->crowd->directory);

    client->step = STEP_NONCE;
    http_request(&client->http, "HEAD", http_path(url), NULL, (struct bytes){0});
}

static void order_end(struct client *client)
{
    struct crowd *crowd = client->crowd;

    if (++crowd->done == crowd->warmup)
        crowd->opened(crowd->arg);
    client->wish = NULL;
    TALLOC_FREE(client->order);
    if (client->nonce[0])
        client_order(client);
    else
        fetch_nonce(client);
}

/* What went wrong is told once; the count tells how often. */
static void step_failed(struct client *client, const char *why)
{
    struct crowd *crowd = client->crowd;
    const struct http_answer *answer = &client->http.answer;

    crowd->errors++;
    if (!crowd->first_error[0])
        (void)snprintf(crowd->first_error, sizeof(crowd->first_error), "%s: %s, status %u: %.*s",
                       step_names[client->step], why, answer->status,
                       (int)least(answer->body.size, (size_t)400), (const char *)answer->body.data);
    if (!client->entered)
        give_up("%s", crowd->first_error);
    if (client->wish)
        order_end(client);
    else
        fetch_nonce(client);
}

static void entered(struct client *client)
{
    client->entered = true;
    client->crowd->registered++;
}

static void on_nonce(struct client *client)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (client->entered)
        client_order(client);
    else if (client->account_of)
        entered(client);
    else
        post(client, STEP_ACCOUNT, mem_printf(scratch, "%s/new-account", client->crowd->directory),
             "{\"termsOfServiceAgreed\":true}");
}

static void on_account(struct client *client)
{
    client->kid = mem_text(client, client->http.answer.location);
    entered(client);
}

static void finalize(struct client *client)
{
    const char *payload = mem_printf(client->order, "{\"csr\":\"%s\"}", client->wish->csr);

    post(client, STEP_FINALIZE, client->finalize_url, payload);
}

static void next_authorization(struct client *client)
{
    if (client->authorization < client->authorizations.count) {
        post(client, STEP_AUTHORIZATION, client->authorizations.items[client->authorization++],
             NULL);
        return;
    }
    client->crowd->waiting++;
    client->step = STEP_POLL;
    client->poll_at_us = clock_monotonic_us() + (client->fetched >= client->crowd->names
                                                     ? client->crowd->poll_us
                                                     : PATIENCE_US);
}

static void on_order(struct client *client, const json_t *order)
{
    json_t *urls = json_object_get(order, "authorizations");
    size_t index;
    json_t *url;

    client->url = mem_text(client->order, client->http.answer.location);
    client->finalize_url = mem_text(client->order, json_text_at(order, "finalize"));
    client->authorizations = (struct text_list){0};
    json_array_foreach (urls, index, url)
        text_list_add(client->order, &client->authorizations, json_string_value(url));
    if (text_equal(json_text_at(order, "status"), "ready"))
        finalize(client);
    else
        next_authorization(client);
}

static void on_authorization(struct client *client, const json_t *authorization)
{
    json_t *challenges = json_object_get(authorization, "challenges");
    size_t index;
    json_t *challenge;

    json_array_foreach (challenges, index, challenge)
        if (text_equal(json_text_at(challenge, "type"), "http-01")) {
            post(client, STEP_CHALLENGE, json_text_at(challenge, "url"), "{}");
            return;
        }
    step_failed(client, "no http-01 challenge");
}

static void on_poll(struct client *client, const json_t *order)
{
    const char *status = json_text_at(order, "status");

    if (text_equal(status, "ready")) {
        finalize(client);
    } else if (text_equal(status, "pending")) {
        client->crowd->waiting++;
        client->poll_at_us = clock_monotonic_us() + AGAIN_US;
    } else {
        step_failed(client, "the order is over");
    }
}

static void on_finalized(struct client *client, const json_t *order)
{
    const char *url = json_text_at(order, "certificate");

    if (url)
        post(client, STEP_CERTIFICATE, url, NULL);
    else
        step_failed(client, "no certificate");
}

static void on_certificate(struct client *client)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----\n";
    const struct bytes body = client->http.answer.body;

    if (body.size < strlen(begin) || memcmp(body.data, begin, strlen(begin)) != 0) {
        step_failed(client, "no PEM");
        return;
    }
    samples_add(client->crowd->clients, &client->crowd->orders,
                clock_monotonic_us() - client->began_us);
    order_end(client);
}

/* The answers that are JSON objects. */
static void on_object(struct client *client)
{
    const struct bytes body = client->http.answer.body;
    AUTO(json_t) *object = json_loadb((const char *)body.data, body.size, 0, NULL);

    if (!json_is_object(object))
        step_failed(client, "no JSON object");
    else if (client->step == STEP_NEW_ORDER)
        on_order(client, object);
    else if (client->step == STEP_AUTHORIZATION)
        on_authorization(client, object);
    else if (client->step == STEP_POLL)
        on_poll(client, object);
    else
        on_finalized(client, object);
}

static void note(struct client *client)
{
    struct crowd *crowd = client->crowd;
    const struct http_answer *answer = &client->http.answer;

    crowd->requests++;
    if (answer->status == 0 || answer->status >= 500)
        crowd->server_errors++;
    samples_add(crowd->clients, &crowd->by_step[client->step], answer->took_us);
    samples_add(crowd->clients, &crowd->all_steps, answer->took_us);
    memcpy(client->nonce, answer->nonce, sizeof(client->nonce));
}

static void on_answer(struct http *http)
{
    struct client *client = (struct client *)http; /* its first member */
    const unsigned wanted = client->step == STEP_NEW_ORDER || client->step == STEP_ACCOUNT ? 201
                                                                                           : 200;

    note(client);
    if (http->answer.status != wanted)
        step_failed(client, http->answer.status == 0 ? "the connection broke" : "refused");
    else if (client->step == STEP_NONCE)
        on_nonce(client);
    else if (client->step == STEP_ACCOUNT)
        on_account(client);
    else if (client->step == STEP_CHALLENGE)
        next_authorization(client);
    else if (client->step == STEP_CERTIFICATE)
        on_certificate(client);
    else
        on_object(client);
}

struct client *client_new(TALLOC_CTX *ctx, struct crowd *crowd, struct client *account_of)
{
    struct client *client = mem_new(ctx, struct client);

    client->crowd = crowd;
    client->account_of = account_of;
    client->poll_at_us = NEVER_US;
    if (!account_of)
        client->key = account_key_new(client);
    client->http.answered = on_answer;
    http_open(&client->http, &crowd->host);
    return client;
}

void client_enter(struct client *client)
{
    fetch_nonce(client);
}

void client_order(struct client *client)
{
    struct crowd *crowd = client->crowd;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (crowd->taken == crowd->wish_count)
        return;
    client->wish = &crowd->wishes[crowd->taken++];
    client->wish->client = client;
    client->order = talloc_new(client);
    client->authorization = 0;
    client->fetched = 0;
    client->began_us = clock_monotonic_us();
    post(client, STEP_NEW_ORDER, mem_printf(scratch, "%s/new-order", crowd->directory),
         client->wish->payload);
}

void client_tick(struct client *client, int64_t now_us)
{
    if (now_us < client->poll_at_us)
        return;
    client->poll_at_us = NEVER_US;
    client->crowd->waiting--;
    post(client, STEP_POLL, client->url, NULL);
}

const char *client_thumbprint(const struct client *client)
{
    return client->account_of ? client->account_of->key->thumbprint : client->key->thumbprint;
}

void client_fetched(struct client *client, int64_t now_us)
{
    client->fetched++;
    if (client->fetched == client->crowd->names && client->poll_at_us != NEVER_US)
        client->poll_at_us = least(client->poll_at_us, now_us + client->crowd->poll_us);
}

void crowd_forget(struct crowd *crowd)
{
    crowd->errors = 0;
    crowd->requests = 0;
    crowd->server_errors = 0;
    for (size_t i = 0; i < STEPS; i++)
        crowd->by_step[i].count = 0;
    crowd->all_steps.count = 0;
    crowd->orders.count = 0;
    crowd->first_error[0] = '\0';
}
