/* signer/answer_admin.c: new keys, CA certificates, facts: signer-admin.sock alone. 04 4.0, 5.3. */
#include "core/auto.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "signer/crl_state.h"
#include "signer/safe_file.h"
#include "signer/signer.h"

#include "core/banned.h"

/* The line is on the disk before anything is answered: there are few of these, and each matters. */
static bool record_key(struct call *call, const struct key *key, const char *digest_name,
                       struct bytes digested, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *record = record_begin(call->peer, signer_kind_text(call->request->kind));

    json_set_text(record, "key_ref", key->reference);
    json_set_text(record, "algorithm", key->algorithm);
    json_set_text(record, digest_name, digest_sha256_hex(scratch, digested));
    return signature_log_append(call->signer->log, record, true, fault);
}

bool answer_generate(struct call *call, struct fault *fault)
{
    const struct signer_request *request = call->request;
    const struct key_driver *driver = key_driver_named(request->driver, fault);
    struct key *key = driver ? driver->generate(call->ctx, &call->signer->settings,
                                                request->algorithm, request->hint, fault)
                             : NULL;

    if (!key)
        return false;
    if (!record_key(call, key, "spki_sha256", key->spki, fault)) {
        struct fault forgetting = {0};
        (void)driver->forget(key, &forgetting);
        return false;
    }
    call->reply->key_ref = key->reference;
    call->reply->spki = key->spki;
    return true;
}

/* RFC 5280 section 4.2.1.9: a CA of path length 0 has no CA below; what the wish leaves open is the
 * most that the parent may give (04 section 5.3). */
static bool cut_path_len(const struct ca_facts *parent, struct ca_wish *wish, struct fault *fault)
{
    if (parent->path_len < 0)
        return true;
    if (parent->path_len == 0 || wish->path_len >= parent->path_len)
        return fault_set(fault, SIGNER_REFUSED, "path_len",
                         "requested path length exceeds parent's PathLenConstraint");
    if (wish->path_len < 0)
        wish->path_len = parent->path_len - 1;
    return true;
}

/* A key without facts signs its own certificate; one whose CA is retired does not. */
static bool key_may_sign(struct call *call, const struct key *key, struct fault *fault)
{
    struct fault none = {0};
    const struct ca_facts *facts = key_store_facts(call->signer->keys, key, &none);

    return !facts || ca_may_sign(facts, fault);
}

static bool sign_root(struct call *call, struct fault *fault)
{
    const struct ca_wish *wish = &call->request->ca;
    uint8_t serial[CERTIFICATE_SERIAL_SIZE];
    struct bytes tbs;

    if (!call->request->key_ref)
        return fault_set(fault, SIGNER_MESSAGE, "key_ref", "key_ref is missing");
    struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    if (!key || !key_may_sign(call, key, fault))
        return false;
    if (!bytes_equal(wish->spki, key->spki))
        return fault_set(fault, SIGNER_REFUSED, "spki",
                         "a self-signed certificate is of the key that signs it");
    draw_serial(serial);
    return certificate_compose_ca(call->ctx, NULL, wish, key->signature, serial, &tbs, fault) &&
           sign_and_record(call, key, NULL, tbs, true, fault);
}

static bool sign_subordinate(struct call *call, struct fault *fault)
{
    struct ca_wish wish = call->request->ca;
    uint8_t serial[CERTIFICATE_SERIAL_SIZE];
    struct bytes tbs;
    struct key *parent = key_store_find(call->signer->keys, call->request->issuer_key_ref, fault);
    const struct ca_facts *facts = parent ? key_store_facts(call->signer->keys, parent, fault)
                                          : NULL;

    if (!facts || !ca_may_sign(facts, fault) || !cut_path_len(facts, &wish, fault) ||
        !ca_wish_constrain(call->ctx, &facts->issuer.permitted_dns, &facts->issuer.excluded_dns,
                           &wish, fault))
        return false;
    if (bytes_equal(wish.spki, parent->spki))
        return fault_set(fault, SIGNER_REFUSED, "spki", "a CA is not certified by its own key");
    draw_serial(serial);
    return certificate_compose_ca(call->ctx, &facts->issuer, &wish, parent->signature, serial, &tbs,
                                  fault) &&
           sign_and_record(call, parent, facts->certificate_sha256, tbs, true, fault);
}

bool answer_sign_ca(struct call *call, struct fault *fault)
{
    return call->request->issuer_key_ref ? sign_subordinate(call, fault) : sign_root(call, fault);
}

/* A request for a certificate from elsewhere certifies nothing, but is a signature: a line. */
bool answer_sign_csr(struct call *call, struct fault *fault)
{
    struct ca_wish wish = call->request->ca;
    struct bytes info;
    struct bytes signature;
    struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);

    if (!key)
        return false;
    wish.spki = key->spki;
    if (!certificate_request_compose_ca(call->ctx, &wish, key->signature, &info, fault) ||
        !key_sign(call->ctx, key, info, &signature, fault))
        return false;
    const struct bytes der = signed_object_assemble(call->ctx, info, key->signature, signature);
    if (!record_key(call, key, "csr_sha256", der, fault))
        return false;
    call->reply->der = der;
    return true;
}

