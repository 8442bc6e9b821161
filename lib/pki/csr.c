/* lib/pki/csr.c: a PKCS#10 request read as evidence, see csr.h (RFC 2986, 04 section 6.2 and 6.3).
 *
 * The outer structure is cut by our own walk, so that the key and what was signed are the bytes as
 * they came; OpenSSL reads the small parts (name, attributes, algorithm) and verifies. Its reader
 * of whole requests decodes the key by asking all providers, which costs more than the rest. */
#include "pki/csr.h"

#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/certificate.h"
#include "pki/der.h"
#include "pki/key_import.h"

#include "core/banned.h"

/* Beyond it the search for duplicates would cost more than the answer is worth. */
#define CSR_NAMES_MAX      1000
#define CSR_EXTENSIONS_MAX 100

AUTO_DEFINE(RSA_PSS_PARAMS, RSA_PSS_PARAMS_free)
AUTO_DEFINE(X509_ALGOR, X509_ALGOR_free)
AUTO_DEFINE(X509_ATTRIBUTE, X509_ATTRIBUTE_free)

/* CertificationRequest (RFC 2986 section 4), cut and not yet understood; all inside csr->der. */
struct parts {
    struct bytes info;       /* CertificationRequestInfo with its header: what is signed */
    struct bytes subject;    /* with its header */
    struct bytes spki;       /* with its header */
    struct bytes attributes; /* content of [0]; empty when that is missing, as some leave it out */
    struct bytes algorithm;  /* with its header */
    struct bytes signature;  /* without the count of unused bits, which is 0 */
};

static void *malformed(struct fault *fault, const char *rule)
{
    return fault_set(fault, CSR_MALFORMED, "csr", "%s", rule);
}

static bool cut_sequence(struct bytes *from, struct bytes *ret_whole)
{
    uint8_t tag = 0;
    return der_read(from, &tag, NULL, ret_whole) && tag == DER_SEQUENCE;
}

static bool cut_outer(struct bytes request, struct parts *parts)
{
    struct bytes bits;

    if (!cut_sequence(&request, &parts->info) || !cut_sequence(&request, &parts->algorithm) ||
        !der_read_tag(&request, DER_BIT_STRING, &bits) || request.size != 0 || bits.size < 1 ||
        bits.data[0] != 0)
        return false;
    parts->signature = (struct bytes){bits.data + 1, bits.size - 1};
    return true;
}

/* CertificationRequestInfo, section 4.1. */
static bool cut_info(struct parts *parts, struct bytes *ret_version)
{
    struct bytes info = parts->info;

    parts->attributes = (struct bytes){0};
    if (!der_read_tag(&info, DER_SEQUENCE, &info) ||
        !der_read_tag(&info, DER_INTEGER, ret_version) || !cut_sequence(&info, &parts->subject) ||
        !cut_sequence(&info, &parts->spki))
        return false;
    return info.size == 0 ||
           (der_read_tag(&info, DER_CONTEXT_CONSTRUCTED(0), &parts->attributes) && info.size == 0);
}

static bool cut(struct bytes der, struct parts *parts, struct fault *fault)
{
    static const uint8_t version_1[] = {0};
    struct bytes request;
    struct bytes version;

    if (!der_read_tag(&der, DER_SEQUENCE, &request))
        return malformed(fault, "CSR is no PKCS#10 request in DER (RFC 2986 section 4)");
    if (der.size != 0)
        return malformed(fault, "CSR is followed by other bytes");
    if (!cut_outer(request, parts) || !cut_info(parts, &version))
        return malformed(fault, "CSR is no PKCS#10 request in DER (RFC 2986 section 4)");
    if (!bytes_equal(version, BYTES_OF(version_1)))
        return malformed(fault, "CSR version is not 0 (RFC 2986 section 4.1)");
    return true;
}

static bool read_key(struct csr *csr, struct bytes spki, struct fault *fault)
{
    EVP_PKEY *pkey = key_from_spki(spki, &csr->key, fault);

    if (!pkey)
        return false;
    csr->pkey = mem_adopt(csr, pkey, EVP_PKEY_free);
    csr->spki = spki;
    csr->sha256 = digest_sha256_hex(csr, csr->der);
    csr->spki_sha256 = digest_sha256_hex(csr, csr->spki);
    return true;
}

