/* lib/pki/name.c: names that a certificate can bear, see name.h (RFC 5280 section 4.2.1.6). */
#include "pki/name.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define DNS_MAX_BYTES   253
#define LABEL_MAX_BYTES 63
#define OTHER_MAX_BYTES 2048

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 5890 section 2.3.1: letters, digits, hyphens, none of these at an end. */
static bool label_is_ldh(const char *label, size_t length)
{
    if (length == 0 || length > LABEL_MAX_BYTES || label[0] == '-' || label[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_letter(label[i]) && !is_digit(label[i]) && label[i] != '-')
            return false;
    return true;
}

static const char *dns_rule_broken(const char *text)
{
    if (strnlen(text, DNS_MAX_BYTES + 1) > DNS_MAX_BYTES)
        return "DNS name is longer than 253 bytes";
    if (text_starts(text, "*."))
        text += 2;
    for (;;) {
        const size_t length = strcspn(text, ".");
        if (!label_is_ldh(text, length))
            return "DNS name is not made of labels of 1 to 63 letters, digits and inner hyphens";
        if (text[length] == '\0')
            return NULL;
        text += length + 1;
    }
}

/* Space excluded. */
static bool is_visible_ascii(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static const char *email_rule_broken(const char *text)
{
    const char *at = strchr(text, '@');
    if (!is_visible_ascii(text) || !at || at == text || strchr(at + 1, '@') || at[1] == '\0')
        return "e-mail address is not local-part@host in ASCII (RFC 5280 section 4.2.1.6)";
    return NULL;
}

/* RFC 3986 section 3.1: a scheme, a colon, something after it. */
static const char *uri_rule_broken(const char *text)
{
    const char *at = text;
    while (is_letter(*at) || (at > text && (is_digit(*at) || strchr("+-.", *at)) && *at))
        at++;
    if (!is_visible_ascii(text) || at == text || *at != ':' || at[1] == '\0')
        return "URI is not absolute or not ASCII (RFC 5280 section 4.2.1.6)";
    return NULL;
}

const char *name_rule_broken(const struct name *name)
{
    uint8_t octets[16];
    size_t size = 0;

    if (!name->value || name->value[0] == '\0')
        return "name is empty";
    if (name->kind != NAME_DNS && strnlen(name->value, OTHER_MAX_BYTES + 1) > OTHER_MAX_BYTES)
        return "name is longer than 2048 bytes";
    switch (name->kind) {
    case NAME_DNS:
        return dns_rule_broken(name->value);
    case NAME_IP:
        return name_ip_to_octets(name->value, octets, &size) ? NULL : "no IP address";
    case NAME_EMAIL:
        return email_rule_broken(name->value);
    case NAME_URI:
        return uri_rule_broken(name->value);
    case NAME_UPN:
        return text_utf8_valid(name->value, strlen(name->value)) ? NULL : "UPN is not UTF-8";
    case NAME_OTHER:
        break;
    }
    return "a name of this type is never put into a certificate";
}

static void *reject_dns(struct fault *fault, const char *text, const char *rule)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return fault_set(fault, CSR_NAME_REJECTED, NULL, "DNS name %s %s", text_quote(scratch, text),
                     rule);
}

/* An A-label is one that IDNA2008 decodes and encodes to itself (RFC 5890 section 2.3.2.1). */
static bool a_label_survives(const char *label, size_t length)
{
    char wanted[LABEL_MAX_BYTES + 1];
    char *unicode = NULL;
    char *ascii = NULL;

    memcpy(wanted, label, length);
    wanted[length] = '\0';
    bool same = idn2_to_unicode_8z8z(wanted, &unicode, 0) == IDN2_OK &&
                !text_equal(unicode, wanted) &&
                idn2_to_ascii_8z(unicode, &ascii, IDN2_NONTRANSITIONAL) == IDN2_OK;
    same = same && text_equal(ascii, wanted);
    idn2_free(unicode);
    idn2_free(ascii);
    return same;
}

/* `name` is in lower case. NULL, or the rule that it breaks; *ret_labels counts them. */
static const char *check_labels(const char *name, size_t *ret_labels)
{
    for (size_t labels = 1;; labels++) {
        const size_t length = strcspn(name, ".");
        if (length == 0)
            return "has an empty label";
        if (length > LABEL_MAX_BYTES)
            return "has a label longer than 63 bytes";
        if (!label_is_ldh(name, length))
            return "has a label that is not letters, digits and inner hyphens";
        if (text_starts(name, "xn--") && !a_label_survives(name, length))
            return "has an xn-- label that is no valid A-label (RFC 5890)";
        if (name[length] == '\0') {
            *ret_labels = labels;
            return strspn(name, "0123456789") == length ? "has a last label of digits only" : NULL;
        }
        name += length + 1;
    }
}

bool name_dns_normalise(TALLOC_CTX *ctx, const char *text, unsigned flags, const char **ret,
                        struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t address[16];
    size_t labels = 0;

    if (!text || text[0] == '\0')
        return fault_set(fault, CSR_NAME_REJECTED, NULL, "DNS name is empty");
    if (strnlen(text, DNS_MAX_BYTES + 1) > DNS_MAX_BYTES)
        return reject_dns(fault, text, "is longer than 253 bytes");
    if (!text_ascii(text))
        return reject_dns(fault, text, "is not ASCII: use the A-label (punycode) form");
    if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
        return reject_dns(fault, text, "is an IP address");

    const char *lower = text_lower(scratch, text);
    const bool wildcard = text_starts(lower, "*.");
    if (wildcard && !(flags & NAME_ALLOW_WILDCARD))
        return reject_dns(fault, text, "is a wildcard, which is not allowed here");
    if (strchr(lower + (wildcard ? 1 : 0), '*'))
        return reject_dns(fault, text, "has a * that is not its whole leftmost label");
    if (text_ends(lower, "."))
        return reject_dns(fault, text, "ends in a dot");
    const char *broken = check_labels(lower + (wildcard ? 2 : 0), &labels);
    if (broken)
        return reject_dns(fault, text, broken);
    if (labels == 1 && !(flags & NAME_ALLOW_SINGLE_LABEL))
        return reject_dns(fault, text, "has a single label, which is not allowed here");
    *ret = mem_text(ctx, lower);
    return true;
}

/* RFC 4291 section 2.5.5.2. */
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

const char *name_ip_from_octets(TALLOC_CTX *ctx, struct bytes octets)
{
    char text[INET6_ADDRSTRLEN];

    if (octets.size == 16 && memcmp(octets.data, mapped_prefix, sizeof mapped_prefix) == 0)
        octets = (struct bytes){octets.data + 12, 4};
    if (octets.size != 4 && octets.size != 16)
        return NULL;
    if (!inet_ntop(octets.size == 4 ? AF_INET : AF_INET6, octets.data, text, sizeof text))
        return NULL;
    return mem_text(ctx, text);
}

bool name_ip_to_octets(const char *text, uint8_t ret_octets[16], size_t *ret_size)
{
    uint8_t octets[16];
    size_t size = 0;

    if (inet_pton(AF_INET, text, octets) == 1)
        size = 4;
    else if (inet_pton(AF_INET6, text, octets) == 1)
        size = 16;
    else
        return false;
    memcpy(ret_octets, octets, size);
    *ret_size = size;
    return true;
}

bool name_ip_normalise(TALLOC_CTX *ctx, const char *text, const char **ret, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t octets[16];
    size_t size = 0;

    if (!text || !name_ip_to_octets(text, octets, &size))
        return fault_set(fault, CSR_NAME_REJECTED, NULL, "%s is no IP address",
                         text_quote(scratch, text ? text : ""));
    if (size == 16 && memcmp(octets, mapped_prefix, sizeof mapped_prefix) == 0)
        return fault_set(fault, CSR_NAME_REJECTED, NULL,
                         "%s is an IPv4-mapped IPv6 address: use the IPv4 address",
                         text_quote(scratch, text));
    const char *canonical = name_ip_from_octets(scratch, (struct bytes){octets, size});
    if (!text_equal(canonical, text))
        return fault_set(fault, CSR_NAME_REJECTED, NULL,
                         "%s is not the canonical form, which is %s (RFC 8738 section 3)",
                         text_quote(scratch, text), canonical);
    *ret = mem_text(ctx, canonical);
    return true;
}

struct code_range {
    uint32_t first;
    uint32_t last;
    const char *what;
};

/* 04 section 6.3. */
static const struct code_range forbidden[] = {
    {0x0000, 0x0000, "NUL"                  },
    {0x0001, 0x001f, "control character"    },
    {0x007f, 0x009f, "control character"    },
    {0x200b, 0x200d, "zero-width character" },
    {0x202a, 0x202e, "bidirectional control"},
    {0x2060, 0x2060, "zero-width character" },
    {0x2066, 0x2069, "bidirectional control"},
    {0xfeff, 0xfeff, "zero-width character" },
};

/* What may stand beside ASCII letters: Latin with its marks, and signs of no script. */
static const struct code_range beside_latin[] = {
    {0x00a0,  0x036f,  NULL},
    {0x1ab0,  0x1aff,  NULL},
    {0x1d00,  0x1eff,  NULL},
    {0x2000,  0x2bff,  NULL},
    {0x2c60,  0x2c7f,  NULL},
    {0x3000,  0x3003,  NULL},
    {0xa720,  0xa7ff,  NULL},
    {0xab30,  0xab6f,  NULL},
    {0xfb00,  0xfb06,  NULL},
    {0x1f000, 0x1faff, NULL},
};

static const struct code_range *find_range(const struct code_range *ranges, size_t count,
                                           uint32_t point)
{
    for (size_t i = 0; i < count; i++)
        if (point >= ranges[i].first && point <= ranges[i].last)
            return &ranges[i];
    return NULL;
}

/* One character of valid UTF-8; returns how many bytes it has. */
static size_t read_point(const char *at, uint32_t *ret_point)
{
    const uint8_t first = (uint8_t)*at; /* its bits, not its sign */
    const size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t point = size == 1 ? first : first & (0x7fu >> size);

    for (size_t i = 1; i < size; i++)
        point = point << 6 | (at[i] & 0x3f);
    *ret_point = point;
    return size;
}

static bool ends_label(uint32_t point)
{
    return point == '.' || point == ' ' || point == '@' || point == '/';
}

static void *reject_point(struct fault *fault, const char *what, const char *rule, uint32_t point,
                          size_t offset)
{
    return fault_set(fault, CSR_NAME_REJECTED, NULL, "%s rejected: %s U+%04X at byte offset %zu",
                     what, rule, point, offset);
}

/* One label, from *at to its end: ASCII letters and another script do not mix (homographs). */
static bool check_label(const char *what, const char *text, size_t length, size_t *at,
                        struct fault *fault)
{
    bool has_ascii = false;
    uint32_t foreign = 0;
    size_t foreign_at = 0;
    uint32_t point = 0;

    for (size_t size; *at < length; *at += size) {
        size = read_point(text + *at, &point);
        if (ends_label(point))
            break;
        has_ascii |= size == 1 && is_letter(text[*at]);
        if (size > 1 && !foreign && !find_range(beside_latin, ARRAY_SIZE(beside_latin), point)) {
            foreign = point;
            foreign_at = *at;
        }
    }
    if (has_ascii && foreign)
        return reject_point(fault, what, "mixes ASCII letters with another script, character",
                            foreign, foreign_at);
    return true;
}

bool name_text_check(const char *what, const char *text, size_t length, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint32_t point = 0;

    if (!text_utf8_valid(text, length))
        return fault_set(fault, CSR_NAME_REJECTED, NULL, "%s rejected: %s is not valid UTF-8", what,
                         text_quote_n(scratch, text, length));
    for (size_t at = 0, size = 0; at < length; at += size) {
        size = read_point(text + at, &point);
        const struct code_range *bad = find_range(forbidden, ARRAY_SIZE(forbidden), point);
        if (bad) {
            const char *rule = mem_printf(scratch, "contains %s", bad->what);
            return reject_point(fault, what, rule, point, at);
        }
    }
    for (size_t at = 0; at < length; at++)
        if (!check_label(what, text, length, &at, fault))
            return false;
    return true;
}

bool name_list_has(const struct name_list *list, const struct name *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind == name->kind && text_equal(list->items[i].value, name->value))
            return true;
    return false;
}

