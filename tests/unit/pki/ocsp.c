/* tests/unit/pki/ocsp.c: OCSP requests as OpenSSL writes them and as nobody should, and answers as
 * OpenSSL reads them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/der.h"
#include "pki/ocsp.h"
#include "support.h"

#include "core/banned.h"

AUTO_DEFINE(OCSP_RESPONSE, OCSP_RESPONSE_free)
AUTO_DEFINE(OCSP_BASICRESP, OCSP_BASICRESP_free)
AUTO_DEFINE(OCSP_REQUEST, OCSP_REQUEST_free)

/* A CertID with hashes of 20 octets and the serial 0x1234. */
#define SHA1_NULL "300906052b0e03021a0500"
#define HASH20    "0414000102030405060708090a0b0c0d0e0f10111213"
#define CERT_ID   "303b" SHA1_NULL HASH20 HASH20 "02021234"
#define SINGLE    "303d" CERT_ID
#define LIST      "303f" SINGLE
#define TBS       "3041" LIST
#define REQUEST   "3043" TBS

static const struct {
    const char *about;
    const char *hex;
    enum ocsp_reading reading;
    bool bare;
} cases[] = {
    {"one certificate",                 REQUEST,                                                     OCSP_READ,      true },
    {"nothing",                         "",                                                          OCSP_MALFORMED, false},
    {"an empty request",                "3000",                                                      OCSP_MALFORMED, false},
    {"an octet behind",                 REQUEST "00",                                                OCSP_MALFORMED, false},
    {"an empty list",                   "300430023000",                                              OCSP_MALFORMED, false},
    {"indefinite length",               "3080" TBS "0000",                                           OCSP_MALFORMED, false},
    {"a length that is not minimal",    "308143" TBS,                                                OCSP_MALFORMED, false},
    {"v1 in so many words",             "30483046a003020100" LIST,                                   OCSP_READ,      false},
    {"v2",                              "30483046a003020101" LIST,                                   OCSP_MALFORMED, false},
    {"a requestor's name",              "30483046a103820161" LIST,                                   OCSP_READ,      false},
    {"a requestor's name that is none", "30473045a1028202" LIST,                                     OCSP_MALFORMED, false},
    {"a signature",                     "3047" TBS "a0023000",                                       OCSP_READ,      false},
    {"a signature that is none",        "3045" TBS "a000",                                           OCSP_MALFORMED, false},
    {"something behind the list",       "304530430500" LIST,                                         OCSP_MALFORMED, false},
    {"a serial without octets",         "3041303f303d303b3039" SHA1_NULL HASH20 HASH20 "0200",
     OCSP_MALFORMED,                                                                                                 false},
    {"a serial that is not minimal",    "304430423040303e303c" SHA1_NULL HASH20 HASH20 "0203001234",
     OCSP_MALFORMED,                                                                                                 false},
    {"extensions that are none",        "30453043" LIST "a200",                                      OCSP_MALFORMED, false},
    {"no extensions in their list",     "30473045" LIST "a2023000",                                  OCSP_MALFORMED, false},
};

static struct bytes octets(TALLOC_CTX *ctx, const char *hex)
{
    struct bytes der = {0};
    cr_assert(hex_to_bytes(ctx, hex, &der), "%s", hex);
    return der;
}

Test(ocsp, requests_are_read_strictly)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct ocsp_request request;
        const enum ocsp_reading reading = ocsp_request_read(octets(scratch, cases[i].hex),
                                                            &request);
        cr_expect_eq(reading, cases[i].reading, "%s", cases[i].about);
        if (reading == OCSP_READ)
            cr_expect_eq(request.bare, cases[i].bare, "%s", cases[i].about);
    }
}

/* The request with these extensions behind its list. */
static struct bytes with_extensions(TALLOC_CTX *ctx, struct bytes extensions)
{
    struct der_writer to;

