/* signer/key_pkcs11.c: CA keys in a PKCS#11 token (RFC 7512 URIs). 04 section 4.3.
 *
 * The private key never leaves the token: the signer hashes, the token signs. Facts and counters
 * lie in CERTCTL_CA_KEY_DIR under a name made from token label and CKA_ID, so that two ways of
 * naming one key find the same facts. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/der.h"
#include "signer/key_algorithm.h"
#include "signer/key_driver.h"
#include "signer/pkcs11_token.h"
#include "signer/safe_file.h"

#include "core/banned.h"

#define ID_SIZE       16
#define MATCHES_MAX   9
#define SIGNATURE_MAX 512 /* RSA-4096 */
#define NAME_OCTETS   16  /* of the digest that names the facts file */

struct token_key {
    const struct settings *settings;
    struct bytes id;
    CK_OBJECT_HANDLE object;
    uint64_t generation;
};

AUTO_DEFINE(P11KitUri, p11_kit_uri_free)

static bool pkcs11_owns(const char *reference)
{
    return text_starts(reference, "pkcs11:");
}

/* Finding. */

/* PIN and module are settings: whoever could name them in a reference could have a token locked or
 * a library loaded, so what follows the question mark is refused as a whole. */
static P11KitUri *parse_uri(const char *reference, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(P11KitUri) *uri = p11_kit_uri_new();

    if (strchr(reference, '?'))
        return fault_set(fault, SIGNER_MESSAGE, "key_ref",
                         "%s: PIN and module are the signer's settings and stand in no reference",
                         text_quote(scratch, reference));
    if (!uri ||
        p11_kit_uri_parse(reference, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, uri) != P11_KIT_URI_OK ||
        p11_kit_uri_any_unrecognized(uri))
        return fault_set(fault, SIGNER_MESSAGE, "key_ref", "%s is no PKCS#11 URI (RFC 7512)",
                         text_quote(scratch, reference));
    if (!p11_kit_uri_get_attribute(uri, CKA_ID) && !p11_kit_uri_get_attribute(uri, CKA_LABEL))
        return fault_set(fault, SIGNER_MESSAGE, "key_ref", "%s names no object by id or object",
                         text_quote(scratch, reference));
    return TAKE(uri);
}

static bool find_one(CK_OBJECT_CLASS class, CK_ATTRIBUTE *id, CK_ATTRIBUTE *label,
                     CK_OBJECT_HANDLE *ret_object, struct fault *fault)
{
    CK_ATTRIBUTE wanted[3] = {
        {CKA_CLASS, &class, sizeof class}
    };
    CK_OBJECT_HANDLE objects[MATCHES_MAX];
    CK_ULONG wanted_count = 1;
    CK_ULONG count;

    if (id)
        wanted[wanted_count++] = *id;
    if (label)
        wanted[wanted_count++] = *label;
    if (!token_find(wanted, wanted_count, objects, MATCHES_MAX, &count, fault))
        return false;
    if (count == 0)
        return fault_set(fault, SIGNER_KEY, "key_ref", "PKCS#11 key not found");
    if (count > 1)
        return fault_set(fault, SIGNER_KEY, "key_ref", "PKCS#11 URI matches %lu keys", count);
    *ret_object = objects[0];
    return true;
}

static bool find_by_id(struct bytes id, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE *ret_object,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    CK_ATTRIBUTE wanted = {CKA_ID, mem_copy(scratch, id.data, id.size), id.size};

    return find_one(class, &wanted, NULL, ret_object, fault);
}

/* The public half. */

static void put_key_algorithm(struct der_writer *to, const char *oid, struct bytes parameters)
{
    const size_t mark = der_mark(to);

    der_put(to, parameters);
    (void)der_put_oid(to, oid);
    der_wrap(to, DER_SEQUENCE, mark);
}

/* SubjectPublicKeyInfo around the content of the BIT STRING. */
static struct bytes put_spki(TALLOC_CTX *ctx, const char *oid, struct bytes parameters,
                             struct bytes bits)
{
    struct der_writer to;

    der_start(&to, ctx, bits.size + 64);
    der_put(&to, bits);
    der_put_octet(&to, 0); /* no unused bits */
    der_wrap(&to, DER_BIT_STRING, 0);
    put_key_algorithm(&to, oid, parameters);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

/* PKCS#11 wants CKA_EC_POINT inside an OCTET STRING; some tokens give the bare point, whose length
 * is odd. */
static bool read_ec(TALLOC_CTX *ctx, CK_OBJECT_HANDLE public_key, struct bytes *ret_spki,
                    struct fault *fault)
{
    struct bytes curve;
    struct bytes point;

