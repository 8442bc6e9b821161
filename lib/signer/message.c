/* lib/signer/message.c: the one codec between callers and certctl-signer, a table of fields.
 *
 * What a field may hold stands in the tables; the functions below know contents only, so a message
 * gains a field by gaining a line. 04 section 4.0. */
#include "signer/message.h"

#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define MESSAGE_VERSION 1
#define REPLY_OK        1
#define REPLY_REFUSED   2
/* The last second of the year 9999: RFC 5280 section 4.1.2.5 knows none after it. */
#define TIME_LAST_S INT64_C(253402300799)

enum content {
    CONTENT_TEXT,   /* const char * */
    CONTENT_OCTETS, /* struct bytes */
    CONTENT_RDNS,   /* struct rdn *, its count behind it */
    CONTENT_NAMES,  /* struct name_list */
    CONTENT_TEXTS,  /* struct text_list */
    CONTENT_BITS,   /* unsigned, four octets */
    CONTENT_FLAG,   /* bool, one octet */
    CONTENT_DEPTH,  /* int from -1, one octet, one more than the value */
    CONTENT_TIME,   /* int64_t, eight octets */
};

struct limit {
    uint32_t octets; /* of the whole content */
    uint32_t items;  /* lists: how many */
    uint32_t item;   /* lists: octets of one text */
};

struct field {
    uint8_t tag;
    const char *name;
    enum content content;
    size_t offset;
    const struct limit *limit;
};

struct field_list {
    const struct field *items;
    size_t count;
};

#define REQUEST(member) offsetof(struct signer_request, member)
#define REPLY(member)   offsetof(struct signer_reply, member)
#define RDN_MAX         (9 + SIGNER_OID_MAX + SIGNER_RDN_VALUE_MAX)

static const struct limit one = {1, 0, 0};
static const struct limit four = {4, 0, 0};
static const struct limit eight = {8, 0, 0};
static const struct limit key_ref = {SIGNER_KEY_REF_MAX, 0, 0};
static const struct limit spki = {SIGNER_SPKI_MAX, 0, 0};
static const struct limit algorithm = {SIGNER_ALGORITHM_MAX, 0, 0};
static const struct limit hint = {SIGNER_HINT_MAX, 0, 0};
static const struct limit driver = {SIGNER_DRIVER_MAX, 0, 0};
static const struct limit facts = {SIGNER_FACTS_MAX, 0, 0};
static const struct limit subject = {SIGNER_SUBJECT_COUNT * RDN_MAX, SIGNER_SUBJECT_COUNT,
                                     SIGNER_RDN_VALUE_MAX};
static const struct limit name_list = {SIGNER_NAMES_MAX, SIGNER_NAMES_COUNT, SIGNER_NAME_MAX};
static const struct limit policies = {SIGNER_POLICIES_COUNT * (4 + SIGNER_OID_MAX),
                                      SIGNER_POLICIES_COUNT, SIGNER_OID_MAX};
static const struct limit dns = {SIGNER_DNS_COUNT * (4 + SIGNER_DNS_MAX), SIGNER_DNS_COUNT,
                                 SIGNER_DNS_MAX};
static const struct limit refusal = {64, 0, 0};
static const struct limit detail = {1024, 0, 0};
static const struct limit reply_text = {16384, 0, 0};
static const struct limit digest = {SIGNER_DIGEST_MAX, 0, 0};
static const struct limit signature = {SIGNER_SIGNATURE_MAX, 0, 0};
static const struct limit whole = {SIGNER_FRAME_MAX, 0, 0};