    der_start(&to, ctx, 512);
    der_put(&to, extensions);
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_CONTEXT_CONSTRUCTED(2), 0);
    der_put(&to, octets(ctx, LIST));
    der_wrap(&to, DER_SEQUENCE, 0);
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

static struct bytes extension(TALLOC_CTX *ctx, const char *oid, bool critical, struct bytes value)
{
    static const uint8_t yes[] = {DER_BOOLEAN, 1, 0xff};
    struct der_writer to;

    der_start(&to, ctx, 512);
    der_put_value(&to, DER_OCTET_STRING, value);
    if (critical)
        der_put(&to, BYTES_OF(yes));
    cr_assert(der_put_oid(&to, oid));
    der_wrap(&to, DER_SEQUENCE, 0);
    return der_finish(&to, ctx);
}

static struct bytes nonce_of(TALLOC_CTX *ctx, size_t size, bool wrapped)
{
    struct der_writer to;

    der_start(&to, ctx, 512);
    for (size_t i = 0; i < size; i++)
        der_put_octet(&to, 0xa5);
    if (wrapped)
        der_wrap(&to, DER_OCTET_STRING, 0);
    return extension(ctx, "1.3.6.1.5.5.7.48.1.2", false, der_finish(&to, ctx));
}

Test(ocsp, nonces_have_1_to_128_octets)
{
    static const struct {
        size_t size;
        enum ocsp_reading reading;
    } sizes[] = {
        {0,   OCSP_NONCE_MALFORMED},
        {1,   OCSP_READ           },
        {32,  OCSP_READ           },
        {33,  OCSP_READ           },
        {128, OCSP_READ           },
        {129, OCSP_NONCE_MALFORMED},
    };

    for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        const bool wrapped = i % 2;
        const size_t size = sizes[i / 2].size;
        struct ocsp_request request;
        const enum ocsp_reading reading = ocsp_request_read(
            with_extensions(scratch, nonce_of(scratch, size, wrapped)), &request);
        cr_expect_eq(reading, sizes[i / 2].reading, "%zu octets, wrapped %d", size, wrapped);
        if (reading == OCSP_READ)
            cr_expect_eq(request.nonce.size, size + (wrapped ? size < 128 ? 2 : 3 : 0));
    }
}

Test(ocsp, extensions_that_matter_and_are_unknown_are_refused)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes null = {
        (const uint8_t[]){5, 0},
         2
    };
    struct ocsp_request request;
    struct der_writer to;

    cr_expect_eq(
        ocsp_request_read(with_extensions(scratch, extension(scratch, "1.2.3.4", false, null)),
                          &request),
        OCSP_READ);
    cr_expect_eq(ocsp_request_read(
                     with_extensions(scratch, extension(scratch, "1.2.3.4", true, null)), &request),
                 OCSP_MALFORMED);
    der_start(&to, scratch, 128);
    der_put(&to, nonce_of(scratch, 16, true));
    der_put(&to, nonce_of(scratch, 16, true));
    const struct bytes twice = der_finish(&to, scratch);
    cr_expect_eq(ocsp_request_read(with_extensions(scratch, twice), &request), OCSP_MALFORMED);
}

Test(ocsp, as_many_certificates_as_may_be_asked_for_and_one_more)
{
    for (size_t count = OCSP_IDS_MAX; count <= OCSP_IDS_MAX + 1; count++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct ocsp_request request;
        struct der_writer to;

        der_start(&to, scratch, 2048);
        for (size_t i = 0; i < count; i++)
            der_put(&to, octets(scratch, SINGLE));
        der_wrap(&to, DER_SEQUENCE, 0);
        der_wrap(&to, DER_SEQUENCE, 0);
        der_wrap(&to, DER_SEQUENCE, 0);
        const enum ocsp_reading reading = ocsp_request_read(der_finish(&to, scratch), &request);
        cr_expect_eq(reading, count <= OCSP_IDS_MAX ? OCSP_READ : OCSP_MALFORMED, "%zu", count);
        if (reading == OCSP_READ) {
            cr_expect_eq(request.count, count);
            cr_expect_not(request.bare);
        }
    }
}

