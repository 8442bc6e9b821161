/* signer/answer.c: what responders and jobs ask for: ping, public key, leaf certificate. 04 4.0. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "pki/der.h"
#include "signer/rate.h"
#include "signer/signer.h"

#include "core/banned.h"

void draw_serial(uint8_t ret_serial[CERTIFICATE_SERIAL_SIZE])
{
    static const uint8_t zero[CERTIFICATE_SERIAL_SIZE];

    do {
        random_bytes(ret_serial, CERTIFICATE_SERIAL_SIZE);
        ret_serial[0] &= 0x7f;
    } while (memcmp(ret_serial, zero, CERTIFICATE_SERIAL_SIZE) == 0);
}

json_t *record_begin(const struct peer *peer, const char *kind)
{
    json_t *record = json_object();

    json_set_text(record, "peer", peer->user);
    json_set_text(record, "kind", kind);
    return record;
}

/* What is about to be signed, read back from the bytes: the log must not rest on what was meant. */
struct tbs_facts {
    struct bytes serial;
    struct bytes issuer;
    struct bytes spki;
    struct bytes not_before;
    struct bytes not_after;
    uint8_t not_before_tag;
    uint8_t not_after_tag;
};

/* RFC 5280 section 4.1: [0] version, serial, algorithm, issuer, validity, subject, key. */
static bool read_tbs(struct bytes tbs, struct tbs_facts *ret)
{
    struct bytes inside;
    struct bytes life;

    return der_read_tag(&tbs, DER_SEQUENCE, &inside) &&
           der_read_tag(&inside, DER_CONTEXT_CONSTRUCTED(0), NULL) &&
           der_read_tag(&inside, DER_INTEGER, &ret->serial) &&
           der_read_tag(&inside, DER_SEQUENCE, NULL) &&
           der_read(&inside, NULL, NULL, &ret->issuer) &&
           der_read_tag(&inside, DER_SEQUENCE, &life) &&
           der_read(&life, &ret->not_before_tag, &ret->not_before, NULL) &&
           der_read(&life, &ret->not_after_tag, &ret->not_after, NULL) &&
           der_read_tag(&inside, DER_SEQUENCE, NULL) && der_read(&inside, NULL, NULL, &ret->spki);
}

/* UTCTime and GeneralizedTime as RFC 5280 section 4.1.2.5 has them, in the form of RFC 3339. */
static char *time_text(TALLOC_CTX *ctx, uint8_t tag, struct bytes content)
{
    const char *digits = mem_text_n(ctx, (const char *)content.data, content.size);
    const char *century = "";

    /* Two digits of the year: 50 to 99 are of the twentieth century. */
    if (tag == DER_UTC_TIME)
        century = digits[0] < '5' ? "20" : "19";
    const char *full = mem_printf(ctx, "%s%s", century, digits);
    return mem_printf(ctx, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", full, full + 4, full + 6, full + 8,
                      full + 10, full + 12);
}

/* Without leading zeros (00 decision 6). */
static const char *serial_text(TALLOC_CTX *ctx, struct bytes serial)
{
    const char *hex = hex_from_bytes(ctx, serial);

    return hex + strspn(hex, "0");
}

static void record_names(json_t *record, const struct name_list *names)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    json_t *list = json_array();

    for (size_t i = 0; i < names->count; i++)
        json_add_text(list, mem_printf(scratch, "%s:%s", name_kind_text(names->items[i].kind),
                                       names->items[i].value));
    json_set_new(record, "names", list);
}

static void record_subject(json_t *record, const struct rdn *rdns, size_t count)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_add_text(list, mem_printf(scratch, "%s=%s", rdns[i].oid, rdns[i].value));
    json_set_new(record, "subject", list);
}

/* A self-signed certificate is its own issuer's. */
static void record_issuer(json_t *record, struct bytes issuer, const char *certificate_sha256,
                          struct bytes der)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    json_set_text(record, "issuer", digest_sha256_hex(scratch, issuer));
    json_set_text(record, "ca_sha256",
                  certificate_sha256 ? certificate_sha256 : digest_sha256_hex(scratch, der));
}

