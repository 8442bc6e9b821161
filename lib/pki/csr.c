/* lib/pki/csr.c: a PKCS#10 request read as evidence, see csr.h (RFC 2986, 04 section 6.2 and 6.3).
 *
 * OpenSSL parses and verifies; what is copied into a certificate later (the key) is cut out of the
 * bytes as they came, since OpenSSL would encode it anew. */
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

#include "core/banned.h"

/* Beyond it the search for duplicates would cost more than the answer is worth. */
#define CSR_NAMES_MAX      1000
#define CSR_EXTENSIONS_MAX 100

AUTO_DEFINE(RSA_PSS_PARAMS, RSA_PSS_PARAMS_free)

static void *malformed(struct fault *fault, const char *rule)
{
    return fault_set(fault, CSR_MALFORMED, "csr", "%s", rule);
}

/* The SubjectPublicKeyInfo inside CertificationRequestInfo (RFC 2986 section 4.1). */
static bool cut_spki(struct bytes der, struct bytes *ret_spki)
{
    struct bytes request;
    struct bytes info;
    uint8_t tag = 0;

    return der_read_tag(&der, DER_SEQUENCE, &request) &&
           der_read_tag(&request, DER_SEQUENCE, &info) && der_read_tag(&info, DER_INTEGER, NULL) &&
           der_read_tag(&info, DER_SEQUENCE, NULL) && der_read(&info, &tag, NULL, ret_spki) &&
           tag == DER_SEQUENCE;
}

static bool decode(struct csr *csr, struct bytes der, struct fault *fault)
{
    if (der.size == 0 || der.size > CSR_MAX_BYTES)
        return malformed(fault, "CSR is empty or above 64 KiB");
    csr->der = bytes_copy(csr, der);

    const uint8_t *at = csr->der.data;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)der.size); /* at most 64 KiB */
    if (!request) {
        malformed(fault, "CSR is no PKCS#10 request in DER (RFC 2986 section 4)");
        return fault_cause_openssl(fault, "d2i_X509_REQ");
    }
    csr->request = mem_adopt(csr, request, X509_REQ_free);
    if (at != csr->der.data + csr->der.size)
        return malformed(fault, "CSR is followed by other bytes");
    if (X509_REQ_get_version(csr->request) != X509_REQ_VERSION_1)
        return malformed(fault, "CSR version is not 0 (RFC 2986 section 4.1)");
    if (!cut_spki(csr->der, &csr->spki))
        return malformed(fault, "CSR is not in DER");
    csr->sha256 = digest_sha256_hex(csr, csr->der);
    csr->spki_sha256 = digest_sha256_hex(csr, csr->spki);
    return true;
}

/* The walk sees what the signer will see; OpenSSL sees whether the point lies on its curve. */
static bool check_key(struct csr *csr, struct fault *fault)
{
    struct key_facts decoded;

    if (!key_facts_from_spki(csr->spki, &csr->key, fault))
        return false;
    if (key_facts_from_pkey(X509_REQ_get0_pubkey(csr->request), &decoded, fault))
        return true;
    return fault_cause_openssl(fault, "X509_REQ_get0_pubkey");
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

/* NID_undef: unknown, or (Ed25519) none but its own. */
static int signature_digest_nid(const X509_REQ *request)
{
    const X509_ALGOR *algorithm = NULL;
    int digest = NID_undef;

    X509_REQ_get0_signature(request, NULL, &algorithm);
    if (X509_REQ_get_signature_nid(request) == NID_rsassaPss)
        return pss_digest_nid(algorithm);
    if (OBJ_find_sigid_algs(X509_REQ_get_signature_nid(request), &digest, NULL) != 1)
        return NID_undef;
    return digest;
}

static bool digest_accepted(const X509_REQ *request, bool allow_sha1)
{
    switch (signature_digest_nid(request)) {
    case NID_sha256:
    case NID_sha384:
    case NID_sha512:
        return true;
    case NID_sha1:
        return allow_sha1;
    case NID_undef:
        return X509_REQ_get_signature_nid(request) == NID_ED25519;
    default:
        return false;
    }
}

static bool check_signature(const struct csr *csr, bool allow_sha1, struct fault *fault)
{
    if (!digest_accepted(csr->request, allow_sha1)) {
        const char *name = OBJ_nid2sn(signature_digest_nid(csr->request));
        return fault_set(fault, CSR_BAD_SIGNATURE, "csr",
                         "CSR is signed with digest %s, not with SHA-256, SHA-384 or SHA-512",
                         name ? name : "unknown");
    }
    if (X509_REQ_verify(csr->request, X509_REQ_get0_pubkey(csr->request)) == 1)
        return true;
    fault_set(fault, CSR_BAD_SIGNATURE, "csr",
              "CSR is not signed by its own key (RFC 2986 section 4.2)");
    return fault_cause_openssl(fault, "X509_REQ_verify");
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

static bool read_subject(struct csr *csr, struct fault *fault)
{
    const X509_NAME *subject = X509_REQ_get_subject_name(csr->request);
    const int count = X509_NAME_entry_count(subject);

    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        const char *text = attribute_text(csr, entry, fault);
        if (!text)
            return false;
        if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_commonName)
            csr->common_name = text[0] ? text : NULL;
    }
    csr->subject_attributes = (size_t)count; /* not negative: the name exists */
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

/* The one attribute that asks for extensions, under its PKCS#9 or its older Microsoft name. More
 * than one, or one with several values, is refused: readers would differ in what was asked. */
static bool find_request(const X509_REQ *request, X509_ATTRIBUTE **ret, struct fault *fault)
{
    static const int nids[] = {NID_ext_req, NID_ms_ext_req};

    *ret = NULL;
    for (int i = 0; i < X509_REQ_get_attr_count(request); i++) {
        X509_ATTRIBUTE *attribute = X509_REQ_get_attr(request, i);
        const int nid = OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attribute));
        if (nid != nids[0] && nid != nids[1])
            continue;
        if (*ret || X509_ATTRIBUTE_count(attribute) != 1)
            return malformed(fault, "CSR has more than one extensionRequest");
        *ret = attribute;
    }
    return true;
}

static bool read_extensions(struct csr *csr, struct fault *fault)
{
    X509_ATTRIBUTE *attribute = NULL;

    if (!find_request(csr->request, &attribute, fault))
        return false;
    if (!attribute)
        return true;
    /* X509_REQ_get_extensions returns NULL both for an absent and for a broken attribute; its
     * stack is ours. */
    AUTO(X509_EXTENSION_STACK) *extensions = X509_REQ_get_extensions(csr->request);
    if (!extensions) {
        malformed(fault, "CSR extensionRequest cannot be read (RFC 2985 section 5.4.2)");
        return fault_cause_openssl(fault, "X509_REQ_get_extensions");
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

    if (!decode(csr, der, fault) || !check_key(csr, fault) ||
        !check_signature(csr, allow_sha1, fault) || !read_subject(csr, fault) ||
        !read_extensions(csr, fault))
        return NULL;
    return talloc_steal(ctx, csr);
}

char *csr_to_pem(TALLOC_CTX *ctx, const struct csr *csr)
{
    return pem_encode(ctx, "CERTIFICATE REQUEST", csr->der);
}
