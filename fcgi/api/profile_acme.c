/* fcgi/api/profile_acme.c: see profile_acme.h. What a responder does with each setting is
 * fcgi/acme/profile.c; a setting that nothing obeys yet can only be its default. */
#include "profile_acme.h"

#include "core/auto.h"
#include "core/id.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/memory.h"
#include "net/challenge_type.h"
#include "net/forwarder.h"
#include "resource/field.h"

#include "core/banned.h"

#define PREFIX    "acme."
#define LIST_MOST 16

#define SELECTABLE PREFIX "selectable_profiles"

/* $1 profile, $2 settings or NULL. The profile's row is locked. */
STATEMENT(api_profile_acme_write,
          "WITH gone AS (DELETE FROM acme_profile_settings s WHERE s.profile_id = $1::text AND "
          "$2::text IS NULL) INSERT INTO acme_profile_settings AS s (profile_id, settings) "
          "SELECT $1::text, $2::text::jsonb WHERE $2::text IS NOT NULL "
          "ON CONFLICT (profile_id) DO UPDATE SET settings = EXCLUDED.settings, "
          "updated_at = now() WHERE s.settings <> EXCLUDED.settings");

/* $1 profiles that are named. Until the commit nobody deletes them. */
STATEMENT(api_profile_acme_named, "SELECT c.id FROM certificate_profiles c "
                                  "WHERE c.id = ANY ($1::text[]) ORDER BY c.id FOR KEY SHARE");

/* $1 profile. */
STATEMENT(api_profile_acme_namers,
          "SELECT s.profile_id FROM acme_profile_settings s WHERE s.profile_id <> $1::text "
          "AND s.settings->'selectable_profiles' ? $1::text LIMIT 1");

/* A list that names something, each of them known; `known` tells them all. */
static void check_names(const struct resource_field *field, const json_t *value,
                        const struct text_list *known, struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (json_array_size(value) == 0)
        fault_list_add(problems, INPUT_INVALID, field->name, "%s must name at least one type",
                       field->name);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!text_list_has(known, name))
            fault_list_add(problems, INPUT_INVALID, field->name, "%s[%zu]: %s is none of %s",
                           field->name, i, text_quote(scratch, name),
                           text_list_join(scratch, known, ", "));
    }
}

static void check_challenge_types(const struct resource_field *field, const json_t *value,
                                  struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list names = {0};

    for (size_t i = 0; i < challenge_type_count; i++)
        text_list_add(scratch, &names, challenge_types[i].name);
    check_names(field, value, &names, problems);
}

static void check_identifier_types(const struct resource_field *field, const json_t *value,
                                   struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list names = text_split(scratch, "dns|ip", '|');

    check_names(field, value, &names, problems);
}

static void check_resolver(const struct resource_field *field, const json_t *value,
                           struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *problem = forwarders_problem(scratch, json_string_value(value));

    if (problem)
        fault_list_add(problems, INPUT_INVALID, field->name,
                       "%s: %s is not an address and a port, nor " FORWARDER_RECURSIVE, field->name,
                       text_quote(scratch, problem));
}

/* Whether they are there is looked at where the profile is written. */
static void check_profiles(const struct resource_field *field, const json_t *value,
                           struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *id = json_string_value(json_array_get(value, i));
        if (!id_valid(id))
            fault_list_add(problems, INPUT_INVALID, field->name, "%s[%zu]: %s is not an id",
                           field->name, i, text_quote(scratch, id));
    }
}

/* No part of the server obeys it yet: what would be promised and not kept is refused. */
static void check_is_default(const struct resource_field *field, const json_t *value,
                             struct fault_list *problems)
{
    if (json_is_true(value) || json_array_size(value) > 0 || json_integer_value(value) > 0)
        fault_list_add(problems, INPUT_INVALID, field->name, "%s is not offered by this server",
                       field->name);
}

static const struct resource_field settings[] = {
    FIELD(PREFIX "eab_required", BOOLEAN),
    FIELD(PREFIX "challenge_types", TEXTS, .most = LIST_MOST, .check = check_challenge_types),
    FIELD(PREFIX "identifier_types", TEXTS, .most = LIST_MOST, .check = check_identifier_types),
    FIELD(PREFIX "allow_wildcard", BOOLEAN),
    FIELD(PREFIX "allow_single_label", BOOLEAN),
    FIELD(PREFIX "preauthorization", BOOLEAN),
    FIELD(PREFIX "authz_reuse", BOOLEAN),
    FIELD(PREFIX "caa", CHOICE, .choices = "on|off|inherit"),
    FIELD(PREFIX "resolver", TEXT, .most = 512, .check = check_resolver),
    FIELD(SELECTABLE, TEXTS, .most = LIST_MOST, .check = check_profiles),
    FIELD(PREFIX "require_mtls", BOOLEAN),
    FIELD(PREFIX "perspectives_required", INTEGER, .most = LIST_MOST, .check = check_is_default),
};

static const struct resource_field *setting_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (text_equal(settings[i].name + strlen(PREFIX), name))
            return &settings[i];
    return NULL;
}

void profile_acme_check(const struct resource_field *field, const json_t *value,
                        struct fault_list *problems)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *object = json_deep_copy(value); /* Jansson iterates over no const object */
    const char *name;
    json_t *item;

    json_object_foreach (object, name, item) {
        const struct resource_field *setting = setting_find(name);
        if (setting)
            field_judge(setting, item, problems);
        else
            fault_list_add(problems, INPUT_INVALID, field->name, "%s has no member %s", field->name,
                           text_quote(scratch, name));
    }
}

