/* lib/lifecycle/ca_chain.c: chains, requests and subjects that come from a CA elsewhere (04
 * sections 3.2 and 3.4). */
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "pki/constraint.h"

#include "ca_order.h"

#include "core/banned.h"

#define CHAIN_MAX 8

AUTO_DEFINE(X509_STORE, X509_STORE_free)
AUTO_DEFINE(X509_STORE_CTX, X509_STORE_CTX_free)

static const char begin_certificate[] = "-----BEGIN CERTIFICATE-----";

bool ca_chain_read(TALLOC_CTX *ctx, const char *pem, struct certificate ***ret_chain,
                   size_t *ret_count, struct fault *fault)
{
    struct certificate **chain = mem_array(ctx, struct certificate *, CHAIN_MAX);
    size_t count = 0;
    const char *first = strstr(pem, "-----BEGIN ");

    if (!first || !text_starts(first, begin_certificate))
        return fault_set(fault, CERTIFICATE_MALFORMED, "chain",
                         "invalid CA certificate PEM (expected CERTIFICATE block)");
    for (const char *at = first; at; at = strstr(at + 1, begin_certificate)) {
        if (count == CHAIN_MAX)
            return fault_set(fault, INPUT_INVALID, "chain", "more than %d certificates", CHAIN_MAX);
        chain[count] = certificate_from_pem(chain, at, fault);
        if (!chain[count++])
            return false;
    }
    *ret_chain = chain;
    *ret_count = count;
    return true;
}

static bool is_authority(const struct certificate *certificate, struct fault *fault)
{
    if (!certificate->is_ca)
        return fault_set(fault, INPUT_INVALID, "chain",
                         "loaded certificate is not a CA (BasicConstraints.IsCA=false)");
    return (X509_get_key_usage(certificate->x509) & KU_KEY_CERT_SIGN) ||
           fault_set(fault, INPUT_INVALID, "chain",
                     "loaded CA certificate does not have KeyUsageCertSign");
}

static bool in_its_time(const struct certificate *certificate, int64_t now_s, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *name = text_quote(scratch,
                                  certificate->common_name ? certificate->common_name : "");

    if (now_s > certificate->not_after)
        return fault_set(fault, INPUT_INVALID, "chain",
                         "CA certificate %s has expired (not_after=%s, now=%s)", name,
                         time_to_rfc3339(scratch, certificate->not_after),
                         time_to_rfc3339(scratch, now_s));
    return now_s >= certificate->not_before ||
           fault_set(fault, INPUT_INVALID, "chain",
                     "CA certificate %s is not yet valid (not_before=%s, now=%s)", name,
                     time_to_rfc3339(scratch, certificate->not_before),
                     time_to_rfc3339(scratch, now_s));
}

static bool is_issuer(const struct certificate *parent, const struct certificate *child)
{
    return bytes_equal(parent->subject_der, child->issuer_der) &&
           X509_verify(child->x509, X509_get0_pubkey(parent->x509)) == 1;
}

/* OpenSSL's path validation, as strict as it gets, from the last certificate down. */
static bool path_is_valid(struct certificate *const *chain, size_t count, int64_t now_s,
                          struct fault *fault)
{
    AUTO(X509_STORE) *store = X509_STORE_new();
    AUTO(X509_STORE_CTX) *context = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();

    for (size_t i = 1; i + 1 < count; i++)
        (void)sk_X509_push(between, chain[i]->x509);
    bool valid = store && context && between &&
                 X509_STORE_add_cert(store, chain[count - 1]->x509) == 1 &&
                 X509_STORE_CTX_init(context, store, chain[0]->x509, between) == 1;
    if (valid) {
        X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(context);
        (void)X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_X509_STRICT |
                                                     X509_V_FLAG_PARTIAL_CHAIN |
                                                     X509_V_FLAG_CHECK_SS_SIGNATURE);
        X509_VERIFY_PARAM_set_time(rules, now_s);
        valid = X509_verify_cert(context) == 1;
    }
    if (!valid)
        fault_set(fault, INPUT_INVALID, "chain", "the path does not validate: %s at depth %d",
                  X509_verify_cert_error_string(context ? X509_STORE_CTX_get_error(context) : 1),
                  context ? X509_STORE_CTX_get_error_depth(context) : 0);
    sk_X509_free(between);
    return valid;
}