Test(ocsp, serials_that_no_certificate_bears_are_read_as_none)
{
    static const struct {
        const char *serial; /* INTEGER */
        size_t size;        /* of the magnitude */
    } serials[] = {
        {"020100",                                              1 },
        {"02017f",                                              1 },
        {"02020080",                                            1 },
        {"0201ff",                                              0 },
        {"0214"
         "7f00000000000000000000000000000000000001",   20},
        {"0215"
         "00ff00000000000000000000000000000000000001", 20},
        {"0215"
         "01ff00000000000000000000000000000000000001", 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        struct ocsp_request request;
        struct der_writer to;

        der_start(&to, scratch, 256);
        der_put(&to, octets(scratch, serials[i].serial));
        der_put(&to, octets(scratch, SHA1_NULL HASH20 HASH20));
        der_wrap(&to, DER_SEQUENCE, 0);
        const struct bytes der = ocsp_request_encode(scratch, der_finish(&to, scratch));
        cr_assert_eq(ocsp_request_read(der, &request), OCSP_READ, "%s", serials[i].serial);
        cr_expect_eq(request.ids[0].serial.size, serials[i].size, "%s", serials[i].serial);
        cr_expect(request.bare);
    }
}

/* A CA, a responder's certificate of it, and the responder's key in a file. */
struct place {
    TALLOC_CTX *ctx;
    char directory[64];
    const char *key_path;
    const struct certificate *ca;
    const char *certificate_pem;
};

static struct bytes sign_tbs(TALLOC_CTX *ctx, EVP_PKEY *key, struct bytes tbs)
{
    AUTO(EVP_MD_CTX) *sign = EVP_MD_CTX_new();
    uint8_t signature[256];
    size_t size = sizeof signature;

    cr_assert_eq(EVP_DigestSignInit_ex(sign, NULL, "SHA256", NULL, NULL, key, NULL), 1);
    cr_assert_eq(EVP_DigestSign(sign, signature, &size, tbs.data, tbs.size), 1);
    return signed_object_assemble(ctx, tbs, SIGNATURE_ECDSA_SHA256,
                                  (struct bytes){signature, size});
}

static struct bytes spki_of(TALLOC_CTX *ctx, EVP_PKEY *key)
{
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = i2d_PUBKEY(key, &der);
    return bytes_copy(ctx, (struct bytes){der, (size_t)size});
}

static void place_make(struct place *place, TALLOC_CTX *ctx)
{
    static const uint8_t serial[CERTIFICATE_SERIAL_SIZE] = {1, 2, 3};
    static const struct rdn name = {"2.5.4.3", RDN_UTF8, "A CA"};
    AUTO(EVP_PKEY) *key = EVP_EC_gen("P-256");
    const int64_t now = clock_now_s();
    const struct ca_wish ca = {.subject = &name,
                               .subject_count = 1,
                               .spki = spki_of(ctx, key),
                               .not_before = now - 60,
                               .not_after = now + 86400,
                               .path_len = 0};
    struct fault fault = {0};
    struct bytes tbs;
    struct ocsp_wish wish = {.not_before = now - 60, .not_after = now + 3600};

    *place = (struct place){.ctx = ctx, .directory = "/tmp/certctl-ocsp-XXXXXX"};
    cr_assert_not_null(mkdtemp(place->directory));
    place->key_path = mem_printf(ctx, "%s/one.key", place->directory);
    cr_assert(certificate_compose_ca(ctx, NULL, &ca, SIGNATURE_ECDSA_SHA256, serial, &tbs, &fault));
    place->ca = certificate_from_der(ctx, sign_tbs(ctx, key, tbs), &fault);
    cr_assert_not_null(place->ca);
    cr_assert(ocsp_key_generate(ctx, place->key_path, "ECDSA-P256", &wish.spki, &fault), "%s",
              fault.cause);
    const struct issuer_facts facts = {.subject_der = place->ca->subject_der,
                                       .ski = place->ca->ski,
                                       .algorithm = SIGNATURE_ECDSA_SHA256,
                                       .not_before = now - 60,
                                       .not_after = now + 86400};
    cr_assert(certificate_compose_ocsp(ctx, &facts, &wish, 7200, serial, &tbs, &fault), "%s",
              fault.detail);
    place->certificate_pem = pem_encode(ctx, "CERTIFICATE", sign_tbs(ctx, key, tbs));
}

static void place_end(const struct place *place)
{
    (void)unlink(place->key_path);
    (void)rmdir(place->directory);
}

static struct ocsp_signer *load(const struct place *place, struct fault *fault)
{
    return ocsp_signer_load(place->ctx, place->directory, place->key_path, place->certificate_pem,
                            place->ca, fault);
}

static struct bytes cert_id_of(const struct place *place, enum ocsp_hash hash, bool null)
{
    struct ocsp_ca_hashes hashes;
    static const uint8_t serial[] = {0x12, 0x34};

    cr_assert(ocsp_ca_hashes(place->ca, &hashes));
    const struct ocsp_cert_id id = {
        .hash = hash,
        .null_parameters = null,
        .name_hash = {hashes.name[hash], ocsp_hash_size(hash)},
        .key_hash = {hashes.key[hash],  ocsp_hash_size(hash)},
        .serial = BYTES_OF(serial)
    };
    return ocsp_cert_id_encode(place->ctx, &id);
}

Test(ocsp, requests_of_ours_are_those_of_openssl)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(OCSP_REQUEST) *theirs = OCSP_REQUEST_new();
    AUTO_OPENSSL(uint8_t) *der = NULL;
    AUTO(ASN1_INTEGER) *serial = ASN1_INTEGER_new();
    struct place place;
    struct ocsp_request read;
    struct ocsp_ca_hashes hashes;

    place_make(&place, scratch);
    cr_assert_eq(ASN1_INTEGER_set(serial, 0x1234), 1);
    cr_assert_not_null(OCSP_request_add0_id(
        theirs, OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(place.ca->x509),
                                 X509_get0_pubkey_bitstr(place.ca->x509), serial)));
    const int size = i2d_OCSP_REQUEST(theirs, &der);
    const struct bytes ours = ocsp_request_encode(scratch, cert_id_of(&place, OCSP_SHA1, true));
    cr_expect(bytes_equal(ours, (struct bytes){der, (size_t)size}));
    cr_assert_eq(ocsp_request_read(ours, &read), OCSP_READ);
    cr_assert(ocsp_ca_hashes(place.ca, &hashes));
    cr_expect(ocsp_ca_is_asked(&hashes, &read.ids[0]));
    hashes.key[OCSP_SHA1][19] ^= 1;
    cr_expect_not(ocsp_ca_is_asked(&hashes, &read.ids[0]));
    place_end(&place);
}

