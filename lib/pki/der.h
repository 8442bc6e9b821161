/* lib/pki/der.h: writing and reading DER (X.690), no more of it than certificates need.
 *
 * The writer fills one buffer from its end: what comes last in the encoding is written first, so
 * that each length is known when its header is written. Inside a structure, call in reverse:
 *
 *     size_t end = der_mark(&to);
 *     der_put_text(&to, DER_UTF8, value);
 *     der_put_oid(&to, "2.5.4.3");
 *     der_wrap(&to, DER_SEQUENCE, end);      SEQUENCE { 2.5.4.3, UTF8String value }
 */
#ifndef CERTCTL_PKI_DER_H
#define CERTCTL_PKI_DER_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/bytes.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTF8 = 0x0c,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_PRINTABLE = 0x13,
    DER_IA5 = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
};
/* Context-specific: IMPLICIT over a primitive, and over (or EXPLICIT around) a constructed type. */
#define DER_CONTEXT(number)             ((uint8_t)(0x80 | (number)))
#define DER_CONTEXT_CONSTRUCTED(number) ((uint8_t)(0xa0 | (number)))

/* The last second of the year 9999, which is the last that DER can say. */
#define DER_TIME_MAX INT64_C(253402300799)

struct der_writer {
    TALLOC_CTX *ctx;
    uint8_t *buffer;
    size_t capacity;
    size_t used; /* octets at the end of buffer */
};

/* The buffer is on ctx; it grows when `capacity` was too small. */
void der_start(struct der_writer *to, TALLOC_CTX *ctx, size_t capacity);
/* What was written, as a talloc object of its own on ctx; frees the buffer. */
struct bytes der_finish(struct der_writer *to, TALLOC_CTX *ctx);

static inline size_t der_mark(const struct der_writer *to)
{
    return to->used;
}
/* Puts a header before everything written since the mark. */
void der_wrap(struct der_writer *to, uint8_t tag, size_t mark);
/* The header of content that stands elsewhere. */
void der_put_header(struct der_writer *to, uint8_t tag, size_t length);

/* Ready-made DER, or content. */
void der_put(struct der_writer *to, struct bytes data);
void der_put_octet(struct der_writer *to, uint8_t octet);
/* Header and content. */
void der_put_value(struct der_writer *to, uint8_t tag, struct bytes content);
void der_put_text(struct der_writer *to, uint8_t tag, const char *text);
/* A non-negative INTEGER from big-endian octets of any width. */
void der_put_unsigned(struct der_writer *to, struct bytes big_endian);
void der_put_small(struct der_writer *to, uint32_t value);
/* False, nothing written, when the text is no OID that der_oid_valid accepts. */
bool der_put_oid(struct der_writer *to, const char *dotted);
/* UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5); 1970 to 9999. */
void der_put_time(struct der_writer *to, int64_t unix_s);
/* Where a structure knows GeneralizedTime alone; the same years. */
void der_put_generalized_time(struct der_writer *to, int64_t unix_s);

/* Dotted, 2 to 32 arcs below 2^32, the first 0 to 2, the second below 40 under 0 and 1. */
bool der_oid_valid(const char *dotted);

/* Takes one element off the front of *from. `ret_whole` (header included) and `ret_content` point
 * into it and may be NULL; ret_content may be `from` itself. False, *from untouched: no element, a
 * tag above 30, a length that is indefinite, not minimal or past the end. */
bool der_read(struct bytes *from, uint8_t *ret_tag, struct bytes *ret_content,
              struct bytes *ret_whole);
/* The same when the tag is the one wanted. */
bool der_read_tag(struct bytes *from, uint8_t tag, struct bytes *ret_content);
/* UTCTime to 2049 and GeneralizedTime from 2050, with seconds and Z (RFC 5280 section 4.1.2.5), as
 * Unix seconds. False, *from untouched: anything else, second 60 too, or no date. */
bool der_read_time(struct bytes *from, int64_t *ret_unix_s);

#endif
