/* fcgi/api/export.c: a certificate with its chain, PEM or PKCS#12, never a key (04 section 14). */
#include "core/auto.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/api/api.h"
#include "lifecycle/ca_order.h"
#include "pki/pkcs12.h"
#include "web/body.h"
#include "web/query.h"

#include "core/banned.h"

#define PASSWORD_MAX 256
#define WAIT_S       3600

/* $1 certificate, $2 actor, $3 exports an hour, $4 and $5 where the asker may read, or NULL. */
STATEMENT(api_export_open, "SELECT allowed, serial_number, pem_chain, retry_after "
                           "FROM certificate_export($1, $2, $3::integer, $4::text[], $5::text[])");

/* $1 id, $2 action, $3 second id or NULL, $4 its action, $5 actor, $6 its type, $7 certificate,
 * $8 details, $9 address, $10 request. */
STATEMENT(api_export_audit,
          "INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, "
          "details, source_ip, request_id) "
          "SELECT e.id, $5::text, $6::text, e.action, 'certificate', $7::text, $8::text::jsonb, "
          "$9::text::inet, $10::text FROM (VALUES ($1::text, $2::text), ($3::text, $4::text)) "
          "AS e (id, action) WHERE e.id IS NOT NULL");

struct export
{
    const char *id;
    const char *serial;
    struct certificate **chain; /* leaf first; NULL: the limit answered */
    size_t count;
};

static bool audit(struct request *request, const struct export *export, const char *action,
                  const char *second, json_t *details, struct fault *fault)
{
    const struct api_request *api = request->protocol;

    json_set_text(details, "serial", export->serial);
    return db_query(request, request->db, &api_export_audit, fault, TEXT(id_new(request, "audit")),
                    TEXT(action), TEXT(second ? id_new(request, "audit") : NULL), TEXT(second),
                    TEXT(api->principal.actor_id), TEXT(api->principal.actor_type),
                    TEXT(export->id), TEXT(json_to_text(request, details)),
                    TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
                    TEXT(request->request_id));
}

/* The words of the refusal stay, whatever becomes of its row. */
static void audit_failure(struct request *request, const struct export *export, const char *error)
{
    AUTO(json_t) *details = json_object();
    struct fault ignored = {0};

    json_set_text(details, "error", error);
    (void)audit(request, export, "cert_export_failed", NULL, details, &ignored);
}

static bool audit_success(struct request *request, const struct export *export, bool pkcs12,
                          struct fault *fault)
{
    const struct api_request *api = request->protocol;
    AUTO(json_t) *details = json_object();

    json_set_bool(details, "has_private_key", false);
    json_set_text(details, "actor_kind", api->principal.actor_type);
    json_set_text(details, "cipher", pkcs12 ? "AES-256-CBC-PBE2-SHA256" : NULL);
    return audit(request, export, pkcs12 ? "export_pkcs12" : "export_pem",
                 pkcs12 ? "cert_export_pkcs12" : "cert_export_pem", details, fault);
}

/* 05 section 2.2: a body of its own, with our members beside it. */
static bool limited(struct request *request, struct response *response)
{
    json_t *body = json_object();

    json_set_text(body, "error", "rate_limit_exceeded");
    json_set_integer(body, "retry_after_seconds", WAIT_S);
    json_set_text(body, "message", "too many exports; try again later");
    json_set_text(body, "request_id", request->request_id);
    json_set_text(body, "code", "rate_limited");
    response_header(response, "Retry-After", "%d", WAIT_S);
    return response_json(response, 429, body);
}

static struct rows *open_rows(struct request *request, const char *id, struct fault *fault)
{
    const struct api_request *api = request->protocol;
    const struct permission_scope *scope = &api->principal.scope;

    return db_query(request, request->db, &api_export_open, fault, TEXT(id),
                    TEXT(api->principal.actor_id),
                    INTEGER(request->settings->cert_export_rate_limit),
                    TEXTS(scope->everything ? NULL : &scope->profiles),
                    TEXTS(scope->everything ? NULL : &scope->issuers));
}

static bool export_open(struct request *request, struct response *response,
                        struct export *ret_export, struct fault *fault)
{
    const char *id = request_captured(request, "id");
    struct export export = {.id = id};