bool answer_forget(struct call *call, struct fault *fault)
{
    const struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);

    return key && record_key(call, key, "spki_sha256", key->spki, fault) &&
           key->driver->forget(key, fault);
}

static bool write_facts(struct call *call, const struct key *key, struct bytes text,
                        struct fault *fault)
{
    const char *path = mem_printf(call->ctx, "%s" FACTS_ENDING, key->beside);

    return record_key(call, key, "facts_sha256", text, fault) &&
           safe_file_write(path, text, true, fault);
}

/* Whoever may close a CA by the API must not be undone from there: what opens it again is a hand on
 * this host that takes the file away. Facts that cannot be read allow nothing, new ones may. */
static bool keep_closed(struct call *call, const struct key *key, const struct ca_facts *wanted,
                        struct fault *fault)
{
    struct fault unreadable = {0};
    const struct ca_facts *now = key_store_facts(call->signer->keys, key, &unreadable);

    return !now || !now->retired || wanted->retired ||
           fault_set(fault, SIGNER_REFUSED, "facts",
                     "the CA is retired: its facts are not opened again");
}

static const struct key *judge_facts(struct call *call, struct fault *fault)
{
    const struct bytes text = bytes_of_text(call->request->facts_json);
    const struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    const struct ca_facts *wanted = key ? ca_facts_from_json(
                                              call->ctx, text, key,
                                              call->signer->settings.signer_max_leaf_days, fault)
                                        : NULL;

    if (!wanted || !keep_closed(call, key, wanted, fault))
        return NULL;
    call->reply->key_ref = key->reference;
    call->reply->spki = key->spki;
    return key;
}

bool answer_facts(struct call *call, struct fault *fault)
{
    const struct key *key = judge_facts(call, fault);

    return key && write_facts(call, key, bytes_of_text(call->request->facts_json), fault);
}

/* What `facts` would say, before a person is asked: nothing is written. */
bool answer_check_facts(struct call *call, struct fault *fault)
{
    return judge_facts(call, fault) != NULL;
}

static bool read_facts(struct call *call, const struct key *key, struct bytes *ret_text,
                       struct fault *fault)
{
    const char *path = mem_printf(call->ctx, "%s" FACTS_ENDING, key->beside);
    uint8_t *text = mem_array(call->ctx, uint8_t, FACTS_FILE_MAX);
    struct file_stamp stamp;
    size_t size;

    if (!safe_file_read("facts file", path, &stamp, text, FACTS_FILE_MAX, &size, fault))
        return false;
    *ret_text = (struct bytes){text, size};
    return true;
}

/* Facts that cannot be read are refused as they are for a signature. */
bool answer_show_facts(struct call *call, struct fault *fault)
{
    const struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    struct bytes text;

    if (!key || !key_store_facts(call->signer->keys, key, fault) ||
        !read_facts(call, key, &text, fault))
        return false;
    call->reply->key_ref = key->reference;
    call->reply->facts_json = mem_text_n(call->ctx, (const char *)text.data, text.size);
    return true;
}

/* The same facts, and `retired`: lists and responders of the CA go on within their ceilings. */
static bool close_facts(struct call *call, const struct key *key, struct fault *fault)
{
    struct bytes text;

    if (!read_facts(call, key, &text, fault))
        return false;
    const char *closed = ca_facts_closed(call->ctx, text, fault);
    return closed && write_facts(call, key, bytes_of_text(closed), fault);
}

/* 04 section 5.5: stricter alone, so it needs no approval. Facts of another certificate of the key
 * are not this CA's; without its own it signs nothing anyway. */
bool answer_close(struct call *call, struct fault *fault)
{
    const struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    const struct ca_facts *facts = key ? key_store_facts(call->signer->keys, key, fault) : NULL;

    if (!facts)
        return false;
    const bool superseded = !text_equal(facts->certificate_sha256, call->request->ca_sha256);
    call->reply->key_ref = key->reference;
    call->reply->text = superseded ? "superseded" : "closed";
    return superseded || facts->retired || close_facts(call, key, fault);
}

/* After a restore: the number is written down before it counts, and never goes back. */
bool answer_crl_floor(struct call *call, struct fault *fault)
{
    const struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    const int64_t floor = call->request->crl_number;
    int64_t last = 0;

    if (!key)
        return false;
    if (floor < 1 || floor > CRL_NUMBER_FLOOR_MAX)
        return fault_set(fault, SIGNER_REFUSED, "crl_number",
                         "a CRL number is raised to 1 to 10^11");
    AUTO(json_t) *record = record_begin(call->peer, signer_kind_text(call->request->kind));
    json_set_text(record, "key_ref", key->reference);
    json_set_integer(record, "floor", floor);
    if (!signature_log_append(call->signer->log, record, true, fault) ||
        !crl_state_raise(key->beside, floor, &last, fault))
        return false;
    call->reply->text = mem_printf(call->ctx, "%lld", (long long)last);
    return true;
}
