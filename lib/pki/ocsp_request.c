/* lib/pki/ocsp_request.c: reading and writing an OCSPRequest (RFC 6960 section 4.1). */
#include "pki/ocsp.h"

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/der.h"

#include "core/banned.h"

static const struct {
    const char *text;
    const char *text_absent; /* parameters absent */
    const char *name;        /* OpenSSL's */
    uint8_t oid[9];
    size_t oid_size;
    size_t size;
} hashes[] = {
    [OCSP_SHA1] = {"sha1",   "sha1-", "SHA1",   {0x2b, 0x0e, 0x03, 0x02, 0x1a}, 5, 20},
    [OCSP_SHA256] = {"sha256",
                   "sha256-",         "SHA256",
                   {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01},
                   9,                                                              32},
    [OCSP_SHA384] = {"sha384",
                   "sha384-",         "SHA384",
                   {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02},
                   9,                                                              48},
    [OCSP_SHA512] = {"sha512",
                   "sha512-",         "SHA512",
                   {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03},
                   9,                                                              64},
};

/* id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2 */
static const uint8_t oid_nonce[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02};
static const uint8_t der_null[] = {DER_NULL, 0};

size_t ocsp_hash_size(enum ocsp_hash hash)
{
    return hash == OCSP_HASH_OTHER ? 0 : hashes[hash].size;
}

const char *ocsp_hash_text(enum ocsp_hash hash, bool null_parameters)
{
    if (hash == OCSP_HASH_OTHER)
        return "other";
    return null_parameters ? hashes[hash].text : hashes[hash].text_absent;
}

static enum ocsp_hash hash_of(struct bytes oid)
{
    for (enum ocsp_hash hash = OCSP_SHA1; hash < OCSP_HASH_OTHER; hash++)
        if (bytes_equal(oid, (struct bytes){hashes[hash].oid, hashes[hash].oid_size}))
            return hash;
    return OCSP_HASH_OTHER;
}

/* INTEGER, minimal; what no certificate of ours can bear becomes the empty magnitude. */
static bool read_serial(struct bytes *from, struct bytes *ret_serial)
{
    struct bytes octets;

    if (!der_read_tag(from, DER_INTEGER, &octets) || octets.size == 0)
        return false;
    if (octets.size > 1 && ((octets.data[0] == 0 && !(octets.data[1] & 0x80)) ||
                            (octets.data[0] == 0xff && octets.data[1] & 0x80)))
        return false;
    *ret_serial = (struct bytes){0};
    if (octets.data[0] & 0x80)
        return true;
    if (octets.size > 1 && octets.data[0] == 0)
        octets = (struct bytes){octets.data + 1, octets.size - 1};
    if (octets.size <= OCSP_SERIAL_MAX)
        *ret_serial = octets;
    return true;
}

static bool read_algorithm(struct bytes *from, struct ocsp_cert_id *id)
{
    struct bytes inside;
    struct bytes oid;

    if (!der_read_tag(from, DER_SEQUENCE, &inside) || !der_read_tag(&inside, DER_OID, &oid))
        return false;
    id->hash = hash_of(oid);
    id->null_parameters = bytes_equal(inside, BYTES_OF(der_null));
    return id->null_parameters || inside.size == 0;
}

static bool read_cert_id(struct bytes *from, struct ocsp_cert_id *id)
{
    struct bytes inside;
    uint8_t tag = 0;

    return der_read(from, &tag, &inside, &id->whole) && tag == DER_SEQUENCE &&
           read_algorithm(&inside, id) && der_read_tag(&inside, DER_OCTET_STRING, &id->name_hash) &&
           der_read_tag(&inside, DER_OCTET_STRING, &id->key_hash) &&
           read_serial(&inside, &id->serial) && inside.size == 0;
}

struct extension {
    struct bytes oid;
    bool critical;
    struct bytes value; /* what the OCTET STRING holds */
};