/* RSASSA-PSS names its digest in its parameters, SHA-1 when it does not (RFC 4055 section 3.1). */
static int pss_digest_nid(const X509_ALGOR *algorithm)
{
    int type = V_ASN1_UNDEF;
    const void *value = NULL;

    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    if (type != V_ASN1_SEQUENCE)
        return NID_undef;
    const ASN1_STRING *parameters = value;
    const uint8_t *at = ASN1_STRING_get0_data(parameters);
    AUTO(RSA_PSS_PARAMS) *pss = d2i_RSA_PSS_PARAMS(NULL, &at, ASN1_STRING_length(parameters));
    if (!pss)
        return NID_undef;
    return pss->hashAlgorithm ? OBJ_obj2nid(pss->hashAlgorithm->algorithm) : NID_sha1;
}

/* What an AlgorithmIdentifier of a signature says. */
struct scheme {
    int nid;
    int digest; /* NID_undef: unknown, or (Ed25519) none but its own */
    int key;    /* the NID of the only kind of key that it fits */
    bool bare;  /* no parameters */
};

static struct scheme scheme_of(const X509_ALGOR *algorithm)
{
    struct scheme scheme = {.nid = OBJ_obj2nid(algorithm->algorithm)};
    int type = V_ASN1_UNDEF;

    X509_ALGOR_get0(NULL, &type, NULL, algorithm);
    scheme.bare = type == V_ASN1_UNDEF;
    (void)OBJ_find_sigid_algs(scheme.nid, &scheme.digest, &scheme.key);
    if (scheme.nid == NID_rsassaPss)
        scheme.digest = pss_digest_nid(algorithm);
    return scheme;
}

static bool digest_accepted(const struct scheme *scheme, bool allow_sha1)
{
    switch (scheme->digest) {
    case NID_sha256:
    case NID_sha384:
    case NID_sha512:
        return true;
    case NID_sha1:
        return allow_sha1;
    case NID_undef:
        return scheme->nid == NID_ED25519;
    default:
        return false;
    }
}

static const EVP_MD *digest_of(const struct scheme *scheme)
{
    switch (scheme->digest) {
    case NID_sha256:
        return digest_algorithm_sha256();
    case NID_sha384:
        return digest_algorithm_sha384();
    case NID_sha512:
        return digest_algorithm_sha512();
    case NID_sha1:
        return EVP_sha1();
    default:
        return NULL;
    }
}

/* The rare one, whose parameters OpenSSL reads into the verification by itself. */
static bool verify_pss(struct bytes der)
{
    const uint8_t *at = der.data;
    AUTO(X509_REQ) *request = d2i_X509_REQ(NULL, &at, (long)der.size); /* at most 64 KiB */

    return request && X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1;
}

/* The same verdict as X509_REQ_verify, over the bytes as they came. */
static bool verify(const struct csr *csr, const struct parts *parts, const struct scheme *scheme)
{
    if (scheme->nid == NID_rsassaPss)
        return verify_pss(csr->der);
    /* RFC 8410 section 3: no parameters. */
    if (EVP_PKEY_get_base_id(csr->pkey) != scheme->key ||
        (scheme->nid == NID_ED25519 && !scheme->bare))
        return false;

    AUTO(EVP_MD_CTX) *ctx = EVP_MD_CTX_new();
    if (!ctx)
        mem_exhausted(0, "EVP_MD_CTX");
    return EVP_DigestVerifyInit(ctx, NULL, digest_of(scheme), NULL, csr->pkey) == 1 &&
           EVP_DigestVerify(ctx, parts->signature.data, parts->signature.size, parts->info.data,
                            parts->info.size) == 1;
}

static bool check_signature(const struct csr *csr, const struct parts *parts, bool allow_sha1,
                            struct fault *fault)
{
    const uint8_t *at = parts->algorithm.data;
    AUTO(X509_ALGOR) *algorithm = d2i_X509_ALGOR(NULL, &at, (long)parts->algorithm.size);

    if (!algorithm || at != parts->algorithm.data + parts->algorithm.size) {
        malformed(fault, "CSR signature algorithm cannot be read (RFC 2986 section 4.2)");
        return fault_cause_openssl(fault, "d2i_X509_ALGOR");
    }
    const struct scheme scheme = scheme_of(algorithm);
    if (!digest_accepted(&scheme, allow_sha1)) {
        const char *name = OBJ_nid2sn(scheme.digest);
        return fault_set(fault, CSR_BAD_SIGNATURE, "csr",
                         "CSR is signed with digest %s, not with SHA-256, SHA-384 or SHA-512",
                         name ? name : "unknown");
    }
    if (verify(csr, parts, &scheme))
        return true;
    fault_set(fault, CSR_BAD_SIGNATURE, "csr",
              "CSR is not signed by its own key (RFC 2986 section 4.2)");
    return fault_cause_openssl(fault, "verify");
}

