/* lib/pki/der.c: the DER writer and reader (X.690), see der.h. */
#include "pki/der.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/macro.h"
#include "core/memory.h"

#include "core/banned.h"

#define OID_ARCS_MAX 32
#define TIME_OCTETS  15

void der_start(struct der_writer *to, TALLOC_CTX *ctx, size_t capacity)
{
    *to = (struct der_writer){.ctx = ctx, .capacity = most(capacity, (size_t)64)};
    to->buffer = talloc_size(ctx, to->capacity);
    if (!to->buffer)
        mem_exhausted(to->capacity, "der");
}

struct bytes der_finish(struct der_writer *to, TALLOC_CTX *ctx)
{
    const struct bytes written = {to->buffer + to->capacity - to->used, to->used};
    const struct bytes kept = bytes_copy(ctx, written);
    talloc_free(to->buffer);
    *to = (struct der_writer){0};
    return kept;
}

/* Room for `size` more octets, before the used ones. */
static uint8_t *room_for(struct der_writer *to, size_t size)
{
    if (to->capacity - to->used < size) {
        const size_t capacity = 2 * (to->capacity + size);
        uint8_t *larger = talloc_size(to->ctx, capacity);
        if (!larger)
            mem_exhausted(capacity, "der");
        memcpy(larger + capacity - to->used, to->buffer + to->capacity - to->used, to->used);
        talloc_free(to->buffer);
        to->buffer = larger;
        to->capacity = capacity;
    }
    to->used += size;
    return to->buffer + to->capacity - to->used;
}

void der_put(struct der_writer *to, struct bytes data)
{
    if (data.size)
        memcpy(room_for(to, data.size), data.data, data.size);
}

void der_put_octet(struct der_writer *to, uint8_t octet)
{
    *room_for(to, 1) = octet;
}

void der_put_header(struct der_writer *to, uint8_t tag, size_t length)
{
    uint8_t octets = 0;

    if (length >= 128) {
        for (size_t left = length; left; left >>= 8, octets++)
            der_put_octet(to, (uint8_t)(left & 0xff)); /* the lowest octet of what is left */
        der_put_octet(to, 0x80 | octets);
    } else {
        der_put_octet(to, (uint8_t)length); /* below 128 */
    }
    der_put_octet(to, tag);
}

void der_wrap(struct der_writer *to, uint8_t tag, size_t mark)
{
    der_put_header(to, tag, to->used - mark);
}

void der_put_value(struct der_writer *to, uint8_t tag, struct bytes content)
{
    const size_t mark = der_mark(to);
    der_put(to, content);
    der_wrap(to, tag, mark);
}

void der_put_text(struct der_writer *to, uint8_t tag, const char *text)
{
    der_put_value(to, tag, bytes_of_text(text));
}

void der_put_unsigned(struct der_writer *to, struct bytes big_endian)
{
    const size_t mark = der_mark(to);
    struct bytes digits = big_endian;

    while (digits.size > 1 && digits.data[0] == 0)
        digits = (struct bytes){digits.data + 1, digits.size - 1};
    der_put(to, digits);
    if (digits.size == 0 || digits.data[0] & 0x80)
        der_put_octet(to, 0);
    der_wrap(to, DER_INTEGER, mark);
}

void der_put_small(struct der_writer *to, uint32_t value)
{
    const uint8_t octets[] = {
        (uint8_t)(value >> 24), /* the casts keep one octet each */
        (uint8_t)(value >> 16 & 0xff),
        (uint8_t)(value >> 8 & 0xff),
        (uint8_t)(value & 0xff),
    };
    der_put_unsigned(to, BYTES_OF(octets));
}

/* One decimal arc without leading zeros, and the dot behind it unless it is the last. */
static bool read_arc(const char **text, uint64_t *ret_arc)
{
    const char *at = *text;
    uint64_t arc = 0;

    if (at[0] < '0' || at[0] > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        arc = arc * 10 + (uint64_t)(*at - '0'); /* a digit */
        if (arc > UINT32_MAX)
            return false;
    }
    if (*at == '.' && at[1] != '\0')
        at++;
    else if (*at != '\0')
        return false;
    *text = at;
    *ret_arc = arc;
    return true;
}

/* How many arcs, the first two joined as X.690 section 8.19.4 says; 0: no OID. */
static size_t read_oid(const char *dotted, uint64_t ret_arcs[OID_ARCS_MAX])
{
    size_t count = 0;
    uint64_t first = 0;
    uint64_t second = 0;

    if (!dotted || !read_arc(&dotted, &first) || first > 2 || !read_arc(&dotted, &second))
        return 0;
    if (first < 2 && second >= 40)
        return 0;
    ret_arcs[count++] = first * 40 + second;
    while (*dotted) {
        if (count == OID_ARCS_MAX - 1 || !read_arc(&dotted, &ret_arcs[count]))
            return 0;
        count++;
    }
    return count;
}

bool der_oid_valid(const char *dotted)
{
    uint64_t arcs[OID_ARCS_MAX];
    return read_oid(dotted, arcs) != 0;
}