    if (!id_valid(id))
        return fault_set(fault, INPUT_INVALID, "id", "Certificate ID is invalid");
    const struct rows *rows = open_rows(request, id, fault);
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "Certificate not found");
    if (!row_bool(rows, 0, "allowed"))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
    if (row_integer(rows, 0, "retry_after") > 0)
        return limited(request, response);
    export.serial = row_text(rows, 0, "serial_number");
    if (!ca_chain_read(request, row_text(rows, 0, "pem_chain"), &export.chain, &export.count,
                       fault)) {
        const struct fault cause = *fault;
        audit_failure(request, &export, cause.detail);
        fault_set(fault, RESOURCE_UNREADABLE, NULL, "Certificate data cannot be parsed as X.509");
        return fault_cause(fault, "%s", cause.detail);
    }
    *ret_export = export;
    return true;
}

static char *pem_append(TALLOC_CTX *ctx, char *text, const struct certificate *certificate)
{
    return mem_append(text, "%s", pem_encode(ctx, "CERTIFICATE", certificate->der));
}

static bool wants_download(struct request *request, bool *ret_download, struct fault *fault)
{
    struct query query = {0};

    if (!query_parse(request, request->query, &query, fault))
        return false;
    const char *value = query_value(&query, "download");
    return !value || text_to_bool(value, ret_download) ||
           fault_set(fault, INPUT_INVALID, "download", "`download` must be true or false");
}

static bool answer_pem(struct request *request, struct response *response,
                       const struct export *export, bool download)
{
    char *leaf = pem_append(request, mem_text(request, ""), export->chain[0]);
    char *chain = mem_text(request, "");

    for (size_t i = 1; i < export->count; i++)
        chain = pem_append(request, chain, export->chain[i]);
    const char *whole = mem_printf(request, "%s%s", leaf, chain);
    if (download) {
        response_header(response, "Content-Disposition",
                        "attachment; filename=\"certificate.pem\"");
        return response_bytes(response, 200, "application/x-pem-file", bytes_of_text(whole));
    }
    json_t *body = json_object();
    json_set_text(body, "cert_pem", leaf);
    json_set_text(body, "chain_pem", chain);
    json_set_text(body, "full_pem", whole);
    return response_json(response, 200, body);
}

bool api_export_pem(struct request *request, struct response *response, struct fault *fault)
{
    struct export export = {0};
    bool download = false;

    if (!wants_download(request, &download, fault))
        return false;
    if (!export_open(request, response, &export, fault) ||
        (export.chain && !audit_success(request, &export, false, fault)))
        return api_failed(fault, "Failed to export certificate");
    return !export.chain || answer_pem(request, response, &export, download);
}

struct pkcs12_body {
    const char *password;
};
static const struct member pkcs12_members[] = {
    {"password", MEMBER_TEXT, OPTIONAL, AT(pkcs12_body, password)},
};

static bool password_read(struct request *request, const char **ret_password, struct fault *fault)
{
    AUTO(json_t) *body = request_json_optional(request, fault);
    struct pkcs12_body wanted = {.password = ""};

    if (!body || !json_decode(request, body, pkcs12_members, &wanted, fault))
        return false;
    if (strlen(wanted.password) > PASSWORD_MAX)
        return fault_set(fault, INPUT_INVALID, "password", "password: at most %d bytes",
                         PASSWORD_MAX);
    *ret_password = wanted.password;
    return true;
}

/* The row is written before the file leaves. */
static bool pkcs12_make(struct request *request, const struct export *export, const char *password,
                        struct bytes *ret_file, struct fault *fault)
{
    if (pkcs12_trust_store(request, export->chain, export->count, password, ret_file, fault))
        return audit_success(request, export, true, fault);
    audit_failure(request, export, fault->detail);
    return false;
}

bool api_export_pkcs12(struct request *request, struct response *response, struct fault *fault)
{
    struct export export = {0};
    const char *password = NULL;
    struct bytes file = {0};

    if (!password_read(request, &password, fault))
        return false;
    if (!export_open(request, response, &export, fault) ||
        (export.chain && !pkcs12_make(request, &export, password, &file, fault)))
        return api_failed(fault, "Failed to export PKCS#12");
    if (!export.chain)
        return true;
    api_answer_is_secret(request);
    response_header(response, "Content-Disposition", "attachment; filename=\"certificate.p12\"");
    return response_bytes(response, 200, "application/x-pkcs12", file);
}