static bool read_extension(struct bytes *from, struct extension *ret)
{
    struct bytes inside;
    struct bytes critical;

    *ret = (struct extension){0};
    if (!der_read_tag(from, DER_SEQUENCE, &inside) || !der_read_tag(&inside, DER_OID, &ret->oid))
        return false;
    if (der_read_tag(&inside, DER_BOOLEAN, &critical)) {
        /* FALSE is the default, and DER does not write defaults. */
        if (critical.size != 1 || critical.data[0] != 0xff)
            return false;
        ret->critical = true;
    }
    return der_read_tag(&inside, DER_OCTET_STRING, &ret->value) && inside.size == 0;
}

/* RFC 9654 section 2.1: an OCTET STRING inside the extension's; some clients send bare octets. */
static size_t nonce_size(struct bytes value)
{
    struct bytes inside;

    return der_read_tag(&value, DER_OCTET_STRING, &inside) && value.size == 0 ? inside.size
                                                                              : value.size;
}

static enum ocsp_reading take_nonce(const struct extension *extension, struct ocsp_request *request)
{
    const size_t size = nonce_size(extension->value);

    if (request->nonce.size > 0)
        return OCSP_MALFORMED;
    if (size == 0 || size > OCSP_NONCE_MAX)
        return OCSP_NONCE_MALFORMED;
    request->nonce = extension->value;
    return OCSP_READ;
}

/* EXPLICIT Extensions; `request` is NULL for those of one CertID, where no nonce belongs. */
static enum ocsp_reading read_extensions(struct bytes wrapped, struct ocsp_request *request)
{
    struct bytes list;
    struct extension extension;

    if (!der_read_tag(&wrapped, DER_SEQUENCE, &list) || wrapped.size != 0 || list.size == 0)
        return OCSP_MALFORMED;
    while (list.size > 0) {
        if (!read_extension(&list, &extension))
            return OCSP_MALFORMED;
        if (request && bytes_equal(extension.oid, BYTES_OF(oid_nonce))) {
            const enum ocsp_reading reading = take_nonce(&extension, request);
            if (reading != OCSP_READ)
                return reading;
        } else if (extension.critical) {
            return OCSP_MALFORMED;
        }
    }
    return OCSP_READ;
}

static bool read_one(struct bytes *from, struct ocsp_request *request)
{
    struct bytes inside;
    struct bytes extensions;

    if (!der_read_tag(from, DER_SEQUENCE, &inside) ||
        !read_cert_id(&inside, &request->ids[request->count]))
        return false;
    request->count++;
    if (der_read_tag(&inside, DER_CONTEXT_CONSTRUCTED(0), &extensions)) {
        request->bare = false;
        if (read_extensions(extensions, NULL) != OCSP_READ)
            return false;
    }
    return inside.size == 0;
}

static bool read_list(struct bytes *from, struct ocsp_request *request)
{
    struct bytes list;

    if (!der_read_tag(from, DER_SEQUENCE, &list) || list.size == 0)
        return false;
    for (; list.size > 0; request->bare = request->bare && request->count == 1)
        if (request->count == OCSP_IDS_MAX || !read_one(&list, request))
            return false;
    return true;
}

/* [0] v1, which DER leaves out but some write, and [1] who asks, which is not looked at. */
static bool read_head(struct bytes *from, struct ocsp_request *request)
{
    static const uint8_t v1[] = {DER_INTEGER, 1, 0};
    struct bytes inside;

    if (der_read_tag(from, DER_CONTEXT_CONSTRUCTED(0), &inside)) {
        request->bare = false;
        if (!bytes_equal(inside, BYTES_OF(v1)))
            return false;
    }
    if (der_read_tag(from, DER_CONTEXT_CONSTRUCTED(1), &inside)) {
        request->bare = false;
        if (!der_read(&inside, NULL, NULL, NULL) || inside.size != 0)
            return false;
    }
    return true;
}

/* optionalSignature [0] EXPLICIT SEQUENCE, the last there may be. */
static bool read_signature(struct bytes *from, struct ocsp_request *request)
{
    struct bytes inside;

    if (from->size == 0)
        return true;
    request->bare = false;
    return der_read_tag(from, DER_CONTEXT_CONSTRUCTED(0), &inside) &&
           der_read_tag(&inside, DER_SEQUENCE, NULL) && inside.size == 0 && from->size == 0;
}

enum ocsp_reading ocsp_request_read(struct bytes der, struct ocsp_request *ret_request)
{
    struct bytes whole;
    struct bytes tbs;
    struct bytes extensions;
    enum ocsp_reading reading = OCSP_READ;