    if (!token_attribute(ctx, public_key, CKA_EC_PARAMS, &curve, fault) ||
        !token_attribute(ctx, public_key, CKA_EC_POINT, &point, fault))
        return false;
    struct bytes wrapped = point;
    struct bytes inside;
    if (der_read_tag(&wrapped, DER_OCTET_STRING, &inside) && wrapped.size == 0 &&
        inside.size % 2 == 1)
        point = inside;
    *ret_spki = put_spki(ctx, "1.2.840.10045.2.1", curve, point);
    return true;
}

static bool read_rsa(TALLOC_CTX *ctx, CK_OBJECT_HANDLE public_key, struct bytes *ret_spki,
                     struct fault *fault)
{
    static const uint8_t null[] = {DER_NULL, 0};
    struct bytes modulus;
    struct bytes exponent;
    struct der_writer to;

    if (!token_attribute(ctx, public_key, CKA_MODULUS, &modulus, fault) ||
        !token_attribute(ctx, public_key, CKA_PUBLIC_EXPONENT, &exponent, fault))
        return false;
    der_start(&to, ctx, modulus.size + 32);
    der_put_unsigned(&to, exponent);
    der_put_unsigned(&to, modulus);
    der_wrap(&to, DER_SEQUENCE, 0);
    *ret_spki = put_spki(ctx, "1.2.840.113549.1.1.1", BYTES_OF(null), der_finish(&to, ctx));
    return true;
}

/* OpenSSL judges what the token gave: a point off its curve or a key of 1024 bits ends here. */
static bool read_public(TALLOC_CTX *ctx, struct bytes id, struct bytes *ret_spki,
                        const struct key_algorithm **ret_algorithm, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    struct bytes type = {0};
    struct bytes spki = {0};

    if (!find_by_id(id, CKO_PUBLIC_KEY, &object, fault) ||
        !token_attribute(scratch, object, CKA_KEY_TYPE, &type, fault))
        return false;
    const CK_KEY_TYPE rsa = CKK_RSA;
    const bool is_rsa = bytes_equal(type, (struct bytes){(const uint8_t *)&rsa, sizeof rsa});
    if (is_rsa ? !read_rsa(scratch, object, &spki, fault) : !read_ec(scratch, object, &spki, fault))
        return false;
    const uint8_t *at = spki.data;
    AUTO(EVP_PKEY) *key = d2i_PUBKEY(NULL, &at, (long)spki.size);
    if (!key) {
        fault_set(fault, SIGNER_KEY, "key_ref", "the token's public key cannot be read");
        return fault_cause_openssl(fault, "d2i_PUBKEY");
    }
    *ret_algorithm = key_algorithm_of(key, fault);
    *ret_spki = key_algorithm_spki(ctx, key);
    return *ret_algorithm != NULL;
}

/* The key as a whole. */

/* RFC 7512 section 2.3: everything but unreserved characters as %XX. */
static const char *percent(TALLOC_CTX *ctx, struct bytes from, bool all)
{
    char *text = mem_text(ctx, "");

    for (size_t i = 0; i < from.size; i++) {
        const char c = (char)from.data[i];
        const bool plain = !all && ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                                    (c >= 'a' && c <= 'z') || (c && strchr("-._~", c)));
        text = plain ? mem_append(text, "%c", c) : mem_append(text, "%%%02X", from.data[i]);
    }
    return text;
}

static const char *canonical(TALLOC_CTX *ctx, const char *label, struct bytes id)
{
    return mem_printf(ctx, "pkcs11:token=%s;id=%s;type=private",
                      percent(ctx, bytes_of_text(label), false), percent(ctx, id, true));
}

static bool name_beside(struct key *key, const struct settings *settings, struct fault *fault)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    char root[PATH_MAX];
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    digest_sha256(bytes_of_text(key->reference), digest);
    if (!safe_directory(settings->ca_key_dir, fault))
        return false;
    if (!realpath(settings->ca_key_dir, root))
        return fault_set(fault, SIGNER_KEY, NULL, "the key directory is not there");
    key->beside = mem_printf(key, "%s/pkcs11-%s", root,
                             hex_from_bytes(scratch, (struct bytes){digest, NAME_OCTETS}));
    return true;
}

