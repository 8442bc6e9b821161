/* fcgi/acme/certificate.c: the certificate of an order (RFC 8555 section 7.4.2). */
#include "pki/certificate.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "pki/outline.h"

#include "core/banned.h"

/* That order's version, not the newest one of the managed certificate; the owner only. */
STATEMENT(acme_certificate_read,
          "SELECT replay_spend('acme_nonce', $3, $4::timestamptz, true) AS fresh, m.id AS "
          "certificate_id, v.pem_chain "
          "  FROM (VALUES (1)) one "
          "  LEFT JOIN managed_certificates m ON m.id = $1 "
          "  LEFT JOIN LATERAL (SELECT * FROM acme_orders WHERE certificate_id = m.id OFFSET 0) o "
          "       ON o.account_id = $2 AND o.status = 'valid' "
          "  LEFT JOIN certificate_versions v ON v.id = o.certificate_version_id "
          " LIMIT 1");

enum wanted_form { FORM_PEM, FORM_DER };

/* A list of media types; parameters and weights are ignored, the first that we serve counts. */
static bool form_wanted(struct request *request, enum wanted_form *ret_form, struct fault *fault)
{
    const char *accept = request_header(request, "Accept");
    const struct text_list types = text_split(request, accept ? accept : "*/*", ',');

    for (size_t i = 0; i < types.count; i++) {
        const char *type = mem_text_n(request, types.items[i], strcspn(types.items[i], "; \t"));

        if (text_equal_nocase(type, "application/pkix-cert")) {
            *ret_form = FORM_DER;
            return true;
        }
        if (text_equal(type, "*/*") || text_equal_nocase(type, "application/*") ||
            text_equal_nocase(type, "application/pem-certificate-chain")) {
            *ret_form = FORM_PEM;
            return true;
        }
    }
    return fault_set(fault, NOT_ACCEPTABLE, "Accept",
                     "served are application/pem-certificate-chain and application/pkix-cert");
}

/* The root is left out: who does not have it must not take it from here. */
static struct bytes without_root(struct request *request, const char *chain)
{
    static const char end[] = "-----END CERTIFICATE-----\n";
    const char *last = NULL;
    size_t blocks = 0;

    for (const char *at = strstr(chain, "-----BEGIN CERTIFICATE-----"); at;
         at = strstr(at + 1, "-----BEGIN CERTIFICATE-----")) {
        last = at;
        blocks++;
    }
    if (blocks < 2)
        return bytes_of_text(chain);
    struct fault ignored = {0};
    struct bytes der;
    struct certificate_parts parts;
    if (!certificate_pem_decode(request, last, &der, &ignored) || !certificate_cut(der, &parts) ||
        !bytes_equal(parts.subject, parts.issuer) || !strstr(last, end))
        return bytes_of_text(chain);
    return bytes_of_text(mem_text_n(request, chain, (size_t)(last - chain)));
}

static bool leaf_answer(struct request *request, struct response *response, const char *chain,
                        struct fault *fault)
{
    struct bytes leaf;

    return certificate_pem_decode(request, chain, &leaf, fault) &&
           response_bytes(response, 200, "application/pkix-cert", leaf);
}

bool acme_certificate(struct request *request, struct response *response, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    enum wanted_form form = FORM_PEM;

    if (acme->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be empty (RFC 8555 section 6.3)");
    if (!form_wanted(request, &form, fault))
        return false;
    struct rows *rows = db_query(request, request->db, &acme_certificate_read, fault,
                                 TEXT(request_captured(request, "certificate")),
                                 TEXT(acme->account.id), TEXT(acme->jws->nonce),
                                 INSTANT(acme_nonce_expires(request)));
    if (!rows)
        return false;
    acme->spent = true;
    if (!row_bool(rows, 0, "fresh"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (row_null(rows, 0, "certificate_id"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such certificate");
    const char *chain = row_text(rows, 0, "pem_chain");
    if (!chain)
        return fault_set(fault, ACME_NOT_OWNER, NULL, "account does not own this resource");
    if (form == FORM_DER)
        return leaf_answer(request, response, chain, fault);
    return response_bytes(response, 200, "application/pem-certificate-chain",
                          without_root(request, chain));
}
