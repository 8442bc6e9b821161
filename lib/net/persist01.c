/* lib/net/persist01.c: dns-persist-01 (draft-ietf-acme-dns-persist-01 section 4, 01 section 11.6).
 * The record stays in the zone and names us and the account; there is no token in it. */
#include "net/persist01.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "net/challenge_type.h"
#include "net/dns01.h"
#include "net/issue_value.h"
#include "net/validation.h"

#include "core/banned.h"

/* What became of one record; the nearer it came, the later. */
enum verdict { FOREIGN, MALFORMED, NO_ACCOUNT, OTHER_ACCOUNT, NOT_WILD, PAST, FITS };

static const char *const words[] = {
    [FOREIGN] = "names no issuer domain of ours", [MALFORMED] = "is malformed",
    [NO_ACCOUNT] = "has no accounturi",           [OTHER_ACCOUNT] = "names another account",
    [NOT_WILD] = "lacks policy=wildcard",         [PAST] = "is past its persistUntil",
};

static bool is_ours(const struct persist_wish *wish, TALLOC_CTX *ctx, const char *domain)
{
    char *name = text_lower(ctx, domain);

    if (text_ends(name, "."))
        name[strlen(name) - 1] = '\0';
    return text_list_has(wish->issuers, name);
}

/* Parameters that nobody knows are for others; one that is known stands once. A policy that is
 * none of ours is as none (section 4.1). */
static enum verdict judge(TALLOC_CTX *ctx, const struct persist_wish *wish, struct bytes text)
{
    struct issue_value value;
    const char *account;
    const char *policy;
    const char *until;
    int64_t until_s = INT64_MAX;

    if (!issue_value_read(ctx, text, &value))
        return MALFORMED;
    if (!is_ours(wish, ctx, value.domain))
        return FOREIGN;
    if (!issue_value_find(&value, "accounturi", &account) ||
        !issue_value_find(&value, "policy", &policy) ||
        !issue_value_find(&value, "persistUntil", &until) ||
        (until && !text_to_integer(until, 0, INT64_MAX, &until_s)))
        return MALFORMED;
    if (!account)
        return NO_ACCOUNT;
    if (value.ends_open)
        return MALFORMED;
    if (!text_equal(account, wish->account_url))
        return OTHER_ACCOUNT;
    if (wish->wildcard && !text_equal_nocase(policy, "wildcard"))
        return NOT_WILD;
    return wish->now_s > until_s ? PAST : FITS;
}

bool persist01_proves(const struct persist_wish *wish, const struct bytes *records, size_t count,
                      const char *where, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    enum verdict best = FOREIGN;
    struct bytes nearest = {0};

    for (size_t i = 0; i < count; i++) {
        struct bytes text = {0};
        const enum verdict verdict = dns01_text_join(scratch, records[i], &text)
                                         ? judge(scratch, wish, text)
                                         : MALFORMED;

        if (verdict == FITS)
            return true;
        if (i == 0 || verdict > best) {
            best = verdict;
            nearest = text;
        }
    }
    return fault_set(fault, NET_RESPONSE, NULL,
                     "%.80s: of %zu records none fits; the nearest, \"%s\", %s", where, count,
                     validation_shown(scratch, nearest), words[best]);
}

static void on_answer(void *context, const struct dns_answer *answer)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct validation *validation = context;
    const struct text_list issuers = challenge_issuers(scratch, validation->rig->caa_identities);
    const struct persist_wish wish = {
        .issuers = &issuers,
        .account_url = validation->wish->account_url,
        .wildcard = validation->wish->wildcard,
        .now_s = clock_now_s(),
    };
    struct fault fault = {0};

    validation->question = NULL;
    if (answer->fault.reason != REASON_NONE)
        validation_finish(validation, true, &answer->fault);
    else if (persist01_proves(&wish, answer->records, answer->count, validation->url, &fault))
        validation_finish(validation, false, NULL);
    else
        validation_finish(validation, true, &fault);
}

static void begin(struct validation *validation)
{
    const struct validation_wish *wish = validation->wish;
    struct fault fault = {0};

    if (!wish->account_url) {
        fault_set(&fault, INTERNAL, NULL, "the account's URL is not known");
        validation_finish(validation, false, &fault);
        return;
    }
    validation->url = mem_printf(validation, "_validation-persist.%s", wish->identifier);
    validation->question = mem_printf(validation, "%s TXT", validation->url);
    if (!resolver_ask(validation->held, wish->records, validation->url, DNS_TXT, on_answer,
                      validation, &fault))
        validation_finish(validation, true, &fault);
}

const struct validator persist01_validator = {"dns-persist-01", sizeof(struct validation), begin,
                                              NULL};
