/* lib/resource/write.c: POST, PUT, PATCH and DELETE of one object (05 sections 2.5, 2.7, 2.9, 7).
 *
 * One transaction: lock, read, merge, judge, write with the audit row, read for the answer. What a
 * deadlock undid is done again. */
#include "resource/write.h"

#include <time.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/id.h"
#include "core/json.h"
#include "core/memory.h"
#include "resource/resource_private.h"
#include "web/body.h"
#include "web/condition.h"

#include "core/banned.h"

#define TRIES       3
#define ID_TRIES    100
#define DETAILS_MAX 16384 /* 06 section 11.2 */
#define PAUSE_NS    30000000L

/* One request on its way. */
struct writing {
    struct resource_change change;
    struct response *response;
    enum body_manner manner;
    json_t *body; /* NULL: DELETE */
    bool strict;
    struct text_list ignored;
    struct fault_list *problems;
    unsigned id_attempt;
};

static json_t *kept(struct request *request, json_t *value)
{
    return value ? mem_adopt(request, value, json_decref) : NULL;
}

static bool forbidden(struct fault *fault)
{
    return fault_set(fault, FORBIDDEN, NULL, "Insufficient permissions");
}

/* Fills what the row is now. The change's transaction is open. */
static bool read_row(struct resource_change *change, bool *ret_allowed, struct fault *fault)
{
    const struct permission_scope *scope = &change->principal->scope;
    struct request *request = change->request;
    const struct resource_statements *made = resource_statements_of(change->set, change->resource);
    const struct rows *rows = db_query(request, request->db, &made->read, fault, TEXT(change->id),
                                       TEXTS(scope->everything ? NULL : &scope->profiles),
                                       TEXTS(scope->everything ? NULL : &scope->issuers));
    if (!rows)
        return false;
    if (rows->count == 0)
        return fault_set(fault, RESOURCE_UNKNOWN, NULL, "%s not found", change->resource->label);
    change->tag = row_text(rows, 0, "tag");
    change->doc = row_text(rows, 0, "doc");
    change->row_version = row_integer(rows, 0, "row_version");
    change->stored = kept(request, json_loads(row_text(rows, 0, "stored"), 0, NULL));
    *ret_allowed = row_bool(rows, 0, "allowed");
    return true;
}

static bool lock_row(struct resource_change *change, bool *ret_allowed, struct fault *fault)
{
    const struct resource_statements *made = resource_statements_of(change->set, change->resource);

    return db_query(change->request, change->request->db, &made->lock, fault, TEXT(change->id)) &&
           read_row(change, ret_allowed, fault);
}

static const char *audit_details(const struct resource_change *change)
{
    TALLOC_CTX *ctx = change->request;
    AUTO(json_t) *details = json_object();

    json_set_new(details, "changes",
                 fields_diff(change->resource->write, change->stored, change->row));
    const char *text = json_to_text(ctx, details);
    if (strlen(text) <= DETAILS_MAX)
        return text;
    return mem_printf(ctx, "{\"truncated\":true,\"sha256\":\"%s\"}",
                      digest_sha256_hex(ctx, bytes_of_text(text)));
}

/* The row with what hooks added, by column; NULL for a deletion. */
static const char *columns_text(const struct resource_change *change)
{
    const struct resource_write *write = change->resource->write;
    const char *name;
    json_t *value;

    if (!change->row)
        return NULL;
    AUTO(json_t) *columns = json_object();
    for (size_t i = 0; i < write->field_count; i++) {
        const struct resource_field *field = &write->fields[i];
        if (!(field->flags & FIELD_ELSEWHERE))
            json_set_new(columns, field->column ? field->column : field->name,
                         json_deep_copy(json_object_get(change->row, field->name)));
    }
    json_object_foreach (change->columns, name, value)
        json_set_new(columns, name, json_deep_copy(value));
    return json_to_text(change->request, columns);
}

static const struct statement *statement_of(const struct resource_change *change)
{
    const struct resource_statements *made = resource_statements_of(change->set, change->resource);

    switch (change->verb) {
    case RESOURCE_CREATE:
        return &made->insert;
    case RESOURCE_UPDATE:
        return &made->update;
    case RESOURCE_DELETE:
        break;
    }
    return &made->remove;
}