static bool record_signature(struct call *call, const struct key *key,
                             const char *issuer_certificate_sha256, const struct tbs_facts *tbs,
                             struct bytes der, bool flush, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct signer_request *request = call->request;
    const bool leaf = request->kind == SIGNER_SIGN_LEAF;
    AUTO(json_t) *record = record_begin(call->peer, signer_kind_text(request->kind));

    json_set_text(record, "key_ref", key->reference);
    record_issuer(record, tbs->issuer, issuer_certificate_sha256, der);
    json_set_text(record, "serial", serial_text(scratch, tbs->serial));
    json_set_text(record, "not_before", time_text(scratch, tbs->not_before_tag, tbs->not_before));
    json_set_text(record, "not_after", time_text(scratch, tbs->not_after_tag, tbs->not_after));
    record_subject(record, leaf ? request->leaf.subject : request->ca.subject,
                   leaf ? request->leaf.subject_count : request->ca.subject_count);
    record_names(record, &request->leaf.names);
    json_set_text(record, "spki_sha256", digest_sha256_hex(scratch, tbs->spki));
    json_set_text(record, "certificate_sha256", digest_sha256_hex(scratch, der));
    return signature_log_append(call->signer->log, record, flush, fault);
}

bool sign_and_record(struct call *call, struct key *key, const char *issuer_certificate_sha256,
                     struct bytes tbs, bool flush, struct fault *fault)
{
    struct bytes signature;
    struct tbs_facts facts;

    if (!read_tbs(tbs, &facts))
        return fault_set(fault, INTERNAL, NULL, "what was composed is no TBSCertificate");
    if (!key_sign(call->ctx, key, tbs, &signature, fault))
        return false;
    const struct bytes der = signed_object_assemble(call->ctx, tbs, key->signature, signature);
    if (!record_signature(call, key, issuer_certificate_sha256, &facts, der, flush, fault))
        return false;
    call->reply->der = der;
    return true;
}

static bool answer_ping(struct call *call, struct fault *fault)
{
    (void)fault;
    call->reply->text = mem_printf(call->ctx, "certctl-signer %s on %s, %zu keys open",
                                   CERTCTL_VERSION, peer_socket_name(&call->signer->policy),
                                   key_store_count(call->signer->keys));
    return true;
}

static bool answer_public_key(struct call *call, struct fault *fault)
{
    const struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);

    if (!key)
        return false;
    call->reply->key_ref = key->reference;
    call->reply->spki = key->spki;
    return true;
}

/* The most that a caller may backdate (04 section 2.2), and a minute for clocks that differ.
 * Without it a lost responder could have a leaf that seems older than its loss. */
#define BACKDATE_MAX_S (3600 + 60)

/* An order may ask for a day ahead (01 section 9.2), and clocks differ. Without it a lost responder
 * could lay up leaves that begin when nobody thinks of its loss any more. */
#define AHEAD_MAX_S (86400 + 60)

static struct certificate_wish without_backdating(const struct certificate_wish *asked)
{
    struct certificate_wish wish = *asked;

    wish.not_before = most(wish.not_before, clock_now_s() - BACKDATE_MAX_S);
    return wish;
}

static bool begins_soon(const struct certificate_wish *wish, struct fault *fault)
{
    if (wish->not_before <= clock_now_s() + AHEAD_MAX_S)
        return true;
    return fault_set(fault, SIGNER_REFUSED, "not_before", "notBefore is more than %d s ahead",
                     AHEAD_MAX_S);
}

/* The constraints of the CA's own certificate, of every kind of name, as a verifier reads them:
 * what the facts file says comes on top. */
static bool within_constraints(const struct ca_facts *facts, struct bytes tbs, struct fault *fault)
{
    static const uint8_t unsigned_yet[1];
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!facts->constraints)
        return true;
    const struct bytes der = signed_object_assemble(scratch, tbs, facts->issuer.algorithm,
                                                    BYTES_OF(unsigned_yet));
    const uint8_t *at = der.data;
    AUTO(X509) *leaf = d2i_X509(NULL, &at, (long)der.size);
    /* It fills what NAME_CONSTRAINTS_check looks at, which does not do so itself. */
    if (!leaf || X509_check_purpose(leaf, -1, 0) != 1)
        return fault_set(fault, INTERNAL, NULL, "what was composed cannot be read");
    int broken = NAME_CONSTRAINTS_check(leaf, facts->constraints);
    if (broken == X509_V_OK)
        broken = NAME_CONSTRAINTS_check_CN(leaf, facts->constraints);
    return broken == X509_V_OK ||
           fault_set(fault, NAME_CONSTRAINT, "names",
                     "a name is against the name constraints of the CA's certificate: %s",
                     X509_verify_cert_error_string(broken));
}

