/* fcgi/acme/certificate.c: the certificate of an order (RFC 8555 section 7.4.2). */
#include "pki/certificate.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "pki/outline.h"

#include "core/banned.h"

#define END "-----END CERTIFICATE-----\n"

/* That order's version, not the newest one of the managed certificate; the owner only. $5: which of
 * the further chains of the CA that signed it, 0 for none. */
STATEMENT(
    acme_certificate_read,
    "SELECT replay_spend('acme_nonce', $3, $4::timestamptz, true) AS fresh, m.id AS "
    "certificate_id, v.pem_chain, coalesce(cardinality(c.alternate_chains), 0) AS alternates, "
    "c.alternate_chains[$5::integer] AS alternate "
    "  FROM (VALUES (1)) one "
    "  LEFT JOIN managed_certificates m ON m.id = $1 "
    "  LEFT JOIN LATERAL (SELECT * FROM acme_orders WHERE certificate_id = m.id OFFSET 0) o "
    "       ON o.account_id = $2 AND o.status = 'valid' "
    "  LEFT JOIN certificate_versions v ON v.id = o.certificate_version_id "
    "  LEFT JOIN ca_instances c ON c.id = v.ca_id "
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
        !bytes_equal(parts.subject, parts.issuer) || !strstr(last, END))
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

static const char *leaf_of(struct request *request, const char *chain)
{
    const char *end = strstr(chain, END);

    return end ? mem_text_n(request, chain, (size_t)(end - chain) + strlen(END)) : chain;
}

/* Each of the others, the order's own chain among them (RFC 8555 section 7.4.2). */
static void link_others(struct response *response, int64_t here, int64_t alternates)
{
    struct request *request = response->request;
    const char *certificate = request_captured(request, "certificate");

    if (here != 0)
        response_header_add(response, "Link", "<%s>;rel=\"alternate\"",
                            acme_url(request, "/cert/%s", certificate));
    for (int64_t n = 1; n <= alternates; n++)
        if (n != here)
            response_header_add(response, "Link", "<%s>;rel=\"alternate\"",
                                acme_url(request, "/cert/%s/%d", certificate,
                                         (int)n)); /* ca_instances has at most 8 */
}

static struct rows *certificate_read(struct request *request, int64_t number, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    struct rows *rows = db_query(request, request->db, &acme_certificate_read, fault,
                                 TEXT(request_captured(request, "certificate")),
                                 TEXT(acme->account.id), TEXT(acme->jws->nonce),
                                 INSTANT(acme_nonce_expires(request)), INTEGER(number));

    if (!rows)
        return NULL;
    acme->spent = true;
    if (!row_bool(rows, 0, "fresh"))
        return fault_set(fault, ACME_BAD_NONCE, "nonce", "the nonce was used before");
    if (row_null(rows, 0, "certificate_id"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "no such certificate");
    if (row_null(rows, 0, "pem_chain"))
        return fault_set(fault, ACME_NOT_OWNER, NULL, "account does not own this resource");
    if (number != 0 && row_null(rows, 0, "alternate"))
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "the certificate has no such chain");
    return rows;
}

/* number: 0 is the order's own chain. */
static bool download(struct request *request, struct response *response, int64_t number,
                     struct fault *fault)
{
    enum wanted_form form = FORM_PEM;

    if (acme_of(request)->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be empty (RFC 8555 section 6.3)");
    if (!form_wanted(request, &form, fault))
        return false;
    const struct rows *rows = certificate_read(request, number, fault);
    if (!rows)
        return false;
    const char *chain = row_text(rows, 0, "pem_chain");
    link_others(response, number, row_integer(rows, 0, "alternates"));
    if (form == FORM_DER)
        return leaf_answer(request, response, chain, fault);
    if (number != 0)
        chain = mem_printf(request, "%s%s", leaf_of(request, chain),
                           row_text(rows, 0, "alternate"));
    return response_bytes(response, 200, "application/pem-certificate-chain",
                          without_root(request, chain));
}

bool acme_certificate(struct request *request, struct response *response, struct fault *fault)
{
    return download(request, response, 0, fault);
}

/* Numbers are spelled as links spell them; what is none is the number of no chain. */
bool acme_alternate(struct request *request, struct response *response, struct fault *fault)
{
    const char *text = request_captured(request, "n");
    int64_t number = 0;

    if (*text == '0' || !text_to_integer(text, 1, INT32_MAX, &number))
        number = INT32_MAX;
    return download(request, response, number, fault);
}
