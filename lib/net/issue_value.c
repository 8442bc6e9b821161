/* lib/net/issue_value.c: see issue_value.h (RFC 8659 section 4.2). */
#include "net/issue_value.h"

#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

/* Of a domain name beside the dots, and of a tag. */
static bool label_octet(uint8_t octet)
{
    return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
           (octet >= '0' && octet <= '9') || octet == '-';
}

static bool domain_octet(uint8_t octet)
{
    return label_octet(octet) || octet == '.';
}

/* Printable ASCII but ";" and space. */
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

/* A hyphen stands inside a tag alone. */
static bool tag_good(const char *tag)
{
    return *tag && *tag != '-' && !text_ends(tag, "-");
}

static bool parameter_read(TALLOC_CTX *ctx, struct bytes *from, struct issue_parameter *ret)
{
    ret->tag = take(ctx, from, label_octet);
    skip_white(from);
    if (!tag_good(ret->tag) || !skip_octet(from, '='))
        return false;
    skip_white(from);
    ret->value = take(ctx, from, value_octet);
    skip_white(from);
    return true;
}

static size_t semicolons(struct bytes text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == ';';
    return count;
}

static bool read_all(TALLOC_CTX *ctx, struct bytes text, struct issue_value *ret)
{
    struct issue_value value = {
        .parameters = mem_array(ctx, struct issue_parameter, semicolons(text) + 1)};

    skip_white(&text);
    value.domain = take(ctx, &text, domain_octet);
    skip_white(&text);
    while (text.size > 0) {
        if (!skip_octet(&text, ';'))
            return false;
        skip_white(&text);
        value.ends_open = text.size == 0;
        if (!value.ends_open && !parameter_read(ctx, &text, &value.parameters[value.count++]))
            return false;
    }
    *ret = value;
    return true;
}

bool issue_value_read(TALLOC_CTX *ctx, struct bytes text, struct issue_value *ret)
{
    TALLOC_CTX *held = talloc_new(ctx);

    if (read_all(held, text, ret))
        return true;
    talloc_free(held);
    return false;
}

bool issue_value_find(const struct issue_value *value, const char *tag, const char **ret)
{
    *ret = NULL;
    for (size_t i = 0; i < value->count; i++) {
        if (!text_equal_nocase(value->parameters[i].tag, tag))
            continue;
        if (*ret)
            return false;
        *ret = value->parameters[i].value;
    }
    return true;
}
