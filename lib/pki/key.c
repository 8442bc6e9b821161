/* lib/pki/key.c: facts about public keys, see key.h (RFC 3279, 5480, 8410 for their encodings). */
#include "pki/key.h"

#include "core/auto.h"
#include "pki/der.h"

#include "core/banned.h"

#define SPKI_MAX_BYTES 4096
#define RSA_MIN_BITS   2048
#define RSA_MAX_BITS   8192

static const struct curve {
    int bits;
    size_t field_octets;
    uint8_t oid[8];
    size_t oid_size;
} curves[] = {
    {256, 32, {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 8},
    {384, 48, {0x2b, 0x81, 0x04, 0x00, 0x22},                   5},
    {521, 66, {0x2b, 0x81, 0x04, 0x00, 0x23},                   5},
};

static const uint8_t oid_rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
static const uint8_t oid_ec[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t oid_ed25519[] = {0x2b, 0x65, 0x70};

static const struct key_facts ed25519_facts = {KEY_ED25519, "Ed25519", 256};

static void *reject(struct fault *fault, const char *rule)
{
    return fault_set(fault, CSR_KEY_REJECTED, "key", "%s", rule);
}

static bool accept_rsa_bits(int bits, struct key_facts *ret_facts, struct fault *fault)
{
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
        return fault_set(fault, CSR_KEY_REJECTED, "key", "RSA modulus has %d bits, not %d to %d",
                         bits, RSA_MIN_BITS, RSA_MAX_BITS);
    *ret_facts = (struct key_facts){KEY_RSA, "RSA", bits};
    return true;
}

/* A positive INTEGER in its shortest form, without the sign octet. */
static bool read_positive(struct bytes *from, struct bytes *ret_digits)
{
    struct bytes digits;
    if (!der_read_tag(from, DER_INTEGER, &digits) || digits.size == 0 || digits.data[0] & 0x80)
        return false;
    if (digits.data[0] == 0) {
        if (digits.size < 2 || !(digits.data[1] & 0x80))
            return false;
        digits = (struct bytes){digits.data + 1, digits.size - 1};
    }
    *ret_digits = digits;
    return true;
}

static int count_bits(struct bytes digits)
{
    int bits = (int)digits.size * 8; /* at most 4 KiB */
    for (uint8_t top = digits.data[0]; !(top & 0x80); top = (uint8_t)(top << 1))
        bits--;
    return bits;
}

/* RFC 3279 section 2.3.1: RSAPublicKey, parameters NULL. */
static bool walk_rsa(struct bytes parameters, struct bytes bits, struct key_facts *ret_facts,
                     struct fault *fault)
{
    static const uint8_t null[] = {DER_NULL, 0};
    struct bytes inside;
    struct bytes modulus;
    struct bytes exponent;

    if (!bytes_equal(parameters, BYTES_OF(null)))
        return reject(fault, "RSA parameters are not NULL (RFC 3279 section 2.3.1)");
    if (!der_read_tag(&bits, DER_SEQUENCE, &inside) || bits.size != 0 ||
        !read_positive(&inside, &modulus) || !read_positive(&inside, &exponent) || inside.size != 0)
        return reject(fault, "RSA key is not a modulus and an exponent (RFC 3279 section 2.3.1)");
    if (!(exponent.data[exponent.size - 1] & 1) || count_bits(exponent) < 17)
        return reject(fault, "RSA exponent is even or below 65537");
    if (!(modulus.data[modulus.size - 1] & 1))
        return reject(fault, "RSA modulus is even");
    return accept_rsa_bits(count_bits(modulus), ret_facts, fault);
}

/* RFC 5480 section 2.1.1 and 2.2: a named curve, an uncompressed point. */
static bool walk_ec(struct bytes parameters, struct bytes bits, struct key_facts *ret_facts,
                    struct fault *fault)
{
    struct bytes oid;
    if (!der_read_tag(&parameters, DER_OID, &oid) || parameters.size != 0)
        return reject(fault, "EC key without a named curve (RFC 5480 section 2.1.1)");
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++) {
        if (!bytes_equal(oid, (struct bytes){curves[i].oid, curves[i].oid_size}))
            continue;
        if (bits.size != 1 + 2 * curves[i].field_octets || bits.data[0] != 0x04)
            return reject(fault, "EC point is not an uncompressed point of its curve");
        *ret_facts = (struct key_facts){KEY_ECDSA, "ECDSA", curves[i].bits};
        return true;
    }
    return reject(fault, "EC curve is none of P-256, P-384, P-521");
}

/* RFC 8410 section 3 and 4: no parameters, 32 octets. */
static bool walk_ed25519(struct bytes parameters, struct bytes bits, struct key_facts *ret_facts,
                         struct fault *fault)
{
    if (parameters.size != 0 || bits.size != 32)
        return reject(fault, "Ed25519 key is not 32 octets without parameters (RFC 8410)");
    *ret_facts = ed25519_facts;
    return true;
}

bool key_facts_from_spki(struct bytes spki, struct key_facts *ret_facts, struct fault *fault)
{
    struct bytes inside;
    struct bytes algorithm;
    struct bytes oid;
    struct bytes bits;

    if (spki.size > SPKI_MAX_BYTES)
        return reject(fault, "SubjectPublicKeyInfo is above 4 KiB");
    if (!der_read_tag(&spki, DER_SEQUENCE, &inside) || spki.size != 0 ||
        !der_read_tag(&inside, DER_SEQUENCE, &algorithm) ||
        !der_read_tag(&inside, DER_BIT_STRING, &bits) || inside.size != 0 ||
        !der_read_tag(&algorithm, DER_OID, &oid) || bits.size < 2 || bits.data[0] != 0)
        return reject(fault, "no SubjectPublicKeyInfo (RFC 5280 section 4.1)");
    bits = (struct bytes){bits.data + 1, bits.size - 1};

    if (bytes_equal(oid, BYTES_OF(oid_rsa)))
        return walk_rsa(algorithm, bits, ret_facts, fault);
    if (bytes_equal(oid, BYTES_OF(oid_ec)))
        return walk_ec(algorithm, bits, ret_facts, fault);
    if (bytes_equal(oid, BYTES_OF(oid_ed25519)))
        return walk_ed25519(algorithm, bits, ret_facts, fault);
    return reject(fault, "key is neither RSA nor ECDSA nor Ed25519");
}