/* RFC 5280 section 4.2.1.9, for what the first of them signs: OpenSSL takes that one for the end of
 * the path. Self-issued ones do not count. */
static bool has_room(struct certificate *const *chain, size_t count, struct fault *fault)
{
    int below = 0;

    for (size_t i = 0; i < count; i++) {
        const int allowed = chain[i]->path_len;
        if (allowed >= 0 && below > allowed)
            return fault_set(fault, INPUT_INVALID, "chain",
                             "certificate %zu of the file allows %d CAs below it, and has %d",
                             i + 1, allowed, below);
        if (!bytes_equal(chain[i]->subject_der, chain[i]->issuer_der))
            below++;
    }
    return true;
}

bool ca_chain_check(struct certificate *const *chain, size_t count, int64_t now_s,
                    struct fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_authority(chain[i], fault) || !in_its_time(chain[i], now_s, fault))
            return false;
        if (i > 0 && !is_issuer(chain[i], chain[i - 1]))
            return fault_set(fault, INPUT_INVALID, "chain",
                             "certificate %zu of the file is not the issuer of the one before it",
                             i + 1);
    }
    return has_room(chain, count, fault) && path_is_valid(chain, count, now_s, fault);
}

bool ca_chain_serves(const struct certificate *ca, struct certificate *const *chain, size_t count,
                     int64_t now_s, struct fault *fault)
{
    if (!bytes_equal(chain[0]->subject_der, ca->subject_der) ||
        !bytes_equal(chain[0]->spki, ca->spki))
        return fault_set(fault, INPUT_INVALID, "chain",
                         "the first certificate is not of the CA's subject and key");
    /* RFC 5280 section 4.2.1.1: a path is found by what leaves have as authority key identifier. */
    if (chain[0]->ski.size > 0 && ca->ski.size > 0 && !bytes_equal(chain[0]->ski, ca->ski))
        return fault_set(fault, INPUT_INVALID, "chain",
                         "the first certificate has another subject key identifier than the CA");
    return ca_chain_check(chain, count, now_s, fault);
}

static size_t without_root(struct certificate *const *chain, size_t count)
{
    const struct certificate *last = chain[count - 1];

    return bytes_equal(last->subject_der, last->issuer_der) ? count - 1 : count;
}

bool ca_chain_same(struct certificate *const *one, size_t one_count,
                   struct certificate *const *other, size_t other_count)
{
    const size_t count = without_root(one, one_count);

    if (count != without_root(other, other_count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!bytes_equal(one[i]->der, other[i]->der))
            return false;
    return true;
}

bool ca_root_check(const struct certificate *certificate, struct fault *fault)
{
    return (certificate->is_ca && is_issuer(certificate, certificate)) ||
           fault_set(fault, INPUT_INVALID, "chain", "supplied root cert is not self-signed");
}

bool ca_may_be_parent(const struct certificate *certificate, const char *state, int64_t now_s,
                      struct fault *fault)
{
    if (!text_equal(state, "active"))
        return fault_set(fault, RESOURCE_STATE, "ca_id", "parent CA is not in active state: %s",
                         state);
    return (now_s >= certificate->not_before && now_s < certificate->not_after) ||
           fault_set(fault, RESOURCE_STATE, "ca_id",
                     "parent CA is not in active state: it is outside its validity");
}

static void take_bases(TALLOC_CTX *ctx, const STACK_OF(GENERAL_SUBTREE) *subtrees,
                       struct text_list *list)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(subtrees); i++) {
        const char *text = constraint_from_general_name(
            ctx, sk_GENERAL_SUBTREE_value(subtrees, i)->base);
        if (text)
            text_list_add(ctx, list, text);
    }
}

void ca_constraints_of(TALLOC_CTX *ctx, const struct certificate *certificate,
                       struct text_list *ret_permitted, struct text_list *ret_excluded)
{
    AUTO(NAME_CONSTRAINTS) *constraints = X509_get_ext_d2i(certificate->x509, NID_name_constraints,
                                                           NULL, NULL);

