/* lib/net/caa_record.c: CAA records taken apart (RFC 8659 section 4, RFC 8657 sections 3 and 4). */
#include "net/caa_record.h"

#include "core/auto.h"
#include "core/memory.h"
#include "net/issue_value.h"

#include "core/banned.h"

#define CRITICAL 0x80

struct record {
    bool critical;
    const char *tag;
    struct bytes value;
};

static bool letter_or_digit(uint8_t octet)
{
    return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
           (octet >= '0' && octet <= '9');
}

static bool is_ours(const struct caa_wish *wish, const char *domain)
{
    for (size_t i = 0; i < wish->identities->count; i++)
        if (text_equal_nocase(wish->identities->items[i], domain))
            return true;
    return false;
}

/* A value that is not of the form permits nobody. */
static bool permits(const struct caa_wish *wish, struct bytes value)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct issue_value issue;
    const char *account;
    const char *listed;

    if (!issue_value_read(scratch, value, &issue) || !is_ours(wish, issue.domain) ||
        !issue_value_find(&issue, "accounturi", &account) ||
        !issue_value_find(&issue, "validationmethods", &listed))
        return false;
    if (account && !text_equal(account, wish->account_url))
        return false;
    if (!listed)
        return true;
    const struct text_list methods = text_split(scratch, listed, ',');
    return text_list_has(&methods, wish->method);
}

/* RFC 8659 section 4.1: flags, length of the tag, tag, value. */
static bool record_read(TALLOC_CTX *ctx, struct bytes rdata, struct record *ret)
{
    if (rdata.size < 2 || rdata.data[1] == 0 || rdata.data[1] > rdata.size - 2)
        return false;
    const size_t length = rdata.data[1];
    for (size_t i = 0; i < length; i++)
        if (!letter_or_digit(rdata.data[2 + i]))
            return false;
    ret->critical = (rdata.data[0] & CRITICAL) != 0;
    ret->tag = mem_text_n(ctx, (const char *)rdata.data + 2, length);
    ret->value = (struct bytes){rdata.data + 2 + length, rdata.size - 2 - length};
    return true;
}

static bool known(const char *tag)
{
    static const char *const tags[] = {"issue",    "issuewild",    "iodef",       "issuemail",
                                       "issuevmc", "contactemail", "contactphone"};

    for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
        if (text_equal_nocase(tags[i], tag))
            return true;
    return false;
}

/* All records, or the one that forbids by being what it is. */
static bool records_read(TALLOC_CTX *ctx, const struct bytes *rdata, size_t count,
                         struct record *records, const char *where, struct fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        if (!record_read(ctx, rdata[i], &records[i]))
            return fault_set(fault, NET_CAA, NULL, "a CAA record at %.200s cannot be read", where);
        if (records[i].critical && !known(records[i].tag))
            return fault_set(fault, NET_CAA, NULL,
                             "the CAA records at %.150s have the critical tag %s, which is unknown",
                             where, text_quote(ctx, records[i].tag));
    }
    return true;
}

static bool any(const struct record *records, size_t count, const char *tag)
{
    for (size_t i = 0; i < count; i++)
        if (text_equal_nocase(records[i].tag, tag))
            return true;
    return false;
}

bool caa_allows(const struct caa_wish *wish, const struct bytes *rdata, size_t count,
                const char *where, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct record *records = mem_array(scratch, struct record, count);

    if (!records_read(scratch, rdata, count, records, where, fault))
        return false;
    const char *tag = wish->wildcard && any(records, count, "issuewild") ? "issuewild" : "issue";
    if (!any(records, count, tag))
        return true;
    for (size_t i = 0; i < count; i++)
        if (text_equal_nocase(records[i].tag, tag) && permits(wish, records[i].value))
            return true;
    return fault_set(fault, NET_CAA, NULL,
                     "the CAA records at %.150s do not let this server issue (RFC 8659)", where);
}

bool caa_wanted(const char *mode, const char *of_profile, const struct text_list *identities)
{
    if (text_equal(of_profile, "on") || text_equal(of_profile, "off"))
        return text_equal(of_profile, "on");
    return text_equal(mode, "on") || (text_equal(mode, "auto") && identities->count > 0);
}
