/* lib/core/text.c: small readers of text. None follows the locale. */

#include "core/text.h"

#include "core/memory.h"

#include "core/banned.h"

#define QUOTED_MAX 80

static char lower_ascii(char c)
{
    if (c < 'A' || c > 'Z')
        return c;
    return (char)(c - 'A' + 'a');
}

static bool white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool text_equal(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

bool text_equal_nocase(const char *a, const char *b)
{
    if (!a || !b)
        return false;
    while (*a != '\0' && lower_ascii(*a) == lower_ascii(*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

bool text_starts(const char *text, const char *prefix)
{
    return text && prefix && strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *text, const char *suffix)
{
    if (!text || !suffix)
        return false;
    const size_t length = strlen(text);
    const size_t tail = strlen(suffix);
    return length >= tail && memcmp(text + length - tail, suffix, tail) == 0;
}

char *text_lower(TALLOC_CTX *ctx, const char *text)
{
    char *lowered = mem_text(ctx, text);

    for (char *at = lowered; at && *at != '\0'; at++)
        *at = lower_ascii(*at);
    return lowered;
}

static char *trimmed(TALLOC_CTX *ctx, const char *text, size_t length)
{
    while (length > 0 && white(text[0])) {
        text++;
        length--;
    }
    while (length > 0 && white(text[length - 1]))
        length--;
    return mem_text_n(ctx, text, length);
}

char *text_trim(TALLOC_CTX *ctx, const char *text)
{
    return text ? trimmed(ctx, text, strlen(text)) : NULL;
}

/* Writes the byte as it may be shown; returns how many characters that takes, at most 4. */
static size_t show_byte(uint8_t byte, char into[4])
{
    static const char digits[] = "0123456789abcdef";

    if (byte == '"' || byte == '\\') {
        into[0] = '\\';
        into[1] = (char)byte;
        return 2;
    }
    if (byte >= 0x20 && byte < 0x7f) {
        into[0] = (char)byte;
        return 1;
    }
    into[0] = '\\';
    into[1] = 'x';
    into[2] = digits[byte >> 4U];
    into[3] = digits[byte & 15U];
    return 4;
}

char *text_quote_n(TALLOC_CTX *ctx, const char *text, size_t length)
{
    char shown[QUOTED_MAX + 1] = {0};
    size_t used = 0;
    size_t i = 0;

    for (; i < length; i++) {
        char piece[4];
        const size_t size = show_byte((uint8_t)text[i], piece);
        if (used + size > QUOTED_MAX)
            break;
        memcpy(shown + used, piece, size);
        used += size;
    }
    return mem_printf(ctx, "\"%s%s\"", shown, i < length ? "…" : "");
}

char *text_quote(TALLOC_CTX *ctx, const char *text)
{
    return text ? text_quote_n(ctx, text, strlen(text)) : mem_text(ctx, "nothing");
}

/* Leaves *at behind the digits. False: none, or past 64 bits. */
static bool take_digits(const char **at, int64_t *ret)
{
    int64_t value = 0;
    const char *start = *at;

    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, **at - '0', &value))
            return false;
    }
    /* Counted downwards, since the least integer has no positive counterpart. */
    *ret = value;
    return *at > start;
}

bool text_to_integer(const char *text, int64_t least_value, int64_t most_value, int64_t *ret)
{
    int64_t value;

    if (!text)
        return false;
    const bool minus = *text == '-';
    const char *at = text + (minus ? 1 : 0);
    if (!take_digits(&at, &value) || *at != '\0')
        return false;
    if (!minus && __builtin_sub_overflow(0, value, &value))
        return false;
    if (value < least_value || value > most_value)
        return false;
    *ret = value;
    return true;
}

struct unit {
    const char *name;
    int64_t ns;
};

/* Two letters before one, so that "ms" is not read as minutes. */
static const struct unit units[] = {
    {"ns", 1            },
    {"us", 1000         },
    {"ms", 1000000      },
    {"s",  1000000000   },
    {"m",  60000000000  },
    {"h",  3600000000000},
};

static const struct unit *take_unit(const char **at)
{
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (text_starts(*at, units[i].name)) {
            *at += strlen(units[i].name);
            return &units[i];
        }
    }
    return NULL;
}

/* The digits behind the point, as nanoseconds. Below one nanosecond nothing is exact. */
static bool fraction_to_ns(const char *digits, size_t count, const struct unit *unit, int64_t *ret)
{
    int64_t scale = unit->ns;
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        if (scale % 10 != 0)
            return false;
        scale /= 10;
        sum += (digits[i] - '0') * scale;
    }
    *ret = sum;
    return true;
}

/* One "1.5h"; adds to *total_ns. */
static bool take_span(const char **at, int64_t *total_ns)
{
    int64_t whole = 0;
    int64_t part;
    const bool any = take_digits(at, &whole);
    const char *digits = *at;
    size_t count = 0;

    if (*digits == '.') {
        digits++;
        count = strspn(digits, "0123456789");
        *at = digits + count;
    }
    if (!any && count == 0)
        return false;
    const struct unit *unit = take_unit(at);
    return unit && fraction_to_ns(digits, count, unit, &part) &&
           !__builtin_mul_overflow(whole, -unit->ns, &whole) &&
           !__builtin_add_overflow(*total_ns, whole, total_ns) &&
           !__builtin_add_overflow(*total_ns, part, total_ns);
}