    *ret_permitted = (struct text_list){0};
    *ret_excluded = (struct text_list){0};
    if (!constraints)
        return;
    take_bases(ctx, constraints->permittedSubtrees, ret_permitted);
    take_bases(ctx, constraints->excludedSubtrees, ret_excluded);
}

bool ca_fit_below(TALLOC_CTX *ctx, const struct certificate *parent, struct ca_wish *wish,
                  struct fault *fault)
{
    const int most_below = parent->path_len;
    struct text_list permitted;
    struct text_list excluded;

    if (most_below == 0 || (most_below > 0 && wish->path_len >= most_below))
        return fault_set(fault, INPUT_INVALID, "path_len",
                         "requested path length exceeds parent's PathLenConstraint, which is %d",
                         most_below);
    if (most_below > 0 && wish->path_len < 0)
        wish->path_len = most_below - 1;
    ca_constraints_of(ctx, parent, &permitted, &excluded);
    if (ca_wish_constrain(ctx, &permitted, &excluded, wish, fault))
        return true;
    fault->reason = INPUT_INVALID;
    return false;
}

static bool read_attribute(TALLOC_CTX *ctx, const X509_NAME_ENTRY *entry, struct rdn *ret_rdn,
                           struct fault *fault)
{
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
    AUTO_OPENSSL(uint8_t) *utf8 = NULL;
    char oid[80];
    const int length = ASN1_STRING_to_UTF8(&utf8, value);

    if (length <= 0 || memchr(utf8, 0, (size_t)length) ||
        OBJ_obj2txt(oid, sizeof oid, X509_NAME_ENTRY_get_object(entry), 1) <= 0)
        return fault_set(fault, INPUT_INVALID, "subject", "an attribute cannot be read");
    const int type = ASN1_STRING_type(value);
    *ret_rdn = (struct rdn){
        .oid = mem_text(ctx, oid),
        .string = type == V_ASN1_PRINTABLESTRING ? RDN_PRINTABLE
                  : type == V_ASN1_IA5STRING     ? RDN_IA5
                                                 : RDN_UTF8,
        .value = mem_text_n(ctx, (const char *)utf8, (size_t)length),
    };
    return true;
}

bool ca_subject_read(TALLOC_CTX *ctx, const X509_NAME *name, struct rdn **ret_rdns,
                     size_t *ret_count, struct fault *fault)
{
    const int count = name ? X509_NAME_entry_count(name) : 0;
    struct rdn *rdns = mem_array(ctx, struct rdn, (size_t)count + 1);

    if (count < 1 || count > CERTIFICATE_SUBJECT_MAX)
        return fault_set(fault, INPUT_INVALID, "subject",
                         "a CA has a subject (RFC 5280 section 4.1.2.6)");
    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        if (X509_NAME_ENTRY_set(entry) != i)
            return fault_set(fault, INPUT_INVALID, "subject",
                             "an RDN of several attributes is not supported");
        if (!read_attribute(ctx, entry, &rdns[i], fault))
            return false;
    }
    *ret_rdns = rdns;
    *ret_count = (size_t)count;
    return true;
}

struct csr *ca_csr_read(TALLOC_CTX *ctx, const char *pem, struct fault *fault)
{
    AUTO(BIO) *source = BIO_new_mem_buf(pem, -1);
    AUTO(X509_REQ) *request = source ? PEM_read_bio_X509_REQ(source, NULL, NULL, NULL) : NULL;
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = request ? i2d_X509_REQ(request, &der) : 0;

    if (size <= 0)
        return fault_set(fault, INPUT_INVALID, "csr",
                         "invalid request PEM (expected CERTIFICATE REQUEST block)");
    return csr_from_der(ctx, (struct bytes){der, (size_t)size}, false, fault);
}

const X509_NAME *ca_csr_subject(TALLOC_CTX *ctx, const struct csr *csr)
{
    const uint8_t *at = csr->der.data;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)csr->der.size);

    if (!request)
        return NULL;
    return X509_REQ_get_subject_name(mem_adopt(ctx, request, X509_REQ_free));
}
