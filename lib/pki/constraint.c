/* lib/pki/constraint.c: name constraints as text: what they cover. RFC 5280 section 4.2.1.10. */
#include "pki/constraint.h"

#include <stdio.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define ADDRESS_TEXT_MAX 63
#define HOST_MAX         253

static const struct {
    enum name_kind kind;
    const char *prefix;
    const char *bound;
} kinds[] = {
    {NAME_IP,    "IP:",    "addresses"},
    {NAME_EMAIL, "email:", "mailboxes"},
    {NAME_URI,   "URI:",   "URIs"     },
    {NAME_DNS,   "",       "names"    }, /* last: it fits everything */
};

const char *constraint_kind_text(enum name_kind kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].kind == kind)
            return kinds[i].bound;
    return "names";
}

/* A length of the prefix, or a mask, for those that are no prefix. */
static bool read_mask(const char *text, size_t size, uint8_t ret_mask[16])
{
    int64_t bits;
    size_t mask_size;

    if (!text_to_integer(text, 0, (int64_t)size * 8, &bits))
        return name_ip_to_octets(text, ret_mask, &mask_size) && mask_size == size;
    static const uint8_t bit[8] = {0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01};
    memset(ret_mask, 0, size);
    for (int64_t i = 0; i < bits; i++)
        ret_mask[i / 8] |= bit[i % 8];
    return true;
}

/* Bits outside the mask would say something that no verifier looks at. */
static bool read_network(const char *text, struct constraint *network)
{
    char address[ADDRESS_TEXT_MAX + 1];
    const char *slash = strchr(text, '/');
    size_t size;

    if (!slash || slash - text > ADDRESS_TEXT_MAX)
        return false;
    (void)snprintf(address, sizeof address, "%.*s", (int)(slash - text), text); /* up to 63 */
    if (!name_ip_to_octets(address, network->octets, &size) ||
        !read_mask(slash + 1, size, network->octets + size))
        return false;
    for (size_t i = 0; i < size; i++)
        if (network->octets[i] & ~network->octets[size + i])
            return false;
    network->size = 2 * size;
    return true;
}

bool constraint_read(const char *text, struct constraint *ret_constraint)
{
    size_t i = 0;

    while (!text_starts(text, kinds[i].prefix))
        i++;
    struct constraint read = {.kind = kinds[i].kind, .base = text + strlen(kinds[i].prefix)};
    if (read.kind == NAME_IP ? !read_network(read.base, &read)
                             : read.kind != NAME_DNS && read.base[0] == '\0')
        return false;
    *ret_constraint = read;
    return true;
}

const char *constraint_rule_broken(const char *text)
{
    struct constraint read;

    if (!constraint_read(text, &read))
        return "is no name constraint";
    if (read.kind == NAME_IP)
        return NULL;
    const bool mailbox = read.kind == NAME_EMAIL && strchr(read.base, '@');
    const struct name name = {mailbox ? NAME_EMAIL : NAME_DNS,
                              read.base[0] == '.' && !mailbox ? read.base + 1 : read.base};
    if (!name_rule_broken(&name) && !strchr(read.base, '*'))
        return NULL;
    return read.kind == NAME_DNS ? "is no DNS name" : "holds no host name";
}

static const char *network_text(TALLOC_CTX *ctx, struct bytes octets)
{
    const size_t half = octets.size / 2;
    const char *address = name_ip_from_octets(ctx, (struct bytes){octets.data, half});
    const uint8_t *mask = octets.data + half;
    char prefix[32];
    size_t bits = 0;

    if ((octets.size != 8 && octets.size != 32) || !address)
        return NULL;
    while (bits < 8 * half && (mask[bits / 8] & (0x80 >> (bits % 8))))
        bits++;
    (void)snprintf(prefix, sizeof prefix, "%zu", bits);
    uint8_t regular[16];
    if (read_mask(prefix, half, regular) && memcmp(regular, mask, half) == 0)
        return mem_printf(ctx, "IP:%s/%s", address, prefix);
    return mem_printf(ctx, "IP:%s/%s", address,
                      name_ip_from_octets(ctx, (struct bytes){mask, half}));
}

