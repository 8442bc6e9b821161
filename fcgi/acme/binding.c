/* fcgi/acme/binding.c: the external account binding of a registration: a JWS over the account's key
 * under a key that an operator gave out (RFC 8555 section 7.3.4, 01 section 8.3). */
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "seal/seal.h"

#include "core/banned.h"

#define MEMBER "externalAccountBinding"

/* $1 kid, $2 profile. NULL: no key of that kid lets anybody register here. */
STATEMENT(acme_eab_read, "SELECT acme_eab_sealed($1, $2) AS sealed");

bool acme_binding_refuse(struct fault *fault)
{
    return fault_set(fault, ACME_EAB_INVALID, MEMBER, "external account binding is not valid");
}

/* What is wrong with the inner JWS alone is no badSignatureAlgorithm and no badPublicKey: these
 * would be about the account's key. */
static void *malformed(struct fault *fault)
{
    fault->reason = INPUT_MALFORMED;
    fault->field = MEMBER;
    return NULL;
}

static bool header_check(const struct jws *inner, const struct jws *outer, struct fault *fault)
{
    if (!inner->kid || !*inner->kid || json_object_get(inner->header, "nonce") || inner->jwk ||
        !text_equal(inner->url, outer->url))
        return fault_set(
            fault, INPUT_MALFORMED, MEMBER,
            "the binding needs kid and the outer url, and neither nonce nor jwk (RFC 8555 "
            "section 7.3.4)");
    return true;
}

/* By thumbprint, so whatever the client's order and spaces. */
static bool payload_check(struct request *request, const struct jws *inner, struct fault *fault)
{
    json_t *payload = json_parse_object(inner->payload, INPUT_MALFORMED, "the binding's payload",
                                        fault);

    if (!payload)
        return malformed(fault);
    mem_adopt(request, payload, json_decref);
    const struct jwk *key = jwk_from_json(request, payload, false, fault);
    if (!key)
        return malformed(fault);
    if (!text_equal(key->thumbprint, acme_of(request)->key->thumbprint))
        return fault_set(fault, INPUT_MALFORMED, MEMBER,
                         "the binding's payload is not the account's key (RFC 8555 section 7.3.4)");
    return true;
}

static bool mac_check(struct request *request, const struct jws *inner, struct fault *fault)
{
    const struct seal_passphrases passphrases = seal_passphrases_of(request->settings);
    struct fault ignored = {0};
    const struct rows *rows = db_query(request, request->db, &acme_eab_read, fault,
                                       TEXT(inner->kid), TEXT(acme_of(request)->profile->id));

    if (!rows)
        return false;
    if (row_null(rows, 0, "sealed"))
        return acme_binding_refuse(fault);
    struct secret *key = seal_open(request, &passphrases, row_bytes(request, rows, 0, "sealed"),
                                   fault);
    if (!key)
        return false;
    const bool good = jws_verify_mac(inner, (struct bytes){key->data, key->size}, &ignored);
    talloc_free(key);
    return good || acme_binding_refuse(fault);
}

bool acme_binding_check(struct request *request, const json_t *binding, const char **ret_kid,
                        struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);

    if (!binding && (request->settings->acme_eab_required || acme->profile->eab_required))
        return fault_set(fault, ACME_EAB_REQUIRED, MEMBER,
                         "an external account binding is required");
    if (!binding)
        return true;
    const struct jws *inner = jws_from_json(acme_of(request), binding, JWS_MAC, fault);
    if (!inner)
        return malformed(fault);
    if (!header_check(inner, acme->jws, fault) || !payload_check(request, inner, fault) ||
        !mac_check(request, inner, fault))
        return false;
    *ret_kid = inner->kid;
    return true;
}