/* "commonName" as "CSR Subject.CommonName", unknown attributes by their OID. */
static const char *attribute_label(TALLOC_CTX *ctx, const ASN1_OBJECT *object)
{
    char name[80] = "";
    (void)OBJ_obj2txt(name, sizeof name, object, 0);
    if (name[0] >= 'a' && name[0] <= 'z')
        name[0] = (char)(name[0] - 'a' + 'A'); /* a letter */
    return mem_printf(ctx, "CSR Subject.%s", name);
}

/* Any string type of DirectoryString, as UTF-8 that passed the Unicode rules; NULL: refused. */
static const char *attribute_text(struct csr *csr, const X509_NAME_ENTRY *entry,
                                  struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO_OPENSSL(uint8_t) *utf8 = NULL;
    const char *label = attribute_label(scratch, X509_NAME_ENTRY_get_object(entry));

    const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    if (size < 0) {
        fault_set(fault, CSR_NAME_REJECTED, NULL, "%s rejected: it is no text", label);
        return fault_cause_openssl(fault, "ASN1_STRING_to_UTF8");
    }
    const char *text = mem_text_n(scratch, (const char *)utf8, (size_t)size); /* not negative */
    if (!name_text_check(label, text, (size_t)size, fault))
        return NULL;
    return talloc_steal(csr, text);
}

/* Of the types that a DirectoryString may have, RFC 5280 section 4.1.2.4 wants these two; e-mail
 * addresses and domain components are IA5. */
static enum rdn_string rdn_string_of(const X509_NAME_ENTRY *entry)
{
    switch (ASN1_STRING_type(X509_NAME_ENTRY_get_data(entry))) {
    case V_ASN1_PRINTABLESTRING:
        return RDN_PRINTABLE;
    case V_ASN1_IA5STRING:
        return RDN_IA5;
    default:
        return RDN_UTF8;
    }
}

static void keep_attribute(struct csr *csr, const X509_NAME_ENTRY *entry, const char *text)
{
    char oid[80] = "";

    (void)OBJ_obj2txt(oid, sizeof oid, X509_NAME_ENTRY_get_object(entry), 1);
    csr->subject[csr->subject_count++] = (struct rdn){mem_text(csr, oid), rdn_string_of(entry),
                                                      text};
}

static bool read_subject(struct csr *csr, struct bytes der, struct fault *fault)
{
    const uint8_t *from = der.data;
    AUTO(X509_NAME) *subject = d2i_X509_NAME(NULL, &from, (long)der.size); /* below 64 KiB */

    if (!subject || from != der.data + der.size) {
        malformed(fault, "CSR subject cannot be read (RFC 2986 section 4.1)");
        return fault_cause_openssl(fault, "d2i_X509_NAME");
    }
    const int count = X509_NAME_entry_count(subject);
    csr->subject = mem_array(csr, struct rdn, (size_t)count); /* not negative: the name exists */
    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        const char *text = attribute_text(csr, entry, fault);
        if (!text)
            return false;
        if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_commonName)
            csr->common_name = text[0] ? text : NULL;
        keep_attribute(csr, entry, text);
    }
    return true;
}

static bool add_name(struct csr *csr, enum name_kind kind, const char *value, struct fault *fault)
{
    if (csr->names.count == CSR_NAMES_MAX)
        return fault_set(fault, CSR_NAME_REJECTED, "csr", "CSR has more than %d names",
                         CSR_NAMES_MAX);
    (void)name_list_add(csr, &csr->names, kind, value);
    return true;
}

static bool add_text_name(struct csr *csr, enum name_kind kind, const ASN1_STRING *string,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const size_t size = (size_t)ASN1_STRING_length(string); /* OpenSSL keeps it non-negative */
    const char *bytes = (const char *)ASN1_STRING_get0_data(string);
    const char *what = mem_printf(scratch, "CSR SAN %s", name_kind_text(kind));
    const char *value = mem_text_n(scratch, bytes ? bytes : "", size);

    if (!name_text_check(what, value, size, fault))
        return false;
    if (kind == NAME_DNS &&
        !name_dns_normalise(scratch, value, NAME_ALLOW_WILDCARD | NAME_ALLOW_SINGLE_LABEL, &value,
                            fault))
        return false;
    const struct name name = {kind, value};
    const char *broken = name_rule_broken(&name);
    if (broken)
        return fault_set(fault, CSR_NAME_REJECTED, NULL, "%s %s rejected: %s", what,
                         text_quote(scratch, value), broken);
    return add_name(csr, kind, value, fault);
}

