/* signer/answer_crl.c: signing a CRL, the one thing that is signed without being composed here.
 * 04 section 4.0, 00 decisions 41 and 49.
 *
 * A job that was taken over can leave revocations out of a list; it must not be able to have
 * anything else signed, nor a list that outlives the facts, nor one under a number of the past. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "pki/crl.h"
#include "signer/crl_state.h"
#include "signer/signer.h"

#include "core/banned.h"

#define CLOCK_SKEW_S 300
#define SEALS        (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

struct mapping {
    void *address;
    size_t size;
};

static int unmap(struct mapping *mapping)
{
    (void)munmap(mapping->address, mapping->size);
    return 0;
}

/* What could change under our eyes is not looked at, nor what could shrink under the mapping. */
static bool map_passed(struct call *call, struct bytes *ret_tbs, struct fault *fault)
{
    struct stat status;
    const int seals = call->passed < 0 ? -1 : fcntl(call->passed, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS || fstat(call->passed, &status) != 0)
        return fault_set(fault, SIGNER_MESSAGE, "tbs",
                         "a TBSCertList comes in a memfd sealed against every change");
    if (status.st_size <= 0 || (uint64_t)status.st_size > CRL_TBS_MAX)
        return fault_set(fault, SIGNER_MESSAGE, "tbs", "a TBSCertList has 1 to %zu octets",
                         CRL_TBS_MAX);
    struct mapping *mapping = mem_new(call->ctx, struct mapping);
    mapping->size = (size_t)status.st_size;
    mapping->address = mmap(NULL, mapping->size, PROT_READ, MAP_PRIVATE, call->passed, 0);
    if (mapping->address == MAP_FAILED) {
        fault_set(fault, SIGNER_KEY, "tbs", "there is no memory for the CRL");
        return fault_cause_errno(fault, "mmap");
    }
    talloc_set_destructor(mapping, unmap);
    *ret_tbs = (struct bytes){mapping->address, mapping->size};
    return true;
}

static bool check_times(const struct crl_tbs *crl, const struct ca_facts *facts,
                        struct fault *fault)
{
    const int64_t now_s = clock_now_s();

    if (crl->this_update < now_s - CLOCK_SKEW_S || crl->this_update > now_s + CLOCK_SKEW_S)
        return fault_set(fault, SIGNER_REFUSED, "this_update",
                         "thisUpdate is more than %d s away from now", CLOCK_SKEW_S);
    if (crl->next_update <= crl->this_update ||
        crl->next_update - crl->this_update > facts->crl_validity_s)
        return fault_set(fault, SIGNER_REFUSED, "next_update",
                         "nextUpdate is not within %lld s of thisUpdate",
                         (long long)facts->crl_validity_s);
    return true;
}

/* The list must be what we would have written around these entries, octet for octet: version,
 * algorithm, issuer, and the two extensions (RFC 5280 sections 5.1 and 5.2). */
static bool check_frame(struct bytes tbs, const struct crl_tbs *crl, const struct ca_facts *facts,
                        struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct crl_head head = {
        .issuer_der = facts->issuer.subject_der,
        .ski = facts->issuer.ski,
        .algorithm = facts->issuer.algorithm,
        .this_update = crl->this_update,
        .next_update = crl->next_update,
        .number = crl->number,
    };
    const struct crl_frame frame = crl_frame(scratch, &head, crl->entries.size);
    const size_t around = frame.before.size + frame.after.size;

    if (!bytes_equal(crl->issuer, head.issuer_der))
        return fault_set(fault, SIGNER_REFUSED, "issuer", "the issuer is another CA");
    if (!tbs.data || tbs.size != around + crl->entries.size ||
        memcmp(tbs.data, frame.before.data, frame.before.size) != 0 ||
        memcmp(tbs.data + tbs.size - frame.after.size, frame.after.data, frame.after.size) != 0)
        return fault_set(fault, SIGNER_REFUSED, "tbs",
                         "algorithm or extensions are not those of this CA's lists");
    return true;
}

static bool check_list(struct bytes tbs, const struct ca_facts *facts, struct crl_tbs *ret_crl,
                       struct fault *fault)
{
    if (!crl_tbs_read(tbs, ret_crl))
        return fault_set(fault, SIGNER_REFUSED, "tbs",
                         "this is no TBSCertList (RFC 5280 section 5.1.2)");
    return check_frame(tbs, ret_crl, facts, fault) && check_times(ret_crl, facts, fault);
}

static bool record(struct call *call, const struct key *key, const struct ca_facts *facts,
                   const struct crl_tbs *crl, struct bytes tbs, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *record = record_begin(call->peer, signer_kind_text(call->request->kind));

    json_set_text(record, "key_ref", key->reference);
    json_set_text(record, "issuer", digest_sha256_hex(scratch, crl->issuer));
    json_set_text(record, "ca_sha256", facts->certificate_sha256);
    json_set_integer(record, "crl_number", crl->number);
    json_set_text(record, "this_update", time_to_rfc3339(scratch, crl->this_update));
    json_set_text(record, "next_update", time_to_rfc3339(scratch, crl->next_update));
    json_set_integer(record, "entries", (int64_t)crl->count); /* below 2^28 */
    json_set_text(record, "tbs_sha256", digest_sha256_hex(scratch, tbs));
    return signature_log_append(call->signer->log, record, true, fault);
}

/* The number is taken before anything is signed: a signature that fails costs a number, and no
 * number is signed twice. The peer's signatures of this hour are not asked: a job that issued many
 * certificates must still be able to revoke them. */
bool answer_sign_crl(struct call *call, struct fault *fault)
{
    struct crl_tbs crl;
    struct bytes signature = {0};
    struct bytes tbs = {0};

    if (!map_passed(call, &tbs, fault))
        return false;
    struct key *key = key_store_find(call->signer->keys, call->request->key_ref, fault);
    const struct ca_facts *facts = key ? key_store_facts(call->signer->keys, key, fault) : NULL;
    if (!facts || !check_list(tbs, facts, &crl, fault) ||
        !crl_state_take(key->beside, crl.number, fault) ||
        !key_sign(call->ctx, key, tbs, &signature, fault) ||
        !record(call, key, facts, &crl, tbs, fault))
        return false;
    call->reply->signature = signature;
    return true;
}