static const struct field request_fields[] = {
    {1,  "key_ref",        CONTENT_TEXT,   REQUEST(key_ref),          &key_ref  },
    {2,  "subject",        CONTENT_RDNS,   REQUEST(leaf.subject),     &subject  },
    {3,  "spki",           CONTENT_OCTETS, REQUEST(leaf.spki),        &spki     },
    {4,  "names",          CONTENT_NAMES,  REQUEST(leaf.names),       &name_list},
    {5,  "key_usage",      CONTENT_BITS,   REQUEST(leaf.key_usage),   &four     },
    {6,  "ekus",           CONTENT_BITS,   REQUEST(leaf.ekus),        &four     },
    {7,  "policies",       CONTENT_TEXTS,  REQUEST(leaf.policies),    &policies },
    {8,  "must_staple",    CONTENT_FLAG,   REQUEST(leaf.must_staple), &one      },
    {9,  "short_lived",    CONTENT_FLAG,   REQUEST(leaf.short_lived), &one      },
    {10, "not_before",     CONTENT_TIME,   REQUEST(leaf.not_before),  &eight    },
    {11, "not_after",      CONTENT_TIME,   REQUEST(leaf.not_after),   &eight    },
    {12, "subject",        CONTENT_RDNS,   REQUEST(ca.subject),       &subject  },
    {13, "spki",           CONTENT_OCTETS, REQUEST(ca.spki),          &spki     },
    {14, "not_before",     CONTENT_TIME,   REQUEST(ca.not_before),    &eight    },
    {15, "not_after",      CONTENT_TIME,   REQUEST(ca.not_after),     &eight    },
    {16, "path_len",       CONTENT_DEPTH,  REQUEST(ca.path_len),      &one      },
    {17, "permitted_dns",  CONTENT_TEXTS,  REQUEST(ca.permitted_dns), &dns      },
    {18, "excluded_dns",   CONTENT_TEXTS,  REQUEST(ca.excluded_dns),  &dns      },
    {19, "algorithm",      CONTENT_TEXT,   REQUEST(algorithm),        &algorithm},
    {20, "hint",           CONTENT_TEXT,   REQUEST(hint),             &hint     },
    {21, "issuer_key_ref", CONTENT_TEXT,   REQUEST(issuer_key_ref),   &key_ref  },
    {22, "facts",          CONTENT_TEXT,   REQUEST(facts_json),       &facts    },
    {28, "driver",         CONTENT_TEXT,   REQUEST(driver),           &driver   },
    {29, "crl_number",     CONTENT_TIME,   REQUEST(crl_number),       &eight    },
    {30, "ca_sha256",      CONTENT_TEXT,   REQUEST(ca_sha256),        &digest   },
};

static const struct field reply_fields[] = {
    {1, "refusal",   CONTENT_TEXT,   REPLY(refusal),    &refusal   },
    {2, "detail",    CONTENT_TEXT,   REPLY(detail),     &detail    },
    {3, "der",       CONTENT_OCTETS, REPLY(der),        &whole     },
    {4, "spki",      CONTENT_OCTETS, REPLY(spki),       &spki      },
    {5, "key_ref",   CONTENT_TEXT,   REPLY(key_ref),    &key_ref   },
    {6, "text",      CONTENT_TEXT,   REPLY(text),       &reply_text},
    {7, "signature", CONTENT_OCTETS, REPLY(signature),  &signature },
    {8, "facts",     CONTENT_TEXT,   REPLY(facts_json), &facts     },
};

/* The count of an array of RDNs stands behind its pointer, in both wishes. */
#define COUNT_AFTER sizeof(const struct rdn *)
static_assert(REQUEST(leaf.subject_count) == REQUEST(leaf.subject) + COUNT_AFTER, "leaf");
static_assert(REQUEST(ca.subject_count) == REQUEST(ca.subject) + COUNT_AFTER, "ca");

/* Which fields a kind must and may have. */
struct shape {
    unsigned kind;
    const char *name;
    uint32_t required;
    uint32_t optional;
};

#define BIT(tag)     (UINT32_C(1) << (tag))
#define LEAF_FIELDS  (BIT(12) - BIT(1))                    /* 1 to 11 */
#define OCSP_FIELDS  (BIT(1) | BIT(3) | BIT(10) | BIT(11)) /* key_ref, spki, life */
#define CA_FIELDS    (BIT(19) - BIT(12))                   /* 12 to 18 */
#define CA_KEYS      (BIT(1) | BIT(21))
#define CSR_FIELDS   (BIT(1) | BIT(12) | BIT(16))
#define GENERATE_ALL (BIT(19) | BIT(20))
#define FACTS_ALL    (BIT(1) | BIT(22))
#define FLOOR_ALL    (BIT(1) | BIT(29))
#define CLOSE_ALL    (BIT(1) | BIT(30))
#define REPLY_OK_ANY (BIT(9) - BIT(3)) /* 3 to 8 */