static bool add_address(struct csr *csr, const ASN1_OCTET_STRING *octets, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes address = {ASN1_STRING_get0_data(octets),
                                  (size_t)ASN1_STRING_length(octets)}; /* not negative */
    const char *text = name_ip_from_octets(scratch, address);

    if (!text)
        return fault_set(fault, CSR_NAME_REJECTED, NULL,
                         "CSR SAN ip rejected: %zu octets, not 4 or 16 (RFC 5280 section 4.2.1.6)",
                         address.size);
    return add_name(csr, NAME_IP, text, fault);
}

static bool add_other_name(struct csr *csr, const OTHERNAME *other, struct fault *fault)
{
    char oid[80] = "";

    (void)OBJ_obj2txt(oid, sizeof oid, other->type_id, 1);
    if (text_equal(oid, "1.3.6.1.4.1.311.20.2.3") &&
        ASN1_TYPE_get(other->value) == V_ASN1_UTF8STRING)
        return add_text_name(csr, NAME_UPN, other->value->value.utf8string, fault);
    return add_name(csr, NAME_OTHER, oid, fault);
}

/* Types that no certificate of ours bears are kept as NAME_OTHER: the caller refuses them. */
static bool add_general_name(struct csr *csr, const GENERAL_NAME *general, struct fault *fault)
{
    int type = -1;
    const void *value = GENERAL_NAME_get0_value(general, &type);

    switch (type) {
    case GEN_DNS:
        return add_text_name(csr, NAME_DNS, value, fault);
    case GEN_EMAIL:
        return add_text_name(csr, NAME_EMAIL, value, fault);
    case GEN_URI:
        return add_text_name(csr, NAME_URI, value, fault);
    case GEN_IPADD:
        return add_address(csr, value, fault);
    case GEN_OTHERNAME:
        return add_other_name(csr, value, fault);
    case GEN_DIRNAME:
        return add_name(csr, NAME_OTHER, "directoryName", fault);
    case GEN_X400:
        return add_name(csr, NAME_OTHER, "x400Address", fault);
    case GEN_EDIPARTY:
        return add_name(csr, NAME_OTHER, "ediPartyName", fault);
    default:
        return add_name(csr, NAME_OTHER, "registeredID", fault);
    }
}

static struct bytes extension_value(X509_EXTENSION *extension)
{
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    return (struct bytes){ASN1_STRING_get0_data(value),
                          (size_t)ASN1_STRING_length(value)}; /* not negative */
}

static bool read_names(struct csr *csr, struct bytes value, struct fault *fault)
{
    const uint8_t *at = value.data;
    AUTO(GENERAL_NAMES) *names = d2i_GENERAL_NAMES(NULL, &at, (long)value.size); /* below 64 KiB */

    if (!names || at != value.data + value.size) {
        malformed(fault, "CSR subjectAltName cannot be read (RFC 5280 section 4.2.1.6)");
        return fault_cause_openssl(fault, "d2i_GENERAL_NAMES");
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (!add_general_name(csr, sk_GENERAL_NAME_value(names, i), fault))
            return false;
    return true;
}

/* RFC 7633 section 4.1: SEQUENCE OF INTEGER; 5 is status_request. */
static bool read_tls_features(struct csr *csr, struct bytes value, struct fault *fault)
{
    struct bytes features;
    struct bytes feature;

    if (!der_read_tag(&value, DER_SEQUENCE, &features) || value.size != 0)
        return malformed(fault, "CSR tlsfeature cannot be read (RFC 7633 section 4.1)");
    while (features.size) {
        if (!der_read_tag(&features, DER_INTEGER, &feature))
            return malformed(fault, "CSR tlsfeature cannot be read (RFC 7633 section 4.1)");
        csr->must_staple |= feature.size == 1 && feature.data[0] == 5;
    }
    return true;
}

static bool read_basic_constraints(struct csr *csr, struct bytes value, struct fault *fault)
{
    const uint8_t *at = value.data;
    AUTO(BASIC_CONSTRAINTS) *constraints = d2i_BASIC_CONSTRAINTS(
        NULL, &at, (long)value.size); /* below 64 KiB */

    if (!constraints || at != value.data + value.size)
        return malformed(fault, "CSR basicConstraints cannot be read (RFC 5280 section 4.2.1.9)");
    csr->asks_ca = constraints->ca != 0;
    return true;
}

static bool read_extension(struct csr *csr, X509_EXTENSION *extension, struct fault *fault)
{
    const ASN1_OBJECT *object = X509_EXTENSION_get_object(extension);
    const struct bytes value = extension_value(extension);
    char oid[80] = "";

    if (OBJ_obj2nid(object) == NID_subject_alt_name)
        return read_names(csr, value, fault);
    (void)OBJ_obj2txt(oid, sizeof oid, object, 1);
    text_list_add(csr, &csr->extensions, oid);
    if (OBJ_obj2nid(object) == NID_tlsfeature)
        return read_tls_features(csr, value, fault);
    if (OBJ_obj2nid(object) == NID_basic_constraints)
        return read_basic_constraints(csr, value, fault);
    return true;
}

/* RFC 5280 section 4.2: no extension twice; a second one could say what the first does not. */
static bool extensions_unique(const X509_EXTENSION_STACK *extensions)
{
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++) {
        const ASN1_OBJECT *object = X509_EXTENSION_get_object(
            sk_X509_EXTENSION_value(extensions, i));
        if (X509v3_get_ext_by_OBJ(extensions, object, i) != -1)
            return false;
    }
    return true;
}

