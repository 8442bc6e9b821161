/* lib/core/bytes.c: octet strings, hex, base64 and base64url (RFC 4648). */

#include "core/bytes.h"

#include <openssl/crypto.h>
#include <string.h>

#include "core/memory.h"

#include "core/banned.h"

/* The last two characters are all in which the two alphabets of RFC 4648 differ. */
static const char standard_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool bytes_equal_secret(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || CRYPTO_memcmp(a.data, b.data, a.size) == 0);
}

struct bytes bytes_copy(TALLOC_CTX *ctx, struct bytes from)
{
    return (struct bytes){mem_copy(ctx, from.data, from.size), from.size};
}

struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

char *hex_from_bytes(TALLOC_CTX *ctx, struct bytes from)
{
    static const char digits[] = "0123456789abcdef";
    char *text = mem_array(ctx, char, from.size * 2 + 1);

    for (size_t i = 0; i < from.size; i++) {
        text[2 * i] = digits[from.data[i] >> 4U];
        text[2 * i + 1] = digits[from.data[i] & 15U];
    }
    return text;
}

int hex_digit_value(char digit)
{
    /* One more than a digit's value; 0: none. No branch that random digits would mispredict. */
    static const uint8_t values[UINT8_MAX + 1] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
        ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
        ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
        ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    };
    return values[(uint8_t)digit] - 1; /* a char may be negative */
}

bool hex_to_bytes(TALLOC_CTX *ctx, const char *text, struct bytes *ret)
{
    const size_t length = strlen(text);

    if (length % 2 != 0)
        return false;
    uint8_t *data = mem_array(ctx, uint8_t, length / 2);
    for (size_t i = 0; i < length / 2; i++) {
        const int high = hex_digit_value(text[2 * i]);
        const int low = hex_digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            talloc_free(data);
            return false;
        }
        data[i] = (uint8_t)(high * 16 + low);
    }
    *ret = (struct bytes){data, length / 2};
    return true;
}

/* Without padding; mem_array's zeros end the text. */
static char *encode(TALLOC_CTX *ctx, struct bytes from, const char *digits)
{
    char *text = mem_array(ctx, char, (from.size + 2) / 3 * 4 + 1);
    size_t used = 0;
    uint32_t bits = 0;
    unsigned held = 0; /* how many of the low bits wait to be written */

    for (size_t i = 0; i < from.size; i++) {
        bits = (bits << 8U) | from.data[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            text[used++] = digits[(bits >> held) & 63U];
        }
    }
    if (held > 0)
        text[used] = digits[(bits << (6 - held)) & 63U];
    return text;
}

/* -1: no digit of this alphabet. */
static int digit_value(char digit, const char *digits)
{
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52;
    if (digit == digits[62])
        return 62;
    return digit == digits[63] ? 63 : -1;
}

/* False: a foreign character, a length that no bytes give, or bits left over that are not zero
 * (RFC 4648 section 3.5: two texts for the same bytes would be two names for one thing). */
static bool decode_into(uint8_t *data, const char *text, size_t length, const char *digits)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;

    if (length % 4 == 1)
        return false;
    for (size_t i = 0; i < length; i++) {
        const int value = digit_value(text[i], digits);
        if (value < 0)
            return false;
        bits = (bits << 6U) | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            data[used++] = (uint8_t)(bits >> held);
            bits &= (1U << held) - 1U;
        }
    }
    return bits == 0;
}

static bool decode(TALLOC_CTX *ctx, const char *text, size_t length, const char *digits,
                   struct bytes *ret)
{
    const size_t size = length / 4 * 3 + length % 4 * 3 / 4;
    uint8_t *data = mem_array(ctx, uint8_t, size);

    if (!decode_into(data, text, length, digits)) {
        talloc_free(data);
        return false;
    }
    *ret = (struct bytes){data, size};
    return true;
}

char *base64url_from_bytes(TALLOC_CTX *ctx, struct bytes from)
{
    return encode(ctx, from, url_digits);
}

bool base64url_to_bytes(TALLOC_CTX *ctx, const char *text, size_t length, struct bytes *ret)
{
    return decode(ctx, text, length, url_digits, ret);
}

char *base64_from_bytes(TALLOC_CTX *ctx, struct bytes from)
{
    char *text = encode(ctx, from, standard_digits);
    const size_t padded = (from.size + 2) / 3 * 4;

    for (size_t at = strlen(text); at < padded; at++)
        text[at] = '=';
    return text;
}

bool base64_to_bytes(TALLOC_CTX *ctx, const char *text, size_t length, struct bytes *ret)
{
    char *dense = mem_array(ctx, char, length);
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        if (!strchr(" \t\r\n", text[i]) || text[i] == '\0')
            dense[used++] = text[i];
    }
    const bool whole = used % 4 == 0;
    for (unsigned pads = 0; pads < 2 && used > 0 && dense[used - 1] == '='; pads++)
        used--;
    const bool read = whole && decode(ctx, dense, used, standard_digits, ret);
    talloc_free(dense);
    return read;
}
