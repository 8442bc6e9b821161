/* lib/net/caa_record.c: CAA records taken apart (RFC 8659 section 4, RFC 8657 sections 3 and 4). */
#include "net/caa_record.h"

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define CRITICAL 0x80

struct record {
    bool critical;
    const char *tag;
    struct bytes value;
};

/* One "issue" or "issuewild" value: a domain and parameters. */
struct issue {
    const char *domain; /* empty: nobody */
    const char *account_uri;
    const char *methods;
};

static bool letter_or_digit(uint8_t octet)
{
    return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
           (octet >= '0' && octet <= '9');
}

static bool domain_octet(uint8_t octet)
{
    return letter_or_digit(octet) || octet == '-' || octet == '.';
}

/* RFC 8659 section 4.2: printable ASCII but ";" and space. */
static bool value_octet(uint8_t octet)
{
    return octet > ' ' && octet < 0x7f && octet != ';';
}

static void skip_white(struct bytes *from)
{
    while (from->size > 0 && (*from->data == ' ' || *from->data == '\t')) {
        from->data++;
        from->size--;
    }
}

static bool skip_octet(struct bytes *from, uint8_t octet)
{
    if (from->size == 0 || *from->data != octet)
        return false;
    from->data++;
    from->size--;
    return true;
}

static char *take(TALLOC_CTX *ctx, struct bytes *from, bool (*belongs)(uint8_t))
{
    size_t length = 0;

    while (length < from->size && belongs(from->data[length]))
        length++;
    char *text = mem_text_n(ctx, (const char *)from->data, length);
    from->data += length;
    from->size -= length;
    return text;
}

/* A known parameter that stands twice fits nobody (RFC 8657 section 3). */
static bool parameter_keep(const char **place, const char *value)
{
    if (*place)
        return false;
    *place = value;
    return true;
}

static bool parameter_read(TALLOC_CTX *ctx, struct bytes *from, struct issue *issue)
{
    const char *tag = take(ctx, from, letter_or_digit);

    skip_white(from);
    if (!*tag || !skip_octet(from, '='))
        return false;
    skip_white(from);
    const char *value = take(ctx, from, value_octet);
    skip_white(from);
    if (text_equal_nocase(tag, "accounturi"))
        return parameter_keep(&issue->account_uri, value);
    if (text_equal_nocase(tag, "validationmethods"))
        return parameter_keep(&issue->methods, value);
    return true;
}

/* False: not of the form of RFC 8659 section 4.2, so it permits nobody. */
static bool issue_read(TALLOC_CTX *ctx, struct bytes from, struct issue *ret)
{
    struct issue issue = {0};

    skip_white(&from);
    issue.domain = take(ctx, &from, domain_octet);
    skip_white(&from);
    while (from.size > 0) {
        if (!skip_octet(&from, ';'))
            return false;
        skip_white(&from);
        if (from.size > 0 && !parameter_read(ctx, &from, &issue))
            return false;
    }
    *ret = issue;
    return true;
}

static bool is_ours(const struct caa_wish *wish, const char *domain)
{
    for (size_t i = 0; i < wish->identities->count; i++)
        if (text_equal_nocase(wish->identities->items[i], domain))
            return true;
    return false;
}

static bool permits(const struct caa_wish *wish, struct bytes value)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct issue issue;

    if (!issue_read(scratch, value, &issue) || !is_ours(wish, issue.domain))
        return false;
    if (issue.account_uri && !text_equal(issue.account_uri, wish->account_url))
        return false;
    if (!issue.methods)
        return true;
    const struct text_list methods = text_split(scratch, issue.methods, ',');
    return text_list_has(&methods, wish->method);
}

/* RFC 8659 section 4.1: flags, length of the tag, tag, value. */
static bool record_read(TALLOC_CTX *ctx, struct bytes rdata, struct record *ret)
{
    if (rdata.size < 2 || rdata.data[1] == 0 || rdata.data[1] > rdata.size - 2)
        return false;
    const size_t length = rdata.data[1];
    struct bytes tag = {rdata.data + 2, length};
    ret->critical = (rdata.data[0] & CRITICAL) != 0;
    ret->tag = take(ctx, &tag, letter_or_digit);
    ret->value = (struct bytes){rdata.data + 2 + length, rdata.size - 2 - length};
    return tag.size == 0;
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
