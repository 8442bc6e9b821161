/* lib/net/http01.c: fetch, compare; each redirect the same again (RFC 8555 section 8.3, 01 section
 * 11.4). */
#include "net/http01.h"

#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "net/hop.h"
#include "net/target.h"

#include "core/banned.h"

#define STATUS_OK      200
#define STATUS_FAILING 500

struct http01 {
    struct validation base;
    struct hop hop;
    struct http_target target; /* where we are */
    struct text_list visited;
};

static hop_answered judge;

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

static void go(struct http01 *http01)
{
    const struct fetch_wish wish = {
        .url = http01->target.url,
        .host = http01->target.host,
        .port = http01->target.port,
        .user_agent = http01->base.rig->user_agent,
        .body_max = HTTP01_BODY_MAX,
    };

    text_list_add(http01, &http01->visited, http01->target.url);
    hop_begin(&http01->hop, &http01->base, &wish, http01->target.host, judge);
}

static bool redirect(struct http01 *http01, const char *location, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct http_target next;

    if (http01->base.redirects >= HTTP01_REDIRECTS_MAX)
        return fault_set(fault, NET_RESPONSE, NULL, "more than %d redirects", HTTP01_REDIRECTS_MAX);
    if (!http_target_read(http01, http01->target.url, location, http01->base.rig->http_port, &next,
                          fault))
        return false;
    http01->base.redirects++;
    http01->target = next;
    http01->base.url = next.url;
    if (text_list_has(&http01->visited, next.url))
        return fault_set(fault, NET_RESPONSE, NULL, "redirect loop: %s was asked for before",
                         text_quote(scratch, next.url));
    go(http01);
    return true;
}

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void judge(struct validation *validation, const struct fetch_result *result)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct http01 *http01 = (struct http01 *)validation; /* which it begins */
    struct fault fault = {0};

    if (is_redirect(result->status) && result->location) {
        if (!redirect(http01, mem_text(scratch, result->location), &fault))
            validation_finish(validation, false, &fault);
        return;
    }
    if (result->status != STATUS_OK) {
        fault_set(&fault, NET_RESPONSE, NULL, "%s answered with status %u",
                  text_quote(scratch, http01->target.url), result->status);
        validation_finish(validation, result->status >= STATUS_FAILING, &fault);
        return;
    }
    if (http01_body_matches(result->body, validation->wish->key_authorization)) {
        validation_finish(validation, false, NULL);
        return;
    }
    fault_set(&fault, NET_RESPONSE, NULL, "the answer is not the key authorization: \"%s\"",
              validation_shown(scratch, result->body));
    validation_finish(validation, false, &fault);
}

static void begin(struct validation *validation)
{
    struct http01 *http01 = (struct http01 *)validation; /* which it begins */
    const struct validation_wish *wish = validation->wish;
    const unsigned port = validation->rig->http_port;
    const bool v6 = strchr(wish->identifier, ':') != NULL;
    const char *url = mem_printf(http01, "http://%s%s%s:%u/.well-known/acme-challenge/%s",
                                 v6 ? "[" : "", wish->identifier, v6 ? "]" : "", port, wish->token);
    struct fault fault = {0};

    if (http_target_read(http01, NULL, url, port, &http01->target, &fault))
        go(http01);
    else
        validation_finish(validation, false, &fault);
}

static void step(struct validation *validation)
{
    hop_step(&((struct http01 *)validation)->hop); /* which it begins */
}

const struct validator http01_validator = {"http-01", sizeof(struct http01), begin, step};