bool ca_may_sign(const struct ca_facts *facts, struct fault *fault)
{
    return !facts->retired || fault_set(fault, SIGNER_REFUSED, "key_ref",
                                        "the CA is retired: it signs no certificate any more");
}

/* Compose first: what the facts forbid costs the peer no signature of its hour. */
static bool answer_sign_leaf(struct call *call, struct fault *fault)
{
    uint8_t serial[CERTIFICATE_SERIAL_SIZE];
    struct bytes tbs;
    struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    const struct ca_facts *facts = key ? key_store_facts(call->signer->keys, key, fault) : NULL;

    if (!facts || !ca_may_sign(facts, fault))
        return false;
    const struct certificate_wish wish = without_backdating(&call->request->leaf);
    if (!begins_soon(&wish, fault))
        return false;
    draw_serial(serial);
    if (!certificate_compose(call->ctx, &facts->issuer, &wish, serial, &tbs, fault) ||
        !within_constraints(facts, tbs, fault))
        return false;
    if (facts->signatures_per_hour > 0 &&
        !rate_take(key->beside, call->peer->user, facts->signatures_per_hour, fault))
        return false;
    return sign_and_record(call, key, facts->certificate_sha256, tbs, false, fault);
}

/* No name, usage or extension can be asked for, so none has to be refused. */
static bool answer_sign_ocsp_responder(struct call *call, struct fault *fault)
{
    const struct certificate_wish asked = without_backdating(&call->request->leaf);
    const struct ocsp_wish wish = {asked.spki, asked.not_before, asked.not_after};
    uint8_t serial[CERTIFICATE_SERIAL_SIZE];
    struct bytes tbs;
    struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    const struct ca_facts *facts = key ? key_store_facts(call->signer->keys, key, fault) : NULL;

    if (!facts)
        return false;
    if (!begins_soon(&asked, fault))
        return false;
    draw_serial(serial);
    if (!certificate_compose_ocsp(call->ctx, &facts->issuer, &wish, facts->ocsp_validity_s, serial,
                                  &tbs, fault))
        return false;
    if (facts->signatures_per_hour > 0 &&
        !rate_take(key->beside, call->peer->user, facts->signatures_per_hour, fault))
        return false;
    return sign_and_record(call, key, facts->certificate_sha256, tbs, false, fault);
}

static const struct {
    enum signer_kind kind;
    bool (*answer)(struct call *call, struct fault *fault);
} answers[] = {
    {SIGNER_PING,                answer_ping               },
    {SIGNER_PUBLIC_KEY,          answer_public_key         },
    {SIGNER_SIGN_LEAF,           answer_sign_leaf          },
    {SIGNER_SIGN_CRL,            answer_sign_crl           },
    {SIGNER_SIGN_OCSP_RESPONDER, answer_sign_ocsp_responder},
    {SIGNER_GENERATE,            answer_generate           },
    {SIGNER_SIGN_CA,             answer_sign_ca            },
    {SIGNER_SIGN_CSR,            answer_sign_csr           },
    {SIGNER_FORGET,              answer_forget             },
    {SIGNER_FACTS,               answer_facts              },
    {SIGNER_CRL_FLOOR,           answer_crl_floor          },
    {SIGNER_CLOSE,               answer_close              },
    {SIGNER_SHOW_FACTS,          answer_show_facts         },
    {SIGNER_CHECK_FACTS,         answer_check_facts        },
};

bool answer_request(struct call *call, struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        if (answers[i].kind == call->request->kind)
            return answers[i].answer(call, fault);
    return fault_set(fault, FORBIDDEN, "kind", "request kind %u is not served",
                     call->request->kind);
}