static struct key *make_key(TALLOC_CTX *ctx, const struct settings *settings,
                            CK_OBJECT_HANDLE object, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct key *key = mem_new(scratch, struct key);
    struct token_key *handle = mem_new(key, struct token_key);
    const struct key_algorithm *algorithm = NULL;

    if (!token_attribute(handle, object, CKA_ID, &handle->id, fault))
        return NULL;
    if (handle->id.size == 0)
        return fault_set(fault, SIGNER_KEY, "key_ref", "the PKCS#11 key has no CKA_ID");
    if (!read_public(key, handle->id, &key->spki, &algorithm, fault) || !algorithm)
        return NULL;
    handle->settings = settings;
    handle->object = object;
    handle->generation = token_generation();
    key->driver = &key_driver_pkcs11;
    key->reference = canonical(key, settings->pkcs11_token, handle->id);
    key->algorithm = algorithm->name;
    key->signature = algorithm->signature;
    key->handle = handle;
    return name_beside(key, settings, fault) ? talloc_steal(ctx, key) : NULL;
}

static struct key *load_once(TALLOC_CTX *ctx, const struct settings *settings, P11KitUri *uri,
                             struct fault *fault)
{
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;

    if (!token_open(settings, fault))
        return NULL;
    if (!token_matches(uri))
        return fault_set(fault, SIGNER_REFUSED, "key_ref",
                         "the reference names another token than CERTCTL_PKCS11_TOKEN");
    if (!find_one(CKO_PRIVATE_KEY, p11_kit_uri_get_attribute(uri, CKA_ID),
                  p11_kit_uri_get_attribute(uri, CKA_LABEL), &object, fault))
        return NULL;
    return make_key(ctx, settings, object, fault);
}

/* A session that was lost since the last use shows here as any refusal: so once more, anew. */
static struct key *pkcs11_load(TALLOC_CTX *ctx, const struct settings *settings,
                               const char *reference, struct fault *fault)
{
    AUTO(P11KitUri) *uri = parse_uri(reference, fault);

    if (!uri)
        return NULL;
    struct key *key = load_once(ctx, settings, uri, fault);
    if (key || fault->reason != SIGNER_KEY || !token_is_old())
        return key;
    token_close();
    return load_once(ctx, settings, uri, fault);
}

static bool pkcs11_is_current(const struct key *key)
{
    const struct token_key *handle = key->handle;

    return handle->generation == token_generation();
}

/* Making. */

static struct bytes curve_parameters(TALLOC_CTX *ctx, const struct key_algorithm *algorithm)
{
    struct der_writer to;

    der_start(&to, ctx, 16);
    (void)der_put_oid(&to, algorithm->oid);
    return der_finish(&to, ctx);
}

/* The private half is made in the token, for signing alone, and cannot leave it. */
static bool generate(const struct key_algorithm *algorithm, char *label, uint8_t *id,
                     struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ULONG bits = algorithm->bits;
    uint8_t exponent[] = {1, 0, 1};
    CK_ATTRIBUTE public_half[6] = {
        {CKA_TOKEN,  &yes,  sizeof yes   },
        {CKA_VERIFY, &yes,  sizeof yes   },
        {CKA_LABEL,  label, strlen(label)},
        {CKA_ID,     id,    ID_SIZE      },
    };
    CK_ATTRIBUTE private_half[] = {
        {CKA_TOKEN,       &yes,  sizeof yes   },
        {CKA_PRIVATE,     &yes,  sizeof yes   },
        {CKA_SENSITIVE,   &yes,  sizeof yes   },
        {CKA_EXTRACTABLE, &no,   sizeof no    },
        {CKA_SIGN,        &yes,  sizeof yes   },
        {CKA_LABEL,       label, strlen(label)},
        {CKA_ID,          id,    ID_SIZE      },
    };

    if (!algorithm->curve) {
        public_half[4] = (CK_ATTRIBUTE){CKA_MODULUS_BITS, &bits, sizeof bits};
        public_half[5] = (CK_ATTRIBUTE){CKA_PUBLIC_EXPONENT, exponent, sizeof exponent};
        return token_generate(CKM_RSA_PKCS_KEY_PAIR_GEN, public_half, 6, private_half,
                              ARRAY_SIZE(private_half), fault);
    }
    const struct bytes curve = curve_parameters(scratch, algorithm);
    public_half[4] = (CK_ATTRIBUTE){CKA_EC_PARAMS, mem_copy(scratch, curve.data, curve.size),
                                    curve.size};
    return token_generate(CKM_EC_KEY_PAIR_GEN, public_half, 5, private_half,
                          ARRAY_SIZE(private_half), fault);
}