static const struct shape request_shapes[] = {
    {SIGNER_PING,                "ping",                0,            0      },
    {SIGNER_PUBLIC_KEY,          "public-key",          BIT(1),       0      },
    {SIGNER_SIGN_LEAF,           "sign-leaf",           LEAF_FIELDS,  0      },
    {SIGNER_SIGN_CRL,            "sign-crl",            BIT(1),       0      },
    {SIGNER_SIGN_OCSP_RESPONDER, "sign-ocsp-responder", OCSP_FIELDS,  0      },
    {SIGNER_GENERATE,            "generate",            GENERATE_ALL, BIT(28)},
    {SIGNER_SIGN_CA,             "sign-ca",             CA_FIELDS,    CA_KEYS},
    {SIGNER_SIGN_CSR,            "sign-csr",            CSR_FIELDS,   0      },
    {SIGNER_FORGET,              "forget",              BIT(1),       0      },
    {SIGNER_FACTS,               "facts",               FACTS_ALL,    0      },
    {SIGNER_CRL_FLOOR,           "crl-floor",           FLOOR_ALL,    0      },
    {SIGNER_CLOSE,               "close",               CLOSE_ALL,    0      },
    {SIGNER_SHOW_FACTS,          "show-facts",          BIT(1),       0      },
    {SIGNER_CHECK_FACTS,         "check-facts",         FACTS_ALL,    0      },
};

static const struct shape reply_shapes[] = {
    {REPLY_OK,      "ok",      0,      REPLY_OK_ANY},
    {REPLY_REFUSED, "refused", BIT(1), BIT(2)      },
};

static const struct field_list request_list = {request_fields, ARRAY_SIZE(request_fields)};
static const struct field_list reply_list = {reply_fields, ARRAY_SIZE(reply_fields)};

static const struct shape *shape_find(const struct shape *shapes, size_t count, unsigned kind)
{
    for (size_t i = 0; i < count; i++)
        if (shapes[i].kind == kind)
            return &shapes[i];
    return NULL;
}

/* Writing. */

struct writer {
    uint8_t *data;
    size_t size;
    size_t room;
};

static void put(struct writer *writer, const void *data, size_t size)
{
    if (writer->room - writer->size < size) {
        writer->room = 2 * (writer->room + size);
        writer->data = mem_resize(talloc_parent(writer->data), writer->data, uint8_t, writer->room);
    }
    if (size > 0)
        memcpy(writer->data + writer->size, data, size);
    writer->size += size;
}

static void put_octet(struct writer *writer, unsigned value)
{
    put(writer, &(uint8_t){value & 0xff}, 1);
}

static void big_endian(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = size; i-- > 0; value >>= 8)
        at[i] = value & 0xff;
}

static void put_integer(struct writer *writer, uint64_t value, size_t size)
{
    uint8_t octets[8];

    big_endian(octets, value, size);
    put(writer, octets, size);
}

static void put_text(struct writer *writer, const char *text)
{
    const size_t length = strlen(text);

    put_integer(writer, length, 4);
    put(writer, text, length);
}

static void put_rdns(struct writer *writer, const struct rdn *rdns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_octet(writer, rdns[i].string);
        put_text(writer, rdns[i].oid);
        put_text(writer, rdns[i].value);
    }
}

static void put_names(struct writer *writer, const struct name_list *names)
{
    for (size_t i = 0; i < names->count; i++) {
        put_octet(writer, names->items[i].kind);
        put_text(writer, names->items[i].value);
    }
}

static void put_texts(struct writer *writer, const struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        put_text(writer, list->items[i]);
}

/* `place` holds what the field's content says; the table vouches for the type. */
static void put_content(struct writer *writer, const struct field *field, const uint8_t *from)
{
    const void *place = from + field->offset;

    switch (field->content) {
    case CONTENT_TEXT: {
        const char *text = *(const char *const *)place;
        put(writer, text, strlen(text));
        return;
    }
    case CONTENT_OCTETS: {
        const struct bytes *octets = place;
        put(writer, octets->data, octets->size);
        return;
    }
    case CONTENT_RDNS:
        put_rdns(writer, *(const struct rdn *const *)place,
                 *(const size_t *)(const void *)(from + field->offset + COUNT_AFTER));
        return;
    case CONTENT_NAMES:
        put_names(writer, place);
        return;
    case CONTENT_TEXTS:
        put_texts(writer, place);
        return;
    case CONTENT_BITS:
        put_integer(writer, *(const unsigned *)place, 4);
        return;
    case CONTENT_FLAG:
        put_octet(writer, *(const bool *)place);
        return;
    case CONTENT_DEPTH:
        put_octet(writer, *(const int *)place + 1);
        return;
    case CONTENT_TIME:
        put_integer(writer, *(const int64_t *)place, 8);
        return;
    }
}