void profile_acme_adapt(const struct request *request, json_t *body)
{
    json_t *object = json_object_get(body, "acme");
    const char *name;
    json_t *item;
    void *next;

    if (request->method == PATCH)
        return; /* RFC 7396 says what null is */
    json_object_foreach_safe (object, next, name, item)
        if (json_is_null(item))
            (void)json_object_del(object, name);
}

/* Whether one of the types named, or of the usual ones, proves it. */
static bool provable(const json_t *types, const char *identifier_type, bool wildcard)
{
    for (size_t i = 0; i < challenge_type_count; i++) {
        const struct challenge_type *type = &challenge_types[i];
        bool named = !types && type->by_default;

        for (size_t j = 0; j < json_array_size(types); j++)
            named = named || text_equal(json_string_value(json_array_get(types, j)), type->name);
        if (named && challenge_type_proves(type, identifier_type, wildcard))
            return true;
    }
    return false;
}

/* What is merely the default and cannot be proved is refused to clients, name by name; what was
 * said aloud and cannot be kept is a mistake. Where accounts are trusted nothing is proved. */
void profile_acme_check_mode(const json_t *row, struct fault_list *problems)
{
    const json_t *acme = json_object_get(row, "acme");
    const json_t *types = json_object_get(acme, "challenge_types");
    const json_t *identifiers = json_object_get(acme, "identifier_types");

    if (!text_equal(json_text_at(row, "acme_auth_mode"), "challenge"))
        return;
    for (size_t i = 0; i < json_array_size(identifiers); i++) {
        const char *name = json_string_value(json_array_get(identifiers, i));
        if (!provable(types, name, false))
            fault_list_add(problems, INPUT_INVALID, PREFIX "identifier_types",
                           "acme.identifier_types[%zu]: \"%s\" cannot be proved by any of "
                           "acme.challenge_types",
                           i, name);
    }
    if (json_is_true(json_object_get(acme, "allow_wildcard")) && !provable(types, "dns", true))
        fault_list_add(problems, INPUT_INVALID, PREFIX "allow_wildcard",
                       "acme.allow_wildcard: a wildcard cannot be proved by any of "
                       "acme.challenge_types");
}

static const json_t *selectable_of(const json_t *row)
{
    return json_object_get(json_object_get(row, "acme"), "selectable_profiles");
}

static bool not_deleted_while_named(const struct resource_change *change, struct fault *fault)
{
    struct request *request = change->request;
    const struct rows *rows = db_query(request, request->db, &api_profile_acme_namers, fault,
                                       TEXT(change->id));

    if (!rows)
        return false;
    if (rows->count > 0)
        return fault_set(fault, RESOURCE_IN_USE, NULL,
                         "Cannot delete profile: orders of another profile may select it");
    return true;
}

static bool unknown(const struct resource_change *change, const char *id, size_t place,
                    struct fault *fault)
{
    return fault_set(fault, DATABASE_REFERENCE, SELECTABLE, SELECTABLE "[%zu]: no such profile %s",
                     place, text_quote(change->request, id));
}

/* What the change names and the stored row does not have so. */
static struct text_list newly_named(const struct resource_change *change)
{
    const json_t *named = selectable_of(change->row);
    struct text_list ids = {0};

    if (json_equal(named, selectable_of(change->stored)) == 1)
        return ids;
    for (size_t i = 0; i < json_array_size(named); i++)
        text_list_add(change->request, &ids, json_string_value(json_array_get(named, i)));
    return ids;
}

bool profile_acme_may_name(const struct resource_change *change, struct fault *fault)
{
    const struct text_list ids = newly_named(change);

    for (size_t i = 0; i < ids.count; i++)
        if (!permission_scope_covers(&change->principal->scope, ids.items[i], NULL))
            return unknown(change, ids.items[i], i, fault);
    return true;
}

static bool is_there(const struct rows *rows, const char *id)
{
    for (size_t i = 0; i < rows->count; i++)
        if (text_equal(row_text(rows, i, "id"), id))
            return true;
    return false;
}

bool profile_acme_refer(const struct resource_change *change, struct fault *fault)
{
    struct request *request = change->request;

    if (change->verb == RESOURCE_DELETE)
        return not_deleted_while_named(change, fault);
    const struct text_list ids = newly_named(change);
    if (ids.count == 0)
        return true;
    const struct rows *rows = db_query(request, request->db, &api_profile_acme_named, fault,
                                       TEXTS(&ids));
    if (!rows)
        return false;
    for (size_t i = 0; i < ids.count; i++) {
        if (text_equal(ids.items[i], change->id))
            return fault_set(fault, INPUT_INVALID, SELECTABLE,
                             SELECTABLE "[%zu]: %s is this profile itself", i,
                             text_quote(request, ids.items[i]));
        if (!is_there(rows, ids.items[i]))
            return unknown(change, ids.items[i], i, fault);
    }
    return true;
}

bool profile_acme_store(const struct resource_change *change, struct fault *fault)
{
    struct request *request = change->request;
    const json_t *acme = json_object_get(change->row, "acme");

    if (!acme)
        return true;
    return db_query(request, request->db, &api_profile_acme_write, fault, TEXT(change->id),
                    TEXT(json_is_null(acme) ? NULL : json_to_text(request, acme))) != NULL;
}
