/* fcgi/acme/revoke.c: an account, or the certificate's own key, revokes (RFC 8555 section 7.6, 01
 * section 13). Two round trips: what the first statement reads, and revoke_commit. */
#include "lifecycle/revoke.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "pki/certificate.h"

#include "core/banned.h"

/* $1 account or NULL, $2 SHA-256 of the certificate or NULL. asker_proved are the certificate's
 * names that the account has proved by a challenge; in trust mode nothing is proved. */
STATEMENT(
    acme_leaf_open,
    "SELECT a.account_id, a.profile_id, a.status, a.jwk_pem, a.contact, "
    "       a.tos_agreed_at IS NOT NULL AS tos_agreed, a.allowed_identifiers, "
    "       r.version_id, r.certificate_id, r.serial_number, r.revoked, "
    "       r.same_key_versions, r.same_key_serials, "
    "       r.ca_id, c.cert_der AS ca_cert_der, "
    "       EXISTS (SELECT 1 FROM acme_orders o "
    "                WHERE o.account_id = a.account_id AND o.certificate_id = r.certificate_id "
    "                  AND o.certificate_version_id = r.version_id AND o.status = 'valid') AS asker_ordered, "
    "       ARRAY(SELECT (z.identifier->>'type') || ':' || CASE WHEN z.wildcard THEN '*.' ELSE '' END "
    "                    || (z.identifier->>'value') "
    "               FROM acme_authorizations z "
    "              WHERE z.account_id = a.account_id AND z.status = 'valid' AND z.expires_at > now() "
    "                AND z.identifier->>'value' IN (SELECT regexp_replace(n, '^[*][.]', '') "
    "                                                 FROM unnest(m.sans) n) "
    "                AND EXISTS (SELECT 1 FROM acme_challenges h "
    "                             WHERE h.authz_id = z.authz_id AND h.status = 'valid')) AS asker_proved "
    "  FROM (VALUES (1)) one "
    "  LEFT JOIN acme_accounts a ON a.account_id = $1 "
    "  LEFT JOIN revocables r ON r.fingerprint_sha256 = $2 "
    "  LEFT JOIN managed_certificates m ON m.id = r.certificate_id "
    "  LEFT JOIN ca_instances c ON c.id = r.ca_id "
    " WHERE $1 IS NULL OR a.account_id IS NOT NULL");

struct revocation {
    struct bytes der;
    int64_t code;
};

static const struct member revocation_members[] = {
    {"certificate", MEMBER_BASE64URL, REQUIRED, AT(revocation, der) },
    {"reason",      MEMBER_INTEGER,   OPTIONAL, AT(revocation, code)},
};

/* NULL where the payload has no certificate: the handler will say so, once it is verified. */
static const char *leaf_fingerprint(struct request *request)
{
    const struct jws *jws = acme_of(request)->jws;
    struct revocation wanted = {0};
    struct fault ignored = {0};
    AUTO(json_t) *payload = json_parse_object(jws->payload, INPUT_MALFORMED, "the payload",
                                              &ignored);

    if (!payload || !json_decode(request, payload, revocation_members, &wanted, &ignored))
        return NULL;
    return digest_sha256_hex(request, wanted.der);
}

struct rows *acme_leaf_query(struct request *request, const char *account_id, struct fault *fault)
{
    return db_query(request, request->db, &acme_leaf_open, fault, TEXT(account_id),
                    TEXT(leaf_fingerprint(request)));
}

/* The CA that the row names signed it: key identifier, then signature. Certificates of remote
 * issuers have no CA here; the fingerprint alone speaks for them. */
static bool signed_by_its_ca(struct request *request, const struct certificate *leaf,
                             const struct rows *rows, struct fault *fault)
{
    if (row_null(rows, 0, "ca_id"))
        return true;
    const struct certificate *ca = certificate_from_der(
        request, row_bytes(request, rows, 0, "ca_cert_der"), fault);
    if (!ca)
        return false;
    EVP_PKEY *key = X509_get0_pubkey(ca->x509);
    return bytes_equal(leaf->aki, ca->key_id) && key && X509_verify(leaf->x509, key) == 1;
}

static bool ours_check(struct request *request, const struct certificate *leaf,
                       const struct rows *rows, struct fault *fault)
{
    if (row_null(rows, 0, "version_id") ||
        !text_equal(row_text(rows, 0, "serial_number"), leaf->serial) ||
        !signed_by_its_ca(request, leaf, rows, fault))
        return fault_set(fault, CERTIFICATE_UNKNOWN, "certificate",
                         "the supplied certificate is not known to this server");
    return true;
}