/* An optional field is absent when its text is NULL or its octets are none. */
static bool is_absent(const struct field *field, const uint8_t *from)
{
    const void *place = from + field->offset;

    if (field->content == CONTENT_TEXT)
        return *(const char *const *)place == NULL;
    return field->content == CONTENT_OCTETS && ((const struct bytes *)place)->size == 0;
}

static struct bytes encode(TALLOC_CTX *ctx, const struct field_list *fields,
                           const struct shape *shape, const void *from)
{
    struct writer writer = {.data = mem_array(ctx, uint8_t, 512), .room = 512};

    put_integer(&writer, 0, SIGNER_FRAME_PREFIX);
    put_octet(&writer, MESSAGE_VERSION);
    put_octet(&writer, shape->kind);
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        const uint32_t bit = BIT(field->tag);
        if (!((shape->required | shape->optional) & bit) || is_absent(field, from))
            continue;
        put_octet(&writer, field->tag);
        const size_t length_at = writer.size;
        put_integer(&writer, 0, 4);
        put_content(&writer, field, from);
        big_endian(writer.data + length_at, writer.size - length_at - 4, 4);
    }
    big_endian(writer.data, writer.size - SIGNER_FRAME_PREFIX, SIGNER_FRAME_PREFIX);
    return (struct bytes){writer.data, writer.size};
}

struct bytes signer_request_encode(TALLOC_CTX *ctx, const struct signer_request *request)
{
    /* A kind that nobody serves is sent as it is: the other end says so. */
    const struct shape unknown = {.kind = request->kind};
    const struct shape *shape = shape_find(request_shapes, ARRAY_SIZE(request_shapes),
                                           request->kind);

    return encode(ctx, &request_list, shape ? shape : &unknown, request);
}

struct bytes signer_reply_encode(TALLOC_CTX *ctx, const struct signer_reply *reply)
{
    return encode(ctx, &reply_list, &reply_shapes[reply->ok ? 0 : 1], reply);
}

/* Reading. Every length is held against what is left before anything is allocated. */

struct reader {
    const uint8_t *at;
    size_t left;
};

static bool take(struct reader *reader, size_t size, struct bytes *ret)
{
    if (reader->left < size)
        return false;
    *ret = (struct bytes){reader->at, size};
    reader->at += size;
    reader->left -= size;
    return true;
}

static uint64_t integer_of(struct bytes octets)
{
    uint64_t value = 0;

    for (size_t i = 0; i < octets.size; i++)
        value = value << 8 | octets.data[i];
    return value;
}

static bool take_octet(struct reader *reader, unsigned *ret)
{
    struct bytes octet;

    if (!take(reader, 1, &octet))
        return false;
    *ret = octet.data[0];
    return true;
}

static bool take_counted(struct reader *reader, struct bytes *ret)
{
    struct bytes length;

    return take(reader, 4, &length) && take(reader, integer_of(length), ret);
}

static bool octets_to_text(TALLOC_CTX *ctx, struct bytes octets, size_t most_octets,
                           const char **ret)
{
    if (octets.size == 0 || octets.size > most_octets || memchr(octets.data, 0, octets.size))
        return false;
    const char *text = mem_text_n(ctx, (const char *)octets.data, octets.size);
    if (!text_utf8_valid(text, octets.size))
        return false;
    *ret = text;
    return true;
}

static bool take_text(TALLOC_CTX *ctx, struct reader *reader, size_t most_octets, const char **ret)
{
    struct bytes octets;

    return take_counted(reader, &octets) && octets_to_text(ctx, octets, most_octets, ret);
}

/* Lists: an array of the most items would waste memory on a short list, so it grows with it. */