static bool asks_for_extensions(X509_ATTRIBUTE *attribute)
{
    const int nid = OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attribute));

    return nid == NID_ext_req || nid == NID_ms_ext_req;
}

/* The one attribute that asks for extensions, under its PKCS#9 or its older Microsoft name. More
 * than one, or one with several values, is refused: readers would differ in what was asked. *ret is
 * NULL when there is none; the caller frees it. */
static bool find_request(struct bytes attributes, X509_ATTRIBUTE **ret, struct fault *fault)
{
    AUTO(X509_ATTRIBUTE) *found = NULL;
    struct bytes whole;

    while (attributes.size) {
        if (!cut_sequence(&attributes, &whole))
            return malformed(fault, "CSR attributes cannot be read (RFC 2986 section 4.1)");
        const uint8_t *at = whole.data;
        AUTO(X509_ATTRIBUTE) *attribute = d2i_X509_ATTRIBUTE(NULL, &at, (long)whole.size);
        if (!attribute || at != whole.data + whole.size) {
            malformed(fault, "CSR attributes cannot be read (RFC 2986 section 4.1)");
            return fault_cause_openssl(fault, "d2i_X509_ATTRIBUTE");
        }
        if (!asks_for_extensions(attribute))
            continue;
        if (found || X509_ATTRIBUTE_count(attribute) != 1)
            return malformed(fault, "CSR has more than one extensionRequest");
        found = TAKE(attribute);
    }
    *ret = TAKE(found);
    return true;
}

/* Extensions, the one value of the attribute; NULL: it is none. */
static X509_EXTENSION_STACK *request_extensions(X509_ATTRIBUTE *attribute)
{
    const ASN1_STRING *value = X509_ATTRIBUTE_get0_data(attribute, 0, V_ASN1_SEQUENCE, NULL);
    const uint8_t *at = value ? ASN1_STRING_get0_data(value) : NULL;

    return value ? d2i_X509_EXTENSIONS(NULL, &at, ASN1_STRING_length(value)) : NULL;
}

static bool read_extensions(struct csr *csr, struct bytes attributes, struct fault *fault)
{
    AUTO(X509_ATTRIBUTE) *attribute = NULL;

    if (!find_request(attributes, &attribute, fault))
        return false;
    if (!attribute)
        return true;
    AUTO(X509_EXTENSION_STACK) *extensions = request_extensions(attribute);
    if (!extensions) {
        malformed(fault, "CSR extensionRequest cannot be read (RFC 2985 section 5.4.2)");
        return fault_cause_openssl(fault, "d2i_X509_EXTENSIONS");
    }
    if (sk_X509_EXTENSION_num(extensions) > CSR_EXTENSIONS_MAX)
        return malformed(fault, "CSR asks for more than 100 extensions");
    if (!extensions_unique(extensions))
        return malformed(fault, "CSR asks for an extension twice (RFC 5280 section 4.2)");
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++)
        if (!read_extension(csr, sk_X509_EXTENSION_value(extensions, i), fault))
            return false;
    return true;
}

struct csr *csr_from_der(TALLOC_CTX *ctx, struct bytes der, bool allow_sha1, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct csr *csr = mem_new(scratch, struct csr);
    struct parts parts = {0};

    if (der.size == 0 || der.size > CSR_MAX_BYTES)
        return malformed(fault, "CSR is empty or above 64 KiB");
    csr->der = bytes_copy(csr, der);
    if (!cut(csr->der, &parts, fault) || !read_key(csr, parts.spki, fault) ||
        !check_signature(csr, &parts, allow_sha1, fault) ||
        !read_subject(csr, parts.subject, fault) || !read_extensions(csr, parts.attributes, fault))
        return NULL;
    return talloc_steal(ctx, csr);
}

char *csr_to_pem(TALLOC_CTX *ctx, const struct csr *csr)
{
    return pem_encode(ctx, "CERTIFICATE REQUEST", csr->der);
}
