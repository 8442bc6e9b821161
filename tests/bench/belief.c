/* tests/bench/belief.c: see belief.h. RFC 6960 section 3.2, RFC 9654 section 2.1. */
#include "tests/bench/belief.h"

#include <openssl/ocsp.h>

#include "tests/bench/loop.h"

#include "core/banned.h"

#define CLOCKS_DIFFER_S 300

X509_STORE *belief_in(X509 *ca)
{
    X509_STORE *store = X509_STORE_new();

    if (!store || X509_STORE_add_cert(store, ca) != 1 ||
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) != 1)
        give_up("the CA cannot be believed in");
    return store;
}

static bool says(OCSP_REQUEST *request, OCSP_BASICRESP *basic, int status)
{
    OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0));
    ASN1_GENERALIZEDTIME *since = NULL;
    ASN1_GENERALIZEDTIME *until = NULL;
    int said = -1;

    return OCSP_resp_find_status(basic, id, &said, NULL, NULL, &since, &until) == 1 &&
           said == status && OCSP_check_validity(since, until, CLOCKS_DIFFER_S, -1) == 1;
}

/* 1: the same; 2: neither has one. */
static bool nonce_fits(OCSP_REQUEST *request, OCSP_BASICRESP *basic)
{
    const int both = OCSP_check_nonce(request, basic);

    return both == 1 || both == 2;
}

bool belief_holds(X509_STORE *store, struct bytes request, struct bytes answer, int status)
{
    const uint8_t *asked_at = request.data;
    const uint8_t *said_at = answer.data;
    OCSP_REQUEST *asked = d2i_OCSP_REQUEST(NULL, &asked_at, (long)request.size); /* a few KiB */
    OCSP_RESPONSE *said = d2i_OCSP_RESPONSE(NULL, &said_at, (long)answer.size);
    OCSP_BASICRESP *basic = NULL;

    if (said && said_at == answer.data + answer.size &&
        OCSP_response_status(said) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(said);
    const bool holds = asked && basic && says(asked, basic, status) && nonce_fits(asked, basic) &&
                       OCSP_basic_verify(basic, NULL, store, 0) == 1;
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(said);
    OCSP_REQUEST_free(asked);
    return holds;
}