static bool is_proved(struct request *request, const struct text_list *proved,
                      const struct name *name)
{
    const char *type = name->kind == NAME_DNS ? "dns" : name->kind == NAME_IP ? "ip" : NULL;

    return type && text_list_has(proved, mem_printf(request, "%s:%s", type, name->value));
}

/* RFC 8555 section 7.6: valid authorizations for all identifiers in the certificate, of which there
 * is one at least; its common name is one of them. */
static bool proved_all(struct request *request, const struct certificate *leaf,
                       const struct rows *rows)
{
    const struct text_list proved = row_texts(request, rows, 0, "asker_proved");
    bool common_name_found = leaf->common_name == NULL;

    if (acme_of(request)->profile->trusts_accounts || leaf->names.count == 0)
        return false;
    for (size_t i = 0; i < leaf->names.count; i++) {
        if (!is_proved(request, &proved, &leaf->names.items[i]))
            return false;
        common_name_found = common_name_found ||
                            text_equal_nocase(leaf->names.items[i].value, leaf->common_name);
    }
    return common_name_found;
}

static bool is_its_key(struct request *request, const struct certificate *leaf)
{
    EVP_PKEY *pkey = X509_get0_pubkey(leaf->x509);
    struct fault ignored = {0};
    const struct jwk *key = pkey ? jwk_from_pkey(request, pkey, &ignored) : NULL;

    return key && text_equal(key->thumbprint, acme_of(request)->key->thumbprint);
}

static bool asker_check(struct request *request, const struct certificate *leaf,
                        const struct rows *rows, struct fault *fault)
{
    if (acme_of(request)->account.id) {
        if (row_bool(rows, 0, "asker_ordered") || proved_all(request, leaf, rows))
            return true;
    } else if (is_its_key(request, leaf)) {
        request->actor = mem_printf(request, "acme-cert-key:%s", leaf->serial);
        return true;
    }
    return fault_set(fault, REQUESTER_NOT_AUTHORIZED, NULL,
                     "the requester is not authorized to revoke this certificate");
}

/* After the asker: a stranger learns nothing of a certificate's state. */
static bool state_check(struct request *request, const struct revocable *subject,
                        const struct certificate *leaf, int64_t code,
                        enum revocation_reason *ret_reason, struct fault *fault)
{
    if (subject->revoked)
        return fault_set(fault, ALREADY_REVOKED, "certificate",
                         "the certificate is revoked already");
    if (leaf->not_after < clock_now_s())
        return fault_set(fault, CERTIFICATE_EXPIRED, "certificate", "certificate has expired");
    if (!revocation_reason_from_code(code, ret_reason))
        return fault_set(fault, REVOCATION_REASON, "reason", "reason %lld is none of %s",
                         (long long)code, revocation_reason_list(request));
    return true;
}

static bool revoke_leaf(struct request *request, const struct revocable *subject,
                        enum revocation_reason reason, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    const struct revoke_request wanted = {
        .subject = subject,
        .serial = subject->serial,
        .scope = REVOKE_VERSION,
        .once = true,
        .reason = reason,
        .speaks_for_key = acme->jws->jwk != NULL,
        .actor = request->actor,
        .actor_type = "System",
        .source_ip = request->remote_addr,
        .request_id = request->request_id,
        .nonce = acme->jws->nonce,
        .nonce_expires = acme_nonce_expires(request),
    };
    const bool done = lifecycle_revoke(request, request->db, request->settings, &wanted, NULL,
                                       fault);

    acme->spent = done || fault->reason == ALREADY_REVOKED || fault->reason == ACME_BAD_NONCE;
    return done;
}

bool acme_revoke_cert(struct request *request, struct response *response, struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    struct revocation wanted = {0};
    struct revocable subject;
    enum revocation_reason reason = REVOKED_UNSPECIFIED;

    if (!acme->payload)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the payload must be a JSON object with certificate (RFC 8555 section "
                         "7.6)");
    if (!json_decode(request, acme->payload, revocation_members, &wanted, fault))
        return false;
    const struct certificate *leaf = certificate_from_der(request, wanted.der, fault);
    if (!leaf)
        return false;
    struct rows *rows = acme->leaf_rows ? acme->leaf_rows : acme_leaf_query(request, NULL, fault);
    if (!rows || !ours_check(request, leaf, rows, fault) ||
        !asker_check(request, leaf, rows, fault))
        return false;
    revocable_from_row(request, rows, 0, &subject);
    return state_check(request, &subject, leaf, wanted.code, &reason, fault) &&
           revoke_leaf(request, &subject, reason, fault) && response_empty(response, 200);
}