bool text_to_duration_ms(const char *text, int64_t *ret_ms)
{
    int64_t total_ns = 0;

    if (!text || *text == '\0')
        return false;
    if (text_equal(text, "0")) {
        *ret_ms = 0;
        return true;
    }
    for (const char *at = text; *at != '\0';) {
        if (!take_span(&at, &total_ns))
            return false;
    }
    /* Rounding "100us" down to nothing would switch off what was to be short. */
    if (total_ns % 1000000 != 0)
        return false;
    *ret_ms = total_ns / 1000000;
    return true;
}

char *text_from_duration_ms(TALLOC_CTX *ctx, int64_t ms)
{
    const int64_t hours = ms / 3600000;
    const int64_t minutes = ms / 60000 % 60;
    const int64_t rest = ms % 60000;

    if (ms == 0)
        return mem_text(ctx, "0");
    char *text = mem_text(ctx, "");
    if (hours > 0)
        text = mem_append(text, "%lldh", (long long)hours);
    if (minutes > 0)
        text = mem_append(text, "%lldm", (long long)minutes);
    if (rest == 0)
        return text;
    if (rest < 1000)
        return mem_append(text, "%lldms", (long long)rest);
    text = mem_append(text, "%lld", (long long)(rest / 1000));
    if (rest % 1000 == 0)
        return mem_append(text, "s");
    text = mem_append(text, ".%03lld", (long long)(rest % 1000));
    size_t length = strlen(text);
    while (text[length - 1] == '0')
        text[--length] = '\0';
    return mem_append(text, "s");
}

bool text_to_bool(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {
        {"true",  true },
        {"1",     true },
        {"yes",   true },
        {"on",    true },
        {"false", false},
        {"0",     false},
        {"no",    false},
        {"off",   false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (text_equal_nocase(text, words[i].word)) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

static void list_take(TALLOC_CTX *ctx, struct text_list *list, char *item)
{
    list->items = mem_resize(ctx, list->items, char *, list->count + 1);
    list->items[list->count++] = item;
}

struct text_list text_split(TALLOC_CTX *ctx, const char *text, char separator)
{
    struct text_list list = {0};

    while (text && *text != '\0') {
        const char *end = strchrnul(text, separator);
        char *item = trimmed(ctx, text, (size_t)(end - text));
        if (*item != '\0')
            list_take(ctx, &list, item);
        else
            talloc_free(item);
        text = *end == '\0' ? end : end + 1;
    }
    return list;
}

void text_list_add(TALLOC_CTX *ctx, struct text_list *list, const char *item)
{
    list_take(ctx, list, mem_text(ctx, item));
}

bool text_list_has(const struct text_list *list, const char *item)
{
    for (size_t i = 0; i < list->count; i++) {
        if (text_equal(list->items[i], item))
            return true;
    }
    return false;
}

char *text_list_join(TALLOC_CTX *ctx, const struct text_list *list, const char *separator)
{
    char *joined = mem_text(ctx, "");

    for (size_t i = 0; i < list->count; i++)
        joined = mem_append(joined, "%s%s", i > 0 ? separator : "", list->items[i]);
    return joined;
}

/* How many bytes the lead byte announces, and the least code point that needs so many. */
static size_t announced(uint8_t lead, uint32_t *ret_least)
{
    static const struct {
        uint8_t mask, mark, size;
        uint32_t least;
    } forms[] = {
        {0x80, 0x00, 1, 0      },
        {0xe0, 0xc0, 2, 0x80   },
        {0xf0, 0xe0, 3, 0x800  },
        {0xf8, 0xf0, 4, 0x10000},
    };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if ((lead & forms[i].mask) == forms[i].mark) {
            *ret_least = forms[i].least;
            return forms[i].size;
        }
    }
    return 0;
}

size_t text_utf8_sequence(const char *text, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t least_point = 0;

    if (length == 0)
        return 0;
    const size_t size = announced(bytes[0], &least_point);
    if (size <= 1 || size > length)
        return size <= length ? size : 0;
    uint32_t point = bytes[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0U) != 0x80U)
            return 0;
        point = (point << 6U) | (bytes[i] & 0x3fU);
    }
    /* RFC 3629 section 3: no overlong form, no surrogate, nothing above U+10FFFF. */
    if (point < least_point || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    return size;
}

bool text_ascii(const char *text)
{
    for (; *text; text++)
        if (*text & 0x80)
            return false;
    return true;
}

bool text_utf8_valid(const char *text, size_t length)
{
    size_t at = 0;

    while (at < length) {
        const size_t size = text_utf8_sequence(text + at, length - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

char *text_utf8_repair(TALLOC_CTX *ctx, const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    const size_t length = strlen(text);
    char *repaired = mem_array(ctx, char, length * 3 + 1);
    size_t used = 0;

    for (size_t at = 0; at < length;) {
        const size_t size = text_utf8_sequence(text + at, length - at);
        const size_t written = size > 0 ? size : 3;
        memcpy(repaired + used, size > 0 ? text + at : replacement, written);
        used += written;
        at += most(size, (size_t)1);
    }
    return repaired;
}