    ret_request->count = 0;
    ret_request->nonce = (struct bytes){0};
    ret_request->bare = true;
    if (der.size > OCSP_REQUEST_MAX || !der_read_tag(&der, DER_SEQUENCE, &whole) || der.size != 0 ||
        !der_read_tag(&whole, DER_SEQUENCE, &tbs) || !read_signature(&whole, ret_request) ||
        !read_head(&tbs, ret_request) || !read_list(&tbs, ret_request))
        return OCSP_MALFORMED;
    if (der_read_tag(&tbs, DER_CONTEXT_CONSTRUCTED(2), &extensions)) {
        ret_request->bare = false;
        reading = read_extensions(extensions, ret_request);
    }
    return tbs.size == 0 ? reading : OCSP_MALFORMED;
}

/* RFC 6960 section 4.1.1: over the Name as it is encoded, and over the key's bits without tag,
 * length and the octet that counts unused bits. */
bool ocsp_ca_hashes(const struct certificate *ca, struct ocsp_ca_hashes *ret_hashes)
{
    struct bytes spki = ca->spki;
    struct bytes inside;
    struct bytes bits;
    size_t size = 0;

    if (!der_read_tag(&spki, DER_SEQUENCE, &inside) || !der_read_tag(&inside, DER_SEQUENCE, NULL) ||
        !der_read_tag(&inside, DER_BIT_STRING, &bits) || bits.size < 2)
        return false;
    for (enum ocsp_hash hash = OCSP_SHA1; hash < OCSP_HASH_OTHER; hash++)
        if (EVP_Q_digest(NULL, hashes[hash].name, NULL, ca->subject_der.data, ca->subject_der.size,
                         ret_hashes->name[hash], &size) != 1 ||
            EVP_Q_digest(NULL, hashes[hash].name, NULL, bits.data + 1, bits.size - 1,
                         ret_hashes->key[hash], &size) != 1)
            return false;
    return true;
}

bool ocsp_ca_is_asked(const struct ocsp_ca_hashes *ca, const struct ocsp_cert_id *id)
{
    if (id->hash == OCSP_HASH_OTHER)
        return false;
    const size_t size = hashes[id->hash].size;
    return bytes_equal(id->name_hash, (struct bytes){ca->name[id->hash], size}) &&
           bytes_equal(id->key_hash, (struct bytes){ca->key[id->hash], size});
}

struct bytes ocsp_cert_id_encode(TALLOC_CTX *ctx, const struct ocsp_cert_id *id)
{
    struct der_writer to;

    der_start(&to, ctx, 160);
    der_put_unsigned(&to, id->serial);
    der_put_value(&to, DER_OCTET_STRING, id->key_hash);
    der_put_value(&to, DER_OCTET_STRING, id->name_hash);
    const size_t algorithm = der_mark(&to);
    if (id->null_parameters)
        der_put(&to, BYTES_OF(der_null));
    der_put_value(&to, DER_OID, (struct bytes){hashes[id->hash].oid, hashes[id->hash].oid_size});
    der_wrap(&to, DER_SEQUENCE, algorithm);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

bool ocsp_cert_id_of(TALLOC_CTX *ctx, const struct ocsp_ca_hashes *ca, const char *serial,
                     struct ocsp_cert_id *ret_id)
{
    const size_t size = ocsp_hash_size(OCSP_SHA1);
    struct ocsp_cert_id id = {
        .hash = OCSP_SHA1,
        .null_parameters = true,
        .name_hash = {ca->name[OCSP_SHA1], size},
        .key_hash = {ca->key[OCSP_SHA1],  size},
    };

    if (!serial_to_octets(ctx, serial, &id.serial))
        return false;
    id.whole = ocsp_cert_id_encode(ctx, &id);
    *ret_id = id;
    return true;
}

struct bytes ocsp_request_encode(TALLOC_CTX *ctx, struct bytes cert_id)
{
    struct der_writer to;

    der_start(&to, ctx, cert_id.size + 32);
    der_put(&to, cert_id);
    for (int i = 0; i < 4; i++) /* Request, requestList, tbsRequest, OCSPRequest */
        der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}
