/* lib/pki/extension.c: the parts of a TBSCertificate in DER (RFC 5280 sections 4.1 and 4.2). */
#include "pki/extension.h"

#include <string.h>

#include "core/digest.h"
#include "pki/constraint.h"

#include "core/banned.h"

#define OID(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

/* Octets of a ready-made OBJECT IDENTIFIER, header included. */
struct oid {
    const uint8_t *octets;
    size_t size;
};

/* Arcs below 2.5.29 (id-ce) and 1.3.6.1.5.5.7 (id-pkix). */
#define ID_CE(arc) ((struct oid){OID(0x06, 0x03, 0x55, 0x1d, (arc))})
#define ID_PKIX(...)                                                                               \
    ((struct oid){OID(0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, __VA_ARGS__)})
#define ID_PE(arc) ID_PKIX(0x01, (arc))
#define ID_KP(arc) ID_PKIX(0x03, (arc))
#define ID_AD(arc) ID_PKIX(0x30, (arc))

/* The EKU bits in order, and the last arc below id-kp (RFC 5280 section 4.2.1.12). */
static const struct {
    unsigned bit;
    uint8_t arc;
} eku_arcs[] = {
    {EKU_SERVER_AUTH,      1},
    {EKU_CLIENT_AUTH,      2},
    {EKU_CODE_SIGNING,     3},
    {EKU_EMAIL_PROTECTION, 4},
    {EKU_TIME_STAMPING,    8},
};

static void put_ready(struct der_writer *to, struct oid oid)
{
    der_put(to, (struct bytes){oid.octets, oid.size});
}

/* Extension: OID, critical unless FALSE, and what was written since the mark as extnValue. */
static void wrap_extension(struct der_writer *to, struct oid oid, bool critical, size_t mark)
{
    static const uint8_t yes[] = {DER_BOOLEAN, 1, 0xff};

    der_wrap(to, DER_OCTET_STRING, mark);
    if (critical)
        der_put(to, BYTES_OF(yes));
    put_ready(to, oid);
    der_wrap(to, DER_SEQUENCE, mark);
}

static uint8_t rdn_tag(enum rdn_string string)
{
    switch (string) {
    case RDN_UTF8:
        return DER_UTF8;
    case RDN_PRINTABLE:
        return DER_PRINTABLE;
    case RDN_IA5:
        break;
    }
    return DER_IA5;
}

void put_name(struct der_writer *to, const struct rdn *rdns, size_t count)
{
    const size_t name = der_mark(to);

    for (size_t i = count; i-- > 0;) {
        const size_t mark = der_mark(to);
        der_put_text(to, rdn_tag(rdns[i].string), rdns[i].value);
        (void)der_put_oid(to, rdns[i].oid);
        der_wrap(to, DER_SEQUENCE, mark);
        der_wrap(to, DER_SET, mark);
    }
    der_wrap(to, DER_SEQUENCE, name);
}

/* RFC 4055 section 5: RSA with NULL; RFC 5758 section 3.2: ECDSA without parameters. */
void put_signature_algorithm(struct der_writer *to, enum signature_algorithm algorithm)
{
    static const uint8_t rsa_sha256[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                         0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00};
    static const uint8_t ecdsa_sha256[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                           0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    static const uint8_t ecdsa_sha384[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                           0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};
    switch (algorithm) {
    case SIGNATURE_RSA_SHA256:
        der_put(to, BYTES_OF(rsa_sha256));
        return;
    case SIGNATURE_ECDSA_SHA256:
        der_put(to, BYTES_OF(ecdsa_sha256));
        return;
    case SIGNATURE_ECDSA_SHA384:
        der_put(to, BYTES_OF(ecdsa_sha384));
        return;
    }
}

void key_identifier(struct bytes spki, uint8_t ret_id[KEY_ID_SIZE])
{
    struct bytes inside = {0};
    struct bytes bits = {0};
    uint8_t digest[DIGEST_SHA256_SIZE];

    (void)der_read_tag(&spki, DER_SEQUENCE, &inside);
    (void)der_read_tag(&inside, DER_SEQUENCE, NULL);
    (void)der_read_tag(&inside, DER_BIT_STRING, &bits);
    if (bits.size > 0) /* without the octet that counts unused bits */
        bits = (struct bytes){bits.data + 1, bits.size - 1};
    digest_sha256(bits, digest);
    memcpy(ret_id, digest, KEY_ID_SIZE);
}

void put_basic_constraints(struct der_writer *to, bool is_ca, int path_len)
{
    static const uint8_t yes[] = {DER_BOOLEAN, 1, 0xff};
    const size_t mark = der_mark(to);

    if (is_ca && path_len >= 0)
        der_put_small(to, (uint32_t)path_len); /* not negative */
    if (is_ca)
        der_put(to, BYTES_OF(yes));
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(19), true, mark);
}