static bool read_rdns(TALLOC_CTX *ctx, struct reader *reader, const struct field *field,
                      uint8_t *into)
{
    struct rdn *rdns = mem_array(ctx, struct rdn, field->limit->items);
    size_t count = 0;

    for (; reader->left > 0; count++) {
        unsigned string;
        if (count == field->limit->items || !take_octet(reader, &string) || string > RDN_IA5)
            return false;
        rdns[count].string = string;
        if (!take_text(rdns, reader, SIGNER_OID_MAX, &rdns[count].oid) ||
            !take_text(rdns, reader, field->limit->item, &rdns[count].value))
            return false;
    }
    *(const struct rdn **)(void *)(into + field->offset) = rdns;
    *(size_t *)(void *)(into + field->offset + COUNT_AFTER) = count;
    return true;
}

static bool read_names(TALLOC_CTX *ctx, struct reader *reader, const struct field *field,
                       uint8_t *into)
{
    struct name_list *names = (void *)(into + field->offset);

    /* The shortest name takes six octets, so this bounds the array by what was sent. */
    names->items = mem_array(ctx, struct name, least(reader->left / 6 + 1, field->limit->items));
    for (names->count = 0; reader->left > 0; names->count++) {
        struct name *name = &names->items[names->count];
        unsigned kind;
        if (names->count == field->limit->items || !take_octet(reader, &kind) || kind > NAME_OTHER)
            return false;
        name->kind = kind;
        if (!take_text(names->items, reader, field->limit->item, &name->value))
            return false;
    }
    return true;
}

static bool read_texts(TALLOC_CTX *ctx, struct reader *reader, const struct field *field,
                       uint8_t *into)
{
    struct text_list *list = (void *)(into + field->offset);

    while (reader->left > 0) {
        const char *text;
        if (list->count == field->limit->items ||
            !take_text(ctx, reader, field->limit->item, &text))
            return false;
        text_list_add(ctx, list, text);
    }
    return true;
}

static bool read_time(struct bytes content, int64_t *ret)
{
    const uint64_t value = integer_of(content);

    if (content.size != 8 || value > (uint64_t)TIME_LAST_S)
        return false;
    *ret = (int64_t)value;
    return true;
}

static bool read_number(const struct field *field, struct bytes content, void *place)
{
    const uint64_t value = integer_of(content);

    if (content.size != field->limit->octets)
        return false;
    switch (field->content) {
    case CONTENT_BITS:
        *(unsigned *)place = (unsigned)value;
        return true;
    case CONTENT_FLAG:
        *(bool *)place = value == 1;
        return value <= 1;
    case CONTENT_DEPTH:
        *(int *)place = (int)value - 1;
        return true;
    case CONTENT_TIME:
        return read_time(content, place);
    case CONTENT_TEXT:
    case CONTENT_OCTETS:
    case CONTENT_RDNS:
    case CONTENT_NAMES:
    case CONTENT_TEXTS:
        break;
    }
    return false;
}

static bool read_content(TALLOC_CTX *ctx, const struct field *field, struct bytes content,
                         uint8_t *into)
{
    void *place = into + field->offset;
    struct reader reader = {content.data, content.size};

    if (content.size > field->limit->octets)
        return false;
    switch (field->content) {
    case CONTENT_TEXT:
        return octets_to_text(ctx, content, field->limit->octets, place);
    case CONTENT_OCTETS:
        *(struct bytes *)place = bytes_copy(ctx, content);
        return content.size > 0;
    case CONTENT_RDNS:
        return read_rdns(ctx, &reader, field, into);
    case CONTENT_NAMES:
        return read_names(ctx, &reader, field, into);
    case CONTENT_TEXTS:
        return read_texts(ctx, &reader, field, into);
    case CONTENT_BITS:
    case CONTENT_FLAG:
    case CONTENT_DEPTH:
    case CONTENT_TIME:
        break;
    }
    return read_number(field, content, place);
}

static const struct field *field_find(const struct field_list *fields, unsigned tag)
{
    for (size_t i = 0; i < fields->count; i++)
        if (fields->items[i].tag == tag)
            return &fields->items[i];
    return NULL;
}

/* One field; `seen` collects the tags. */
static bool read_field(TALLOC_CTX *ctx, struct reader *reader, const struct field_list *fields,
                       const struct shape *shape, uint32_t *seen, uint8_t *into,
                       struct fault *fault)
{
    unsigned tag;
    struct bytes content;

