/* fcgi/acme/renewal.c: when to renew, and what an order says it renews (RFC 9773, 01 sections 9.6
 * and 12). */
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "lifecycle/renewal_window.h"
#include "pki/renewal_id.h"

#include "core/banned.h"

/* Retry-After where the window has passed already: somebody waits for this renewal. */
#define RETRY_EARLY_S  300
#define POLL_DEFAULT_S 21600

/* What a window is made of. Early renewal was asked of the newest version. */
#define WINDOW_COLUMNS                                                                             \
    "v.certificate_id, v.not_before, v.not_after, coalesce(p.renewal_window_days, 0) AS "          \
    "renewal_window_days, "                                                                        \
    "EXISTS (SELECT 1 FROM certificate_revocations r WHERE r.issuer_id = v.issuer_id "             \
    "         AND r.serial_number = v.serial_number AND r.lifted_at IS NULL) "                     \
    " OR coalesce(m.early_renewal_at <= now() AND m.current_version_id = v.id, false) AS at_once "

/* $1 key identifier of one of our CAs, current or past, $2 serial. */
#define WINDOW_SUBJECT                                                                             \
    "  FROM ca_instances c "                                                                       \
    "  JOIN certificate_versions v ON v.issuer_id = c.issuer_id AND v.serial_number = $2 "         \
    "       AND coalesce(v.ca_id, c.id) = c.id "                                                   \
    "  JOIN managed_certificates m ON m.id = v.certificate_id "                                    \
    "  LEFT JOIN renewal_policies p ON p.id = m.renewal_policy_id "

STATEMENT(acme_renewal_info_read,
          "SELECT " WINDOW_COLUMNS WINDOW_SUBJECT " WHERE c.ski = $1 LIMIT 1");

/* Also the order that the certificate came by; account_id NULL: none of ACME's. */
STATEMENT(
    acme_replaced_read,
    "SELECT " WINDOW_COLUMNS ", o.account_id, "
    "       ARRAY(SELECT (n->>'type') || ':' || (n->>'value') "
    "               FROM jsonb_array_elements(o.identifiers) n) AS names " WINDOW_SUBJECT
    "  LEFT JOIN LATERAL (SELECT * FROM acme_orders s WHERE s.certificate_id = v.certificate_id "
    "                      OFFSET 0) o "
    "       ON o.certificate_version_id = v.id AND o.status = 'valid' "
    " WHERE c.ski = $1 LIMIT 1");

static struct renewal_facts facts_of(const struct rows *rows)
{
    return (struct renewal_facts){
        .not_before = row_time(rows, 0, "not_before"),
        .not_after = row_time(rows, 0, "not_after"),
        .policy_days = row_integer(rows, 0, "renewal_window_days"),
        .at_once = row_bool(rows, 0, "at_once"),
    };
}

static bool window_answer(struct response *response, const struct renewal_facts *facts)
{
    struct request *request = response->request;
    const struct settings *settings = request->settings;
    const struct renewal_window window = renewal_window(facts, clock_now_s());
    const int64_t poll_s = settings->acme_ari_poll_interval_ms / 1000;
    json_t *body = json_object();
    json_t *suggested = json_object();

    json_set_text(suggested, "start", time_to_rfc3339(request, window.start));
    json_set_text(suggested, "end", time_to_rfc3339(request, window.end));
    json_set_new(body, "suggestedWindow", suggested);
    if (facts->at_once)
        json_set_text(body, "explanationURL", settings->acme_ari_explanation_url);
    response_header(response, "Retry-After", "%lld",
                    (long long)(facts->at_once                             ? RETRY_EARLY_S
                                : settings->acme_ari_poll_interval_ms == 0 ? POLL_DEFAULT_S
                                                                           : most(poll_s, 1)));
    response_header(response, "Cache-Control", "no-store");
    return response_json(response, 200, body);
}

bool acme_renewal_info(struct request *request, struct response *response, struct fault *fault)
{
    struct renewal_id id;

    if (!request->settings->acme_ari_enabled)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL,
                         "ACME Renewal Information is disabled on this server");
    if (!renewal_id_from_text(request, request_captured(request, "certificate"), &id, fault))
        return false;
    struct rows *rows = db_query(request, request->db, &acme_renewal_info_read, fault,
                                 BYTEA(id.key_id), TEXT(id.serial));
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, CERTIFICATE_UNKNOWN, NULL,
                         "the certificate is not known to this server");
    const struct renewal_facts facts = facts_of(rows);
    return window_answer(response, &facts);
}

static bool shares_a_name(struct request *request, const struct rows *rows,
                          const struct acme_identifiers *identifiers)
{
    const struct text_list names = row_texts(request, rows, 0, "names");

    for (size_t i = 0; i < identifiers->count; i++)
        if (text_list_has(&names, mem_printf(request, "%s:%s", identifiers->items[i].type,
                                             identifiers->items[i].value)))
            return true;
    return false;
}

bool acme_replaced_find(struct request *request, const char *text,
                        const struct acme_identifiers *identifiers, struct acme_replaced *ret,
                        struct fault *fault)
{
    struct renewal_id id;

    *ret = (struct acme_replaced){0};
    if (!text)
        return true;
    if (!renewal_id_from_text(request, text, &id, fault))
        return false;
    struct rows *rows = db_query(request, request->db, &acme_replaced_read, fault, BYTEA(id.key_id),
                                 TEXT(id.serial));
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, CERTIFICATE_UNKNOWN, "replaces",
                         "the certificate in replaces is not known to this server");
    if (!text_equal(row_text(rows, 0, "account_id"), acme_of(request)->account.id))
        return fault_set(fault, ACME_NOT_OWNER, "replaces",
                         "the certificate in replaces is not one of this account");
    if (!shares_a_name(request, rows, identifiers))
        return fault_set(fault, INPUT_INVALID, "replaces",
                         "the certificate in replaces and this order have no identifier in common");
    const struct renewal_facts facts = facts_of(rows);
    const int64_t now_s = clock_now_s();
    *ret = (struct acme_replaced){
        .ari = text,
        .certificate_id = row_text(rows, 0, "certificate_id"),
        .due = renewal_window(&facts, now_s).start <= now_s,
    };
    return true;
}