static const char *string_text(TALLOC_CTX *ctx, const char *prefix, const ASN1_IA5STRING *string)
{
    const char *text = mem_text_n(ctx, (const char *)ASN1_STRING_get0_data(string), /* bytes */
                                  (size_t)ASN1_STRING_length(string));

    return mem_printf(ctx, "%s%s", prefix, text_lower(ctx, text));
}

/* The part before the @ knows upper case; hosts do not. */
static const char *mailbox_text(TALLOC_CTX *ctx, const ASN1_IA5STRING *string)
{
    const char *text = mem_text_n(ctx, (const char *)ASN1_STRING_get0_data(string), /* bytes */
                                  (size_t)ASN1_STRING_length(string));
    const char *at = strchr(text, '@');

    if (!at)
        return mem_printf(ctx, "email:%s", text_lower(ctx, text));
    return mem_printf(ctx, "email:%.*s%s", (int)(at - text), text, text_lower(ctx, at));
}

const char *constraint_from_general_name(TALLOC_CTX *ctx, const GENERAL_NAME *base)
{
    switch (base->type) {
    case GEN_DNS:
        return string_text(ctx, "", base->d.dNSName);
    case GEN_EMAIL:
        return mailbox_text(ctx, base->d.rfc822Name);
    case GEN_URI:
        return string_text(ctx, "URI:", base->d.uniformResourceIdentifier);
    case GEN_IPADD: {
        const ASN1_OCTET_STRING *octets = base->d.iPAddress;
        return network_text(
            ctx, (struct bytes){ASN1_STRING_get0_data(octets), (size_t)ASN1_STRING_length(octets)});
    }
    default: /* OpenSSL's own numbers */
        return NULL;
    }
}

GENERAL_NAME *constraint_to_general_name(const struct constraint *constraint)
{
    static const int types[] = {[NAME_DNS] = GEN_DNS,
                                [NAME_IP] = GEN_IPADD,
                                [NAME_EMAIL] = GEN_EMAIL,
                                [NAME_URI] = GEN_URI};
    const bool ip = constraint->kind == NAME_IP;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(ip ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

    if (!name || !value ||
        ASN1_STRING_set(value, ip ? (const void *)constraint->octets : constraint->base,
                        ip ? (int)constraint->size : -1) != 1)
        mem_exhausted(0, "name constraints");
    GENERAL_NAME_set0_value(name, types[constraint->kind], value);
    return name;
}

bool constraint_list_has_kind(const struct text_list *list, enum name_kind kind)
{
    struct constraint one;

    for (size_t i = 0; i < list->count; i++)
        if (constraint_read(list->items[i], &one) && one.kind == kind)
            return true;
    return false;
}

/* An empty base covers everything. */
static bool dns_within(const char *name, const char *base)
{
    const size_t name_length = strlen(name);
    const size_t base_length = strlen(base);

    if (base_length == 0)
        return true;
    if (base_length > name_length || !text_equal_nocase(name + name_length - base_length, base))
        return false;
    if (base[0] == '.')
        return name_length > base_length;
    return name_length == base_length || name[name_length - base_length - 1] == '.';
}

/* A wildcard stands for all names one label below; it must not reach into an excluded tree. */
static bool dns_touches(const char *name, const char *excluded)
{
    if (dns_within(name, excluded))
        return true;
    if (!text_starts(name, "*."))
        return false;
    const char *bare = excluded[0] == '.' ? excluded + 1 : excluded;
    const char *parent = strchr(bare, '.');
    return text_equal_nocase(name + 2, bare) || (parent && text_equal_nocase(name + 1, parent));
}

/* `inner` may begin with a dot itself, for all that is below it. */
static bool host_within(const char *inner, const char *base)
{
    const size_t inner_length = strlen(inner);
    const size_t base_length = strlen(base);

    if (base[0] != '.')
        return text_equal_nocase(inner, base);
    return inner_length >= base_length &&
           text_equal_nocase(inner + inner_length - base_length, base);
}

/* `inner` may be a host, for all its mailboxes. Names before the @ differ by case. */
static bool mailbox_within(const char *inner, const char *base)
{
    const char *inner_at = strchr(inner, '@');
    const char *base_at = strchr(base, '@');

    if (!base_at)
        return host_within(inner_at ? inner_at + 1 : inner, base);
    return inner_at && inner_at - inner == base_at - base &&
           memcmp(inner, base, (size_t)(base_at - base)) == 0 &&
           text_equal_nocase(inner_at, base_at);
}

/* RFC 3986 section 3.2. A URI whose host is no name written out cannot be judged: none at all, an
 * address, escapes, a dot at the end; nor one in which others may find another host. */
static bool host_of_uri(const char *uri, char ret_host[HOST_MAX + 1])
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *colon = strchr(uri, ':');

    if (!colon || !text_starts(colon, "://"))
        return false;
    const char *authority = colon + 3;
    const size_t whole = strcspn(authority, "/?#");
    const char *at = memchr(authority, '@', whole);
    const char *host = at ? at + 1 : authority;
    const size_t length = strcspn(host, ":/?#");
    if (length == 0 || length > HOST_MAX || strchr(uri, '\\') ||
        memchr(host, '@', whole - (size_t)(host - authority))) /* host is within the authority */
        return false;
    (void)snprintf(ret_host, HOST_MAX + 1, "%.*s", (int)length, host); /* up to 253 */
    const struct name name = {NAME_DNS, text_lower(scratch, ret_host)};
    const char *dot = strrchr(ret_host, '.');
    const char last = dot ? dot[1] : ret_host[0];
    return ret_host[0] != '*' && !(last >= '0' && last <= '9') && !name_rule_broken(&name);
}