    if (!take_octet(reader, &tag) || !take_counted(reader, &content))
        return fault_set(fault, SIGNER_MESSAGE, "frame", "a field is cut short");
    const struct field *field = field_find(fields, tag);
    if (!field || !((shape->required | shape->optional) & BIT(tag)))
        return fault_set(fault, SIGNER_MESSAGE, "frame", "field %u is unknown in %s", tag,
                         shape->name);
    if (*seen >> tag)
        return fault_set(fault, SIGNER_MESSAGE, field->name, "field %u is repeated or out of order",
                         tag);
    *seen |= BIT(tag);
    if (!read_content(ctx, field, content, into))
        return fault_set(fault, SIGNER_MESSAGE, field->name, "%s is malformed or above its limit",
                         field->name);
    return true;
}

static bool check_missing(const struct field_list *fields, const struct shape *shape, uint32_t seen,
                          struct fault *fault)
{
    for (size_t i = 0; i < fields->count; i++)
        if (shape->required & ~seen & BIT(fields->items[i].tag))
            return fault_set(fault, SIGNER_MESSAGE, fields->items[i].name, "%s is missing",
                             fields->items[i].name);
    return true;
}

static bool read_fields(TALLOC_CTX *ctx, struct bytes body, const struct field_list *fields,
                        const struct shape *shape, void *into, struct fault *fault)
{
    struct reader reader = {body.data, body.size};
    uint32_t seen = 0;

    while (reader.left > 0)
        if (!read_field(ctx, &reader, fields, shape, &seen, into, fault))
            return false;
    return check_missing(fields, shape, seen, fault);
}

/* Version and kind; *ret_body is what follows. */
static bool read_head(struct bytes frame, unsigned *ret_kind, struct bytes *ret_body,
                      struct fault *fault)
{
    if (frame.size < 2 || frame.size > SIGNER_FRAME_MAX)
        return fault_set(fault, SIGNER_MESSAGE, "frame", "a frame of %zu octets is none",
                         frame.size);
    if (frame.data[0] != MESSAGE_VERSION)
        return fault_set(fault, SIGNER_MESSAGE, "version", "version %u is not spoken here",
                         frame.data[0]);
    *ret_kind = frame.data[1];
    *ret_body = (struct bytes){frame.data + 2, frame.size - 2};
    return true;
}

bool signer_request_decode(TALLOC_CTX *ctx, struct bytes frame, struct signer_request *ret_request,
                           struct fault *fault)
{
    unsigned kind = 0;
    struct bytes body = {0};

    if (!read_head(frame, &kind, &body, fault))
        return false;
    const struct shape *shape = shape_find(request_shapes, ARRAY_SIZE(request_shapes), kind);
    if (!shape)
        return fault_set(fault, SIGNER_MESSAGE, "kind", "request kind %u is not served", kind);
    struct signer_request request = {.kind = kind};
    AUTO(TALLOC_CTX) *kept = talloc_new(ctx);
    if (!read_fields(kept, body, &request_list, shape, &request, fault))
        return false;
    *ret_request = request;
    (void)TAKE(kept);
    return true;
}

bool signer_reply_decode(TALLOC_CTX *ctx, struct bytes frame, struct signer_reply *ret_reply,
                         struct fault *fault)
{
    unsigned kind = 0;
    struct bytes body = {0};

    if (!read_head(frame, &kind, &body, fault))
        return false;
    const struct shape *shape = shape_find(reply_shapes, ARRAY_SIZE(reply_shapes), kind);
    if (!shape)
        return fault_set(fault, SIGNER_MESSAGE, "kind", "reply kind %u is unknown", kind);
    struct signer_reply reply = {.ok = kind == REPLY_OK};
    AUTO(TALLOC_CTX) *kept = talloc_new(ctx);
    if (!read_fields(kept, body, &reply_list, shape, &reply, fault))
        return false;
    *ret_reply = reply;
    (void)TAKE(kept);
    return true;
}

bool signer_frame_size(const uint8_t prefix[SIGNER_FRAME_PREFIX], size_t *ret_size)
{
    const uint64_t size = integer_of((struct bytes){prefix, SIGNER_FRAME_PREFIX});

    if (size == 0 || size > SIGNER_FRAME_MAX)
        return false;
    *ret_size = (size_t)size;
    return true;
}

const char *signer_kind_text(unsigned kind)
{
    const struct shape *shape = shape_find(request_shapes, ARRAY_SIZE(request_shapes), kind);

    return shape ? shape->name : NULL;
}