static struct key *pkcs11_generate(TALLOC_CTX *ctx, const struct settings *settings,
                                   const char *algorithm_name, const char *hint,
                                   struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct key_algorithm *algorithm = key_algorithm_named(algorithm_name, fault);
    uint8_t id[ID_SIZE];

    if (!algorithm)
        return NULL;
    if (!id_valid(hint))
        return fault_set(fault, SIGNER_MESSAGE, "hint", "%s cannot be the label of a key",
                         text_quote(scratch, hint));
    random_bytes(id, sizeof id);
    /* The session may be of yesterday: a generation that failed has changed nothing. */
    for (int attempt = 0; attempt < 2; attempt++) {
        CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
        if (token_open(settings, fault) && generate(algorithm, mem_text(scratch, hint), id, fault))
            return find_by_id(BYTES_OF(id), CKO_PRIVATE_KEY, &object, fault)
                       ? make_key(ctx, settings, object, fault)
                       : NULL;
        token_close();
    }
    return NULL;
}

/* Using and forgetting. */

/* RFC 8017 section 9.2, note 1: DigestInfo of SHA-256, which CKM_RSA_PKCS leaves to us. */
static const uint8_t sha256_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

static bool digest_of(const struct key *key, struct bytes tbs, uint8_t *into, size_t *ret_size,
                      struct fault *fault)
{
    const bool rsa = key->signature == SIGNATURE_RSA_SHA256;
    const size_t before = rsa ? sizeof sha256_info : 0;
    unsigned size = 0;

    if (rsa)
        memcpy(into, sha256_info, before);
    if (EVP_Digest(tbs.data, tbs.size, into + before, &size, key_algorithm_digest(key->signature),
                   NULL) != 1) {
        fault_set(fault, SIGNER_KEY, "key_ref", "signing failed");
        return fault_cause_openssl(fault, "EVP_Digest");
    }
    *ret_size = before + size;
    return true;
}

/* CKM_ECDSA gives r and s side by side; X.509 wants SEQUENCE { r, s } (RFC 3279 section 2.2.3). */
static struct bytes ecdsa_value(TALLOC_CTX *ctx, struct bytes raw)
{
    const size_t half = raw.size / 2;
    struct der_writer to;

    der_start(&to, ctx, raw.size + 16);
    der_put_unsigned(&to, (struct bytes){raw.data + half, half});
    der_put_unsigned(&to, (struct bytes){raw.data, half});
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

/* The same key of a token that came back, in a new session. */
static bool find_again(struct key *key, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct token_key *handle = key->handle;
    const struct key_algorithm *algorithm = NULL;
    struct bytes spki = {0};

    if (!token_open(handle->settings, fault) ||
        !find_by_id(handle->id, CKO_PRIVATE_KEY, &handle->object, fault) ||
        !read_public(scratch, handle->id, &spki, &algorithm, fault))
        return false;
    if (!bytes_equal(spki, key->spki))
        return fault_set(fault, SIGNER_KEY, "key_ref", "the token came back with another key");
    handle->generation = token_generation();
    return true;
}

static bool pkcs11_sign(TALLOC_CTX *ctx, struct key *key, struct bytes tbs,
                        struct bytes *ret_signature, struct fault *fault)
{
    const struct token_key *handle = key->handle;
    const bool rsa = key->signature == SIGNATURE_RSA_SHA256;
    const CK_MECHANISM_TYPE type = rsa ? CKM_RSA_PKCS : CKM_ECDSA;
    uint8_t input[sizeof sha256_info + EVP_MAX_MD_SIZE];
    size_t input_size = 0;
    uint8_t *raw = mem_array(ctx, uint8_t, SIGNATURE_MAX);
    size_t size = SIGNATURE_MAX;

    if (!digest_of(key, tbs, input, &input_size, fault))
        return false;
    CK_RV word = token_sign(handle->object, type, (struct bytes){input, input_size}, raw, &size);
    if (token_went_away(word)) {
        token_close();
        if (!find_again(key, fault))
            return false;
        key->proven = false;
        size = SIGNATURE_MAX;
        word = token_sign(handle->object, type, (struct bytes){input, input_size}, raw, &size);
    }
    if (word != CKR_OK)
        return token_refused(fault, "signing failed", word);
    const struct bytes signature = {raw, size};
    *ret_signature = rsa ? signature : ecdsa_value(ctx, signature);
    return true;
}

static bool pkcs11_forget(const struct key *key, struct fault *fault)
{
    const struct token_key *handle = key->handle;
    CK_OBJECT_HANDLE objects[2] = {handle->object};

    return find_by_id(handle->id, CKO_PUBLIC_KEY, &objects[1], fault) &&
           token_destroy(objects, ARRAY_SIZE(objects), fault) && key_forget_beside(key, fault);
}

const struct key_driver key_driver_pkcs11 = {
    .name = "pkcs11",
    .owns = pkcs11_owns,
    .load = pkcs11_load,
    .is_current = pkcs11_is_current,
    .generate = pkcs11_generate,
    .sign = pkcs11_sign,
    .forget = pkcs11_forget,
    .close = token_close,
};