bool der_put_oid(struct der_writer *to, const char *dotted)
{
    uint64_t arcs[OID_ARCS_MAX];
    const size_t count = read_oid(dotted, arcs);
    const size_t mark = der_mark(to);

    if (count == 0)
        return false;
    for (size_t i = count; i-- > 0;) {
        der_put_octet(to, arcs[i] & 0x7f);
        for (uint64_t left = arcs[i] >> 7; left; left >>= 7)
            der_put_octet(to, 0x80 | (left & 0x7f));
    }
    der_wrap(to, DER_OID, mark);
    return true;
}

static void put_decimal(uint8_t *at, int64_t value)
{
    at[0] = (uint8_t)('0' + value / 10 % 10); /* digits */
    at[1] = (uint8_t)('0' + value % 10);
}

/* YYYYMMDDHHMMSSZ; returns the year. */
static int64_t time_text(int64_t unix_s, uint8_t text[TIME_OCTETS])
{
    /* Days to a date in the Gregorian calendar, with years that begin in March, so that the leap
     * day is the last of its year and 400 years are 146097 days. */
    const int64_t days = unix_s / 86400 + 719468;
    const int64_t second = unix_s % 86400;
    const int64_t of_era = days % 146097;
    const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t march_month = (5 * of_year + 2) / 153;
    const int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
    const int64_t year = days / 146097 * 400 + year_of_era + (month <= 2);

    put_decimal(text, year / 100);
    put_decimal(text + 2, year % 100);
    put_decimal(text + 4, month);
    put_decimal(text + 6, of_year - (153 * march_month + 2) / 5 + 1);
    put_decimal(text + 8, second / 3600);
    put_decimal(text + 10, second / 60 % 60);
    put_decimal(text + 12, second % 60);
    text[14] = 'Z';
    return year;
}

void der_put_time(struct der_writer *to, int64_t unix_s)
{
    uint8_t text[TIME_OCTETS];

    if (time_text(unix_s, text) < 2050)
        der_put_value(to, DER_UTC_TIME, (struct bytes){text + 2, sizeof text - 2});
    else
        der_put_value(to, DER_GENERALIZED_TIME, BYTES_OF(text));
}

void der_put_generalized_time(struct der_writer *to, int64_t unix_s)
{
    uint8_t text[TIME_OCTETS];

    (void)time_text(unix_s, text);
    der_put_value(to, DER_GENERALIZED_TIME, BYTES_OF(text));
}

/* The length octets at *at; false when not minimal, indefinite or longer than 4 octets. */
static bool read_length(struct bytes from, size_t *at, size_t *ret_length)
{
    if (*at >= from.size)
        return false;
    const uint8_t first = from.data[(*at)++];
    if (first < 0x80) {
        *ret_length = first;
        return true;
    }
    const size_t octets = first & 0x7f;
    size_t length = 0;
    if (octets == 0 || octets > 4 || octets > from.size - *at)
        return false;
    for (size_t i = 0; i < octets; i++)
        length = length << 8 | from.data[(*at)++];
    *ret_length = length;
    return length >= 128 && length >> (8 * (octets - 1)) != 0;
}

bool der_read(struct bytes *from, uint8_t *ret_tag, struct bytes *ret_content,
              struct bytes *ret_whole)
{
    size_t at = 1;
    size_t length = 0;

    if (from->size < 2 || (from->data[0] & 0x1f) == 0x1f)
        return false;
    if (!read_length(*from, &at, &length) || length > from->size - at)
        return false;
    const uint8_t *first = from->data;
    /* *from goes first, so that ret_content may be the same place: what is inside is read next. */
    *from = (struct bytes){first + at + length, from->size - at - length};
    if (ret_tag)
        *ret_tag = first[0];
    if (ret_content)
        *ret_content = (struct bytes){first + at, length};
    if (ret_whole)
        *ret_whole = (struct bytes){first, at + length};
    return true;
}

bool der_read_tag(struct bytes *from, uint8_t tag, struct bytes *ret_content)
{
    return from->size > 0 && from->data[0] == tag && der_read(from, NULL, ret_content, NULL);
}

/* The digits of a UTCTime (two for the year, 50 to 99 of the last century) or a GeneralizedTime. */
static bool time_digits(uint8_t tag, struct bytes content, char ret_digits[14])
{
    const size_t century = tag == DER_UTC_TIME ? 2 : 0;

    if (content.size != 15 - century || content.data[content.size - 1] != 'Z')
        return false;
    for (size_t i = 0; i < content.size - 1; i++) {
        if (content.data[i] < '0' || content.data[i] > '9')
            return false;
        ret_digits[century + i] = (char)content.data[i]; /* a digit */
    }
    if (century) {
        ret_digits[0] = ret_digits[2] < '5' ? '2' : '1';
        ret_digits[1] = ret_digits[2] < '5' ? '0' : '9';
    }
    /* Second 60 would be another text for the next minute. */
    return ret_digits[12] < '6';
}

bool der_read_time(struct bytes *from, int64_t *ret_unix_s)
{
    struct bytes rest = *from;
    struct bytes content;
    uint8_t tag;
    char d[14];
    char text[32];

    if (!der_read(&rest, &tag, &content, NULL) ||
        (tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME) || !time_digits(tag, content, d))
        return false;
    (void)snprintf(text, sizeof text, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", d, d + 4, d + 6, d + 8,
                   d + 10, d + 12);
    const bool late = memcmp(d, "2050", 4) >= 0;
    if (late != (tag == DER_GENERALIZED_TIME) || !time_from_rfc3339(text, ret_unix_s))
        return false;
    *from = rest;
    return true;
}
