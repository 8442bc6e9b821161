/* lib/resource/get.c: one object in one query, 05 section 2.5. */
#include "core/id.h"
#include "core/memory.h"
#include "resource/resource_private.h"
#include "web/condition.h"

#include "core/banned.h"

/* "*" asks whether there is anything at all: it is answered here, since no tag is spelled so. */
bool resource_get(struct request *request, struct response *response,
                  const struct resource_set *set, const struct resource *resource,
                  const struct permission_scope *scope, struct fault *fault)
{
    const char *id = request_captured(request, "id");
    const struct text_list tags = condition_none_match(request, request);
    struct query query = {0};

    if (!id_valid(id))
        return fault_set(fault, INPUT_INVALID, "id", "%s ID is invalid", resource->label);
    if (!query_parse(request, request->query, &query, fault))
        return false;
    if (query.count > 0 && preference_strict(request))
        return fault_set(fault, INPUT_INVALID, "query", "unknown query parameter %s",
                         text_quote(request, query.items[0].name));
    const struct rows *rows = db_query(
        request, request->db, &resource_statements_of(set, resource)->get, fault, TEXT(id),
        TEXTS(&tags), TEXTS(scope->everything ? NULL : &scope->profiles),
        TEXTS(scope->everything ? NULL : &scope->issuers));
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "%s not found", resource->label);
    if (!row_bool(rows, 0, "allowed"))
        return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");

    const char *tag = row_text(rows, 0, "tag");
    condition_etag(response, tag);
    if (condition_matches(&tags, tag))
        return response_empty(response, 304);
    return response_json_text(response, 200, row_text(rows, 0, "doc"));
}