bool name_list_add(TALLOC_CTX *ctx, struct name_list *list, enum name_kind kind, const char *value)
{
    const struct name name = {kind, value};

    if (name_list_has(list, &name))
        return false;
    /* Room is doubled whenever the count has reached a power of two. */
    if ((list->count & (list->count - 1)) == 0)
        list->items = mem_resize(ctx, list->items, struct name, most(2 * list->count, (size_t)1));
    list->items[list->count++] = (struct name){kind, mem_text(ctx, value)};
    return true;
}

const char *name_pattern_normalise(TALLOC_CTX *ctx, const char *text)
{
    const unsigned flags = NAME_ALLOW_WILDCARD | NAME_ALLOW_SINGLE_LABEL;
    struct fault ignored = {0};
    const char *normal = NULL;

    if (name_dns_normalise(ctx, text, flags, &normal, &ignored) ||
        name_ip_normalise(ctx, text, &normal, &ignored))
        return normal;
    return NULL;
}

const char *name_kind_text(enum name_kind kind)
{
    switch (kind) {
    case NAME_DNS:
        return "dns";
    case NAME_IP:
        return "ip";
    case NAME_EMAIL:
        return "email";
    case NAME_URI:
        return "uri";
    case NAME_UPN:
        return "upn";
    case NAME_OTHER:
        break;
    }
    return "other";
}