static bool write_row(struct resource_change *change, const char *action, const char *category,
                      struct fault *fault)
{
    struct request *request = change->request;
    const struct principal *principal = change->principal;
    const struct rows *rows = db_query(
        request, request->db, statement_of(change), fault, TEXT(change->id),
        INTEGER(change->row_version), TEXT(columns_text(change)), TEXT(id_new(request, "audit")),
        TEXT(principal->actor_id), TEXT(principal->actor_type), TEXT(action),
        TEXT(change->resource->write->audit_type), TEXT(audit_details(change)), TEXT(category),
        TEXT(request->settings->audit_record_ip ? request->remote_addr : NULL),
        TEXT(request->request_id));
    if (!rows) {
        write_refusal(change, fault);
        return false;
    }
    if (rows->affected != 1)
        return fault_set(fault, RESOURCE_STATE, NULL, "%s was changed meanwhile",
                         change->resource->label);
    return true;
}

static bool write_with_hooks(struct resource_change *change, const char *action,
                             const char *category, struct fault *fault)
{
    const struct resource_hooks *hooks = &change->resource->write->hooks;

    return (!hooks->before || hooks->before(change, fault)) &&
           write_row(change, action, category, fault) &&
           (change->verb == RESOURCE_DELETE || !hooks->after || hooks->after(change, fault));
}

bool resource_apply(struct resource_change *change, const char *action, const char *category,
                    struct fault *fault)
{
    const int64_t version = change->row_version;
    bool allowed;

    if (!change->columns)
        change->columns = kept(change->request, json_object());
    if (change->verb != RESOURCE_CREATE && !lock_row(change, &allowed, fault))
        return false;
    if (change->row_version != version)
        return fault_set(fault, RESOURCE_STATE, NULL, "%s was changed meanwhile",
                         change->resource->label);
    return write_with_hooks(change, action, category, fault);
}

/* --- what the body says --- */

static bool is_shown(const struct resource *resource, const char *name)
{
    for (size_t i = 0; resource->members[i]; i++)
        if (text_equal(resource->members[i], name))
            return true;
    return false;
}

/* A member that is the server's to set. What repeats the stored value says nothing. */
static void judge_foreign(struct writing *writing, const json_t *doc, const char *name,
                          const json_t *value)
{
    struct request *request = writing->change.request;

    if (json_is_null(value))
        return;
    const bool shown = is_shown(writing->change.resource, name);
    if (shown && json_equal(json_object_get(doc, name), value) == 1)
        return;
    if (!writing->strict)
        text_list_add(request, &writing->ignored, name);
    else if (shown)
        fault_list_add(writing->problems, INPUT_INVALID, mem_text(request, name),
                       "%s cannot be set", name);
    else
        fault_list_add(writing->problems, INPUT_INVALID, mem_text(request, name),
                       "unknown member %s", text_quote(request, name));
}

static void judge_foreigners(struct writing *writing)
{
    const struct resource_change *change = &writing->change;
    AUTO(json_t) *doc = change->doc ? json_loads(change->doc, 0, NULL) : NULL;
    const char *name;
    json_t *value;

    writing->ignored = (struct text_list){NULL, 0};
    json_object_foreach (writing->body, name, value) {
        if (field_is_written(change->resource->write, writing->manner, name) ||
            (text_equal(name, "id") && writing->manner == BODY_NEW &&
             change->resource->write->id_by_client))
            continue;
        judge_foreign(writing, doc, name, value);
    }
    ignored_tell(change->request, writing->response, &writing->ignored, writing->strict);
}

/* The row that shall be, or every reason why it cannot. */
static bool judge_body(struct writing *writing, struct fault *fault)
{
    struct resource_change *change = &writing->change;
    const struct resource_write *write = change->resource->write;

    judge_foreigners(writing);
    change->row = kept(change->request, fields_merge(write, writing->manner, change->stored,
                                                     writing->body, writing->problems));
    if (write->hooks.check && writing->problems->count == 0)
        write->hooks.check(change, writing->problems);
    if (writing->problems->count == 0)
        return true;
    change->request->problems = writing->problems;
    *fault = writing->problems->items[0];
    return false;
}

/* 05 section 3.1: these are parts of paths, or agents of our own. */
static bool id_is_reserved(const char *id)
{
    static const char *const reserved[] = {
        "retired",      "summary",        "export",       "bulk",         "bulk-revoke",
        "bulk-renew",   "bulk-reassign",  "openapi.json", "openapi.yaml", "server-scanner",
        "cloud-aws-sm", "cloud-azure-kv", "cloud-gcp-sm",
    };

    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (text_equal(reserved[i], id))
            return true;
    return false;
}