/* A NamedBitList: bit 0 is the highest, trailing zero bits are not written (X.690 11.2.2). */
void put_key_usage(struct der_writer *to, unsigned usage)
{
    const size_t mark = der_mark(to);
    uint8_t octet = 0;
    uint8_t unused = 8;

    for (uint8_t bit = 0; bit < 8; bit++) {
        if (!(usage & 1u << bit))
            continue;
        octet |= (uint8_t)(0x80u >> bit); /* one bit of eight */
        unused = (uint8_t)(7 - bit);
    }
    const uint8_t content[] = {unused, octet};
    der_put_value(to, DER_BIT_STRING, BYTES_OF(content));
    wrap_extension(to, ID_CE(15), true, mark);
}

void put_ekus(struct der_writer *to, unsigned ekus)
{
    const size_t mark = der_mark(to);

    for (size_t i = ARRAY_SIZE(eku_arcs); i-- > 0;)
        if (ekus & eku_arcs[i].bit)
            put_ready(to, ID_KP(eku_arcs[i].arc));
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(37), ekus == EKU_TIME_STAMPING, mark);
}

void put_subject_key_id(struct der_writer *to, struct bytes id)
{
    const size_t mark = der_mark(to);
    der_put_value(to, DER_OCTET_STRING, id);
    wrap_extension(to, ID_CE(14), false, mark);
}

void put_authority_key_id(struct der_writer *to, struct bytes id)
{
    const size_t mark = der_mark(to);
    der_put_value(to, DER_CONTEXT(0), id);
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(35), false, mark);
}

void put_crl_number(struct der_writer *to, uint64_t number)
{
    const size_t mark = der_mark(to);
    uint8_t octets[8];

    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (uint8_t)(number >> (56 - 8 * i) & 0xff); /* one octet each */
    der_put_unsigned(to, BYTES_OF(octets));
    wrap_extension(to, ID_CE(20), false, mark);
}

/* otherName: [0] { 1.3.6.1.4.1.311.20.2.3, [0] EXPLICIT UTF8String }. */
static void put_upn(struct der_writer *to, const char *value)
{
    static const uint8_t oid[] = {0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04,
                                  0x01, 0x82, 0x37, 0x14, 0x02, 0x03};
    const size_t mark = der_mark(to);

    der_put_text(to, DER_UTF8, value);
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_put(to, BYTES_OF(oid));
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(0), mark);
}

static void put_general_name(struct der_writer *to, const struct name *name)
{
    uint8_t octets[16];
    size_t size = 0;

    switch (name->kind) {
    case NAME_DNS:
        der_put_text(to, DER_CONTEXT(2), name->value);
        return;
    case NAME_IP:
        (void)name_ip_to_octets(name->value, octets, &size);
        der_put_value(to, DER_CONTEXT(7), (struct bytes){octets, size});
        return;
    case NAME_EMAIL:
        der_put_text(to, DER_CONTEXT(1), name->value);
        return;
    case NAME_URI:
        der_put_text(to, DER_CONTEXT(6), name->value);
        return;
    case NAME_UPN:
        put_upn(to, name->value);
        return;
    case NAME_OTHER: /* refused before */
        return;
    }
}

void put_names(struct der_writer *to, const struct name_list *names, bool critical)
{
    const size_t mark = der_mark(to);

    if (names->count == 0)
        return;
    for (size_t i = names->count; i-- > 0;)
        put_general_name(to, &names->items[i]);
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(17), critical, mark);
}

static void put_access(struct der_writer *to, struct oid method, const struct text_list *urls)
{
    for (size_t i = urls->count; i-- > 0;) {
        const size_t mark = der_mark(to);
        der_put_text(to, DER_CONTEXT(6), urls->items[i]);
        put_ready(to, method);
        der_wrap(to, DER_SEQUENCE, mark);
    }
}

