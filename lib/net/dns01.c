/* lib/net/dns01.c: dns-01 and dns-account-01 (RFC 8555 section 8.4, draft-ietf-acme-dns-account-
 * label, 01 section 11.6). CNAMEs are followed by libunbound, eleven of them at most. */
#include "net/dns01.h"

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "net/validation.h"

#include "core/banned.h"

#define LABEL_OCTETS 10

struct dns01 {
    struct validation base;
    const char *expected;
};

bool dns01_text_join(TALLOC_CTX *ctx, struct bytes rdata, struct bytes *ret_text)
{
    uint8_t *text = mem_array(ctx, uint8_t, rdata.size);
    size_t used = 0;
    size_t at = 0;

    while (at < rdata.size) {
        const size_t length = rdata.data[at++];

        if (length > rdata.size - at) {
            talloc_free(text);
            return false;
        }
        memcpy(text + used, rdata.data + at, length);
        used += length;
        at += length;
    }
    if (rdata.size == 0) {
        talloc_free(text);
        return false;
    }
    *ret_text = (struct bytes){text, used};
    return true;
}

/* RFC 4648 section 6 in lower case, of a multiple of five octets: no padding. */
static char *base32(TALLOC_CTX *ctx, const uint8_t *data, size_t size)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    char *text = mem_array(ctx, char, size * 8 / 5 + 1);

    for (size_t i = 0; i < size * 8 / 5; i++) {
        const size_t bit = i * 5;
        const unsigned pair = data[bit / 8] * 256u + (bit / 8 + 1 < size ? data[bit / 8 + 1] : 0u);

        text[i] = alphabet[pair >> (11 - bit % 8) & 31];
    }
    return text;
}

char *dns01_name(TALLOC_CTX *ctx, const char *name, const char *account_url)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t digest[DIGEST_SHA256_SIZE];

    if (!account_url)
        return mem_printf(ctx, "_acme-challenge.%s", name);
    digest_sha256(bytes_of_text(account_url), digest);
    return mem_printf(ctx, "_%s._acme-challenge.%s", base32(scratch, digest, LABEL_OCTETS), name);
}

/* Any of several values may be the one: two authorizations can share a name (RFC 8555 section
 * 8.4). What is wrong may be an old record that is still on its way out. */
static void on_answer(void *context, const struct dns_answer *answer)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct dns01 *dns01 = context;
    struct bytes text = {0};
    struct fault fault = {0};

    dns01->base.question = NULL;
    if (answer->fault.reason != REASON_NONE) {
        validation_finish(&dns01->base, true, &answer->fault);
        return;
    }
    for (size_t i = 0; i < answer->count; i++)
        if (dns01_text_join(scratch, answer->records[i], &text) &&
            bytes_equal(text, bytes_of_text(dns01->expected))) {
            validation_finish(&dns01->base, false, NULL);
            return;
        }
    if (!dns01_text_join(scratch, answer->records[0], &text))
        text = (struct bytes){0};
    fault_set(&fault, NET_RESPONSE, NULL, "%.90s has \"%s\" and %zu others, not the wanted value",
              dns01->base.url, validation_shown(scratch, text), answer->count - 1);
    validation_finish(&dns01->base, true, &fault);
}

static void ask(struct validation *validation, const char *account_url)
{
    struct dns01 *dns01 = (struct dns01 *)validation; /* which it begins */
    const struct validation_wish *wish = validation->wish;
    struct fault fault = {0};

    dns01->expected = digest_sha256_base64url(dns01, bytes_of_text(wish->key_authorization));
    validation->url = dns01_name(dns01, wish->identifier, account_url);
    validation->question = mem_printf(dns01, "%s TXT", validation->url);
    if (!resolver_ask(validation->held, wish->records, validation->url, DNS_TXT, on_answer, dns01,
                      &fault))
        validation_finish(validation, true, &fault);
}

static void begin(struct validation *validation)
{
    ask(validation, NULL);
}

static void begin_account(struct validation *validation)
{
    struct fault fault = {0};

    if (validation->wish->account_url) {
        ask(validation, validation->wish->account_url);
        return;
    }
    fault_set(&fault, INTERNAL, NULL, "the account's URL is not known");
    validation_finish(validation, false, &fault);
}

const struct validator dns01_validator = {"dns-01", sizeof(struct dns01), begin, NULL};
const struct validator dns_account01_validator = {"dns-account-01", sizeof(struct dns01),
                                                  begin_account, NULL};