static bool network_within(const struct constraint *inner, const struct constraint *outer)
{
    const size_t half = outer->size / 2;

    if (inner->size != outer->size)
        return false;
    for (size_t i = 0; i < half; i++) {
        const uint8_t mask = outer->octets[half + i];
        if ((inner->octets[i] & mask) != outer->octets[i] || (~inner->octets[half + i] & mask))
            return false;
    }
    return true;
}

/* One address as a network of its own. */
static bool address_within(const char *address, const struct constraint *network)
{
    struct constraint one = {.kind = NAME_IP};
    size_t size;

    if (!name_ip_to_octets(address, one.octets, &size))
        return false;
    memset(one.octets + size, 0xff, size);
    one.size = 2 * size;
    return network_within(&one, network);
}

static bool covers(const struct constraint *constraint, const struct name *name, bool judged)
{
    char host[HOST_MAX + 1];

    if (constraint->kind == NAME_IP)
        return address_within(name->value, constraint);
    if (constraint->kind == NAME_EMAIL)
        return mailbox_within(name->value, constraint->base);
    if (constraint->kind == NAME_URI)
        return host_of_uri(name->value, host) ? host_within(host, constraint->base) : !judged;
    return judged ? dns_within(name->value, constraint->base)
                  : dns_touches(name->value, constraint->base);
}

bool constraint_permits(const struct text_list *permitted, const struct name *name)
{
    struct constraint one;

    for (size_t i = 0; i < permitted->count; i++)
        if (constraint_read(permitted->items[i], &one) && one.kind == name->kind &&
            covers(&one, name, true))
            return true;
    return !constraint_list_has_kind(permitted, name->kind);
}

bool constraint_excludes(const struct text_list *excluded, const struct name *name)
{
    struct constraint one;

    for (size_t i = 0; i < excluded->count; i++)
        if (constraint_read(excluded->items[i], &one) && one.kind == name->kind &&
            covers(&one, name, false))
            return true;
    return false;
}

static bool one_within(const struct constraint *inner, const struct constraint *outer)
{
    switch (inner->kind) {
    case NAME_IP:
        return network_within(inner, outer);
    case NAME_EMAIL:
        return mailbox_within(inner->base, outer->base);
    case NAME_URI:
        return host_within(inner->base, outer->base);
    case NAME_DNS:
    case NAME_UPN:
    case NAME_OTHER:
        break;
    }
    return text_equal_nocase(inner->base, outer->base) || dns_within(inner->base, outer->base);
}

bool constraint_within(const char *inner, const struct text_list *outer)
{
    struct constraint one;
    struct constraint base;

    if (!constraint_read(inner, &one))
        return false;
    for (size_t i = 0; i < outer->count; i++)
        if (constraint_read(outer->items[i], &base) && base.kind == one.kind &&
            one_within(&one, &base))
            return true;
    return false;
}