void put_authority_info(struct der_writer *to, const struct text_list *ocsp_urls,
                        const struct text_list *ca_issuers_urls)
{
    const size_t mark = der_mark(to);

    put_access(to, ID_AD(2), ca_issuers_urls);
    put_access(to, ID_AD(1), ocsp_urls);
    if (der_mark(to) == mark)
        return;
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_PE(1), false, mark);
}

void put_crl_points(struct der_writer *to, const struct text_list *urls)
{
    const size_t mark = der_mark(to);

    if (urls->count == 0)
        return;
    for (size_t i = urls->count; i-- > 0;)
        der_put_text(to, DER_CONTEXT(6), urls->items[i]);
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(0), mark); /* fullName */
    der_wrap(to, DER_CONTEXT_CONSTRUCTED(0), mark); /* distributionPoint */
    der_wrap(to, DER_SEQUENCE, mark);
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(31), false, mark);
}

/* RFC 7633 section 4.1: status_request, 5. */
void put_must_staple(struct der_writer *to)
{
    static const uint8_t status_request[] = {DER_SEQUENCE, 3, DER_INTEGER, 1, 5};
    const size_t mark = der_mark(to);

    der_put(to, BYTES_OF(status_request));
    wrap_extension(to, ID_PE(24), false, mark);
}

/* RFC 9608 section 2. */
void put_no_rev_avail(struct der_writer *to)
{
    static const uint8_t null[] = {DER_NULL, 0};
    const size_t mark = der_mark(to);

    der_put(to, BYTES_OF(null));
    wrap_extension(to, ID_CE(56), false, mark);
}

void put_ocsp_signing(struct der_writer *to)
{
    static const uint8_t null[] = {DER_NULL, 0};
    static const uint8_t nocheck[] = {0x06, 0x09, 0x2b, 0x06, 0x01, 0x05,
                                      0x05, 0x07, 0x30, 0x01, 0x05};
    size_t mark = der_mark(to);

    der_put(to, BYTES_OF(null));
    wrap_extension(to, (struct oid){nocheck, sizeof nocheck}, false, mark);
    mark = der_mark(to);
    put_ready(to, ID_KP(9));
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(37), false, mark);
}

void put_policies(struct der_writer *to, const struct text_list *oids)
{
    const size_t mark = der_mark(to);

    if (oids->count == 0)
        return;
    for (size_t i = oids->count; i-- > 0;) {
        const size_t policy = der_mark(to);
        (void)der_put_oid(to, oids->items[i]);
        der_wrap(to, DER_SEQUENCE, policy);
    }
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(32), false, mark);
}

/* GeneralName: e-mail [1], DNS [2], URI [6], addresses [7]. The text has been checked. */
static void put_base(struct der_writer *to, const char *text)
{
    struct constraint base = {0};

    (void)constraint_read(text, &base);
    if (base.kind == NAME_IP) {
        const size_t mark = der_mark(to);
        der_put(to, (struct bytes){base.octets, base.size});
        der_wrap(to, DER_CONTEXT(7), mark);
        return;
    }
    der_put_text(to,
                 base.kind == NAME_EMAIL ? DER_CONTEXT(1)
                 : base.kind == NAME_URI ? DER_CONTEXT(6)
                                         : DER_CONTEXT(2),
                 base.base);
}

static void put_subtrees(struct der_writer *to, uint8_t tag, const struct text_list *bases)
{
    const size_t mark = der_mark(to);

    if (bases->count == 0)
        return;
    for (size_t i = bases->count; i-- > 0;) {
        const size_t subtree = der_mark(to);
        put_base(to, bases->items[i]);
        der_wrap(to, DER_SEQUENCE, subtree);
    }
    der_wrap(to, tag, mark);
}

void put_name_constraints(struct der_writer *to, const struct text_list *permitted_dns,
                          const struct text_list *excluded_dns)
{
    const size_t mark = der_mark(to);

    put_subtrees(to, DER_CONTEXT_CONSTRUCTED(1), excluded_dns);
    put_subtrees(to, DER_CONTEXT_CONSTRUCTED(0), permitted_dns);
    if (der_mark(to) == mark)
        return;
    der_wrap(to, DER_SEQUENCE, mark);
    wrap_extension(to, ID_CE(30), true, mark);
}