/* Verified by OpenSSL with the CA alone as trust. */
static void expect_answer(const struct place *place, struct bytes der, int status, int reason)
{
    const uint8_t *at = der.data;
    AUTO(OCSP_RESPONSE) *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.size);
    AUTO(OCSP_BASICRESP) *basic = response ? OCSP_response_get1_basic(response) : NULL;
    X509_STORE *store = X509_STORE_new();
    int told = -1;

    cr_assert_not_null(basic);
    cr_expect_eq(at, der.data + der.size);
    cr_assert_eq(X509_STORE_add_cert(store, place->ca->x509), 1);
    cr_expect_eq(OCSP_basic_verify(basic, NULL, store, 0), 1);
    cr_assert_eq(OCSP_resp_count(basic), 1);
    cr_expect_eq(OCSP_single_get0_status(OCSP_resp_get0(basic, 0), &told, NULL, NULL, NULL),
                 status);
    if (status == V_OCSP_CERTSTATUS_REVOKED)
        cr_expect_eq(told, reason);
    X509_STORE_free(store);
}

Test(ocsp, answers_are_those_that_openssl_accepts)
{
    static const struct {
        struct ocsp_single single;
        int status;
        int reason;
    } answers[] = {
        {{.status = OCSP_GOOD},                                                            V_OCSP_CERTSTATUS_GOOD,    -1},
        {{.status = OCSP_REVOKED, .revoked_at = 1795000000},                               V_OCSP_CERTSTATUS_REVOKED, -1},
        {{.status = OCSP_REVOKED, .revoked_at = 1795000000, .reason = REVOKED_SUPERSEDED},
         V_OCSP_CERTSTATUS_REVOKED,                                                                                   4 },
        {{.status = OCSP_UNKNOWN},                                                         V_OCSP_CERTSTATUS_UNKNOWN, -1},
    };
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct place place;
    struct fault fault = {0};

    place_make(&place, scratch);
    const struct ocsp_signer *signer = load(&place, &fault);
    cr_assert_not_null(signer, "%s %s", fault.detail, fault.cause);
    for (size_t i = 0; i < 8 * ARRAY_SIZE(answers); i++) {
        struct ocsp_single single = answers[i / 8].single;
        const int64_t now = clock_now_s();
        const struct ocsp_answer answer = {.singles = &single,
                                           .count = 1,
                                           .produced_at = now,
                                           .this_update = now - 60,
                                           .next_update = now + 3600,
                                           .nonce = i % 3 == 0 ? octets(scratch, "0403a1a2a3")
                                                               : (struct bytes){0}};
        struct bytes der;

        single.cert_id = cert_id_of(&place, (enum ocsp_hash)(i % 4), i % 8 < 4);
        cr_assert(ocsp_answer_sign(scratch, signer, &answer, &der, &fault), "%s", fault.cause);
        cr_expect_leq(der.size, 900, "%zu octets", der.size);
        expect_answer(&place, der, answers[i / 8].status, answers[i / 8].reason);
    }
    place_end(&place);
}