static void judge_id_wish(struct writing *writing)
{
    const json_t *wish = json_object_get(writing->body, "id");

    if (!writing->change.resource->write->id_by_client || !wish || json_is_null(wish) ||
        text_equal(json_string_value(wish), ""))
        return;
    const char *id = json_string_value(wish);
    if (!id || !id_valid(id))
        fault_list_add(writing->problems, INPUT_INVALID, "id",
                       "id must be 1 to 128 of A-Z a-z 0-9 . _ -");
    else if (id_is_reserved(id))
        fault_list_add(writing->problems, INPUT_INVALID, "id", "id is reserved");
    else
        writing->change.id = id;
}

static bool id_is_made(const struct writing *writing)
{
    return writing->change.resource->write->make_id &&
           !json_string_length(json_object_get(writing->body, "id"));
}

static void make_id(struct writing *writing)
{
    struct resource_change *change = &writing->change;
    const struct resource_write *write = change->resource->write;

    if (id_is_made(writing))
        change->id = write->make_id(change->request, change->row, writing->id_attempt);
    else if (!change->id)
        change->id = id_new(change->request, write->id_prefix);
}

/* --- answers --- */

static bool answer(struct writing *writing, unsigned status)
{
    struct response *response = writing->response;

    condition_etag(response, writing->change.tag);
    return response_json_text(response, status, writing->change.doc);
}

static bool answer_written(struct writing *writing, unsigned status, struct fault *fault)
{
    struct resource_change after = writing->change;
    bool allowed = false;

    if (!read_row(&after, &allowed, fault))
        return false;
    if (!allowed) /* nobody moves an object to where he has no say */
        return forbidden(fault);
    writing->change.tag = after.tag;
    writing->change.doc = after.doc;
    return answer(writing, status);
}

static void tell_location(struct writing *writing)
{
    const struct request *request = writing->change.request;
    char *target = mem_text(writing->change.request, "");

    for (size_t i = 0; i < request->segment_count; i++)
        target = mem_append(target, "/%s", request->segments[i]);
    response_header(writing->response, "Location", "%s/%s", target, writing->change.id);
}

/* True where the gate lets it pass. */
static bool gate(struct writing *writing, struct fault *fault)
{
    const struct resource_hooks *hooks = &writing->change.resource->write->hooks;

    return !hooks->gate || hooks->gate(&writing->change, writing->response, fault);
}

static bool store(struct writing *writing, struct fault *fault)
{
    struct resource_change *change = &writing->change;
    const struct resource_write *write = change->resource->write;

    return write_with_hooks(change, write->actions[change->verb], write->category, fault);
}

/* --- the three acts, each inside a transaction --- */

static bool create(struct writing *writing, struct fault *fault)
{
    make_id(writing);
    if (!gate(writing, fault))
        return false;
    if (writing->response->started)
        return true;
    if (!store(writing, fault) || !answer_written(writing, 201, fault))
        return false;
    tell_location(writing);
    return true;
}

static bool lock_and_check(struct writing *writing, struct fault *fault)
{
    struct resource_change *change = &writing->change;
    bool allowed = false;

    if (!lock_row(change, &allowed, fault))
        return false;
    if (!allowed)
        return forbidden(fault);
    return condition_if_match(change->request, change->tag, fault);
}

/* What changes nothing is answered with what there is, and leaves no audit row. */
static bool update(struct writing *writing, struct fault *fault)
{
    struct resource_change *change = &writing->change;

    if (!lock_and_check(writing, fault) || !judge_body(writing, fault))
        return false;
    if (json_equal(change->stored, change->row) == 1)
        return answer(writing, 200);
    if (!gate(writing, fault))
        return false;
    if (writing->response->started)
        return true;
    return store(writing, fault) && answer_written(writing, 200, fault);
}

static bool remove_one(struct writing *writing, struct fault *fault)
{
    if (!lock_and_check(writing, fault) || !gate(writing, fault))
        return false;
    if (writing->response->started)
        return true;
    return store(writing, fault) && response_empty(writing->response, 204);
}

/* --- transactions --- */

typedef bool act_function(struct writing *writing, struct fault *fault);

static bool attempt(struct writing *writing, act_function *act, struct fault *fault)
{
    struct db *db = writing->change.request->db;

    writing->response->started = false;
    writing->problems->count = 0;
    writing->change.columns = kept(writing->change.request, json_object());
    if (!db_begin(db, fault))
        return false;
    if (act(writing, fault))
        return db_commit(db, fault);
    db_rollback(db);
    return false;
}