Test(ocsp, keys_are_plain_files_of_ours_in_their_directory)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct place place;
    struct fault fault = {0};
    struct bytes spki;

    place_make(&place, scratch);
    const char *link_path = mem_printf(scratch, "%s/link.key", place.directory);
    cr_expect(ocsp_key_read(scratch, place.directory, place.key_path, &spki, &fault));
    cr_expect_not(ocsp_key_read(scratch, "/etc", place.key_path, &spki, &fault));
    cr_expect_not(ocsp_key_read(scratch, "/", place.key_path, &spki, &fault));
    cr_assert_eq(symlink(place.key_path, link_path), 0);
    cr_expect_not(ocsp_key_read(scratch, place.directory, link_path, &spki, &fault));
    (void)unlink(link_path);
    cr_assert_eq(chmod(place.key_path, 0640), 0);
    cr_expect_not(ocsp_key_read(scratch, place.directory, place.key_path, &spki, &fault));
    cr_assert_eq(chmod(place.key_path, 0600), 0);
    cr_expect_not(ocsp_key_generate(scratch, place.key_path, "ECDSA-P256", &spki, &fault),
                  "no key is ever written over");
    place_end(&place);
}

Test(ocsp, a_certificate_of_another_key_or_ca_does_not_answer)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct place one;
    struct place two;
    struct fault fault = {0};

    place_make(&one, scratch);
    place_make(&two, scratch);
    struct place mixed = one;
    mixed.certificate_pem = two.certificate_pem;
    cr_expect_null(load(&mixed, &fault));
    cr_expect_eq(fault.reason, CERTIFICATE_MALFORMED);
    mixed = one;
    mixed.ca = two.ca;
    cr_expect_null(load(&mixed, &fault));
    mixed = one;
    mixed.certificate_pem = pem_encode(scratch, "CERTIFICATE", one.ca->der);
    cr_expect_null(load(&mixed, &fault));
    cr_expect_not_null(load(&one, &fault));
    place_end(&one);
    place_end(&two);
}