/* Whether a deadlock or a race for a made id undid it, so that it may be done again. */
static bool worth_another(struct writing *writing, unsigned tries, const struct fault *fault)
{
    const struct db_refusal *refusal = db_refusal(writing->change.request->db);

    if (fault->reason == DATABASE_DUPLICATE && writing->change.verb == RESOURCE_CREATE &&
        id_is_made(writing) && text_ends(refusal->constraint, "_pkey"))
        return ++writing->id_attempt < ID_TRIES;
    if (fault->reason != DATABASE_BUSY || tries >= TRIES ||
        !(text_equal(refusal->sqlstate, "40P01") || text_equal(refusal->sqlstate, "40001")))
        return false;
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    (void)nanosleep(&pause, NULL);
    return true;
}

static bool transact(struct writing *writing, act_function *act, struct fault *fault)
{
    for (unsigned tries = 1;; tries++) {
        if (attempt(writing, act, fault))
            return true;
        if (!worth_another(writing, tries, fault))
            return false;
        *fault = (struct fault){0};
    }
}

static bool query_acceptable(const struct writing *writing, struct fault *fault)
{
    struct request *request = writing->change.request;
    struct query query = {0};

    if (!query_parse(request, request->query, &query, fault))
        return false;
    if (query.count > 0 && writing->strict)
        return fault_set(fault, INPUT_INVALID, "query", "unknown query parameter %s",
                         text_quote(request, query.items[0].name));
    return true;
}

static struct writing writing_of(struct request *request, struct response *response,
                                 const struct resource_set *set, const struct resource *resource,
                                 const struct principal *principal, enum resource_verb verb)
{
    return (struct writing){
        .change = {.request = request,
                   .set = set,
                   .resource = resource,
                   .principal = principal,
                   .verb = verb},
        .response = response,
        .strict = preference_strict(request),
        .problems = mem_new(request, struct fault_list),
    };
}

static bool read_body(struct writing *writing, struct fault *fault)
{
    struct request *request = writing->change.request;
    const struct resource_hooks *hooks = &writing->change.resource->write->hooks;

    writing->body = kept(request, request_json(request, fault));
    if (!writing->body)
        return false;
    if (hooks->adapt)
        hooks->adapt(request, writing->change.verb, writing->body);
    return true;
}

/* A scoped grant never covers what has no scope yet; where the new object will lie in one, that is
 * looked at before the commit. */
static bool may_create(const struct resource *resource, const struct permission_scope *scope)
{
    return scope->everything ||
           (resource->scope_profile && !text_equal(resource->scope_profile, "id")) ||
           (resource->scope_issuer && !text_equal(resource->scope_issuer, "id"));
}

bool resource_create(struct request *request, struct response *response,
                     const struct resource_set *set, const struct resource *resource,
                     const struct principal *principal, struct fault *fault)
{
    struct writing writing = writing_of(request, response, set, resource, principal,
                                        RESOURCE_CREATE);

    writing.manner = BODY_NEW;
    if (!may_create(resource, &principal->scope))
        return forbidden(fault);
    if (!query_acceptable(&writing, fault) || !read_body(&writing, fault))
        return false;
    judge_id_wish(&writing);
    return judge_body(&writing, fault) && transact(&writing, create, fault);
}

static bool with_id(struct writing *writing, struct fault *fault)
{
    writing->change.id = request_captured(writing->change.request, "id");
    if (!id_valid(writing->change.id))
        return fault_set(fault, INPUT_INVALID, "id", "%s ID is invalid",
                         writing->change.resource->label);
    return query_acceptable(writing, fault);
}

bool resource_put(struct request *request, struct response *response,
                  const struct resource_set *set, const struct resource *resource,
                  const struct principal *principal, struct fault *fault)
{
    struct writing writing = writing_of(request, response, set, resource, principal,
                                        RESOURCE_UPDATE);

    writing.manner = BODY_PUT;
    return with_id(&writing, fault) && read_body(&writing, fault) &&
           transact(&writing, update, fault);
}

bool resource_patch(struct request *request, struct response *response,
                    const struct resource_set *set, const struct resource *resource,
                    const struct principal *principal, struct fault *fault)
{
    struct writing writing = writing_of(request, response, set, resource, principal,
                                        RESOURCE_UPDATE);

    writing.manner = BODY_PATCH;
    return with_id(&writing, fault) && read_body(&writing, fault) &&
           transact(&writing, update, fault);
}

bool resource_delete(struct request *request, struct response *response,
                     const struct resource_set *set, const struct resource *resource,
                     const struct principal *principal, struct fault *fault)
{
    struct writing writing = writing_of(request, response, set, resource, principal,
                                        RESOURCE_DELETE);

    return with_id(&writing, fault) && transact(&writing, remove_one, fault);
}
