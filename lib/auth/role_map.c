/* lib/auth/role_map.c: from roles to permissions without a join, 06 sections 4.3 and 4.4. */
#include "auth/role_map.h"

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

STATEMENT(auth_role_map, "SELECT r.role_id, p.name AS permission, r.scope_type, r.scope_id"
                         "  FROM role_permissions r JOIN permissions p ON p.id = r.permission_id"
                         " ORDER BY r.role_id, r.scope_type, r.scope_id, p.name");

struct scope {
    enum scope_kind kind;
    const char *id;
};

static struct scope scope_from(const char *type, const char *id)
{
    if (text_equal(type, "global"))
        return (struct scope){SCOPE_GLOBAL, NULL};
    if (text_equal(type, "profile") && id)
        return (struct scope){SCOPE_PROFILE, id};
    if (text_equal(type, "issuer") && id)
        return (struct scope){SCOPE_ISSUER, id};
    return (struct scope){SCOPE_OTHER, NULL};
}

static bool scope_equal(struct scope a, struct scope b)
{
    return a.kind == b.kind && (a.kind == SCOPE_GLOBAL || text_equal(a.id, b.id));
}

/* One global: the other. Both the same: that. Two different ones have nothing in common. */
static struct scope scope_common(struct scope a, struct scope b)
{
    if (a.kind == SCOPE_GLOBAL)
        return b;
    if (b.kind == SCOPE_GLOBAL || scope_equal(a, b))
        return a;
    return (struct scope){SCOPE_OTHER, NULL};
}

static struct role_grant *grant_of(struct role_map *map, const char *role_id, struct scope scope)
{
    for (size_t i = 0; i < map->count; i++) {
        struct role_grant *grant = &map->grants[i];
        if (text_equal(grant->role_id, role_id) &&
            scope_equal((struct scope){grant->scope, grant->scope_id}, scope))
            return grant;
    }
    map->grants = mem_resize(map, map->grants, struct role_grant, map->count + 1);
    struct role_grant *grant = &map->grants[map->count++];
    *grant = (struct role_grant){.role_id = mem_text(map, role_id),
                                 .scope = scope.kind,
                                 .scope_id = mem_text(map, scope.id)};
    return grant;
}

void role_map_add(struct role_map *map, const char *role_id, const char *permission,
                  const char *scope_type, const char *scope_id)
{
    const enum permission number = permission_from_name(permission);
    const struct scope scope = scope_from(scope_type, scope_id);

    if (number == PERMISSION_NONE || scope.kind == SCOPE_OTHER)
        return;
    grant_of(map, role_id, scope)->mask[number / 64] |= UINT64_C(1) << number % 64;
}

struct role_map *role_map_read(TALLOC_CTX *ctx, struct db *db, int64_t epoch, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct rows *rows = db_query_params(scratch, db, &auth_role_map, fault, NULL, 0);

    if (!rows)
        return NULL;
    struct role_map *map = mem_new(ctx, struct role_map);
    map->epoch = epoch;
    for (size_t i = 0; i < rows->count; i++)
        role_map_add(map, row_text(rows, i, "role_id"), row_text(rows, i, "permission"),
                     row_text(rows, i, "scope_type"), row_text(rows, i, "scope_id"));
    return map;
}

static void scope_widen(TALLOC_CTX *ctx, struct permission_scope *scope, struct scope by)
{
    switch (by.kind) {
    case SCOPE_GLOBAL:
        scope->everything = true;
        break;
    case SCOPE_PROFILE:
        text_list_add(ctx, &scope->profiles, by.id);
        break;
    case SCOPE_ISSUER:
        text_list_add(ctx, &scope->issuers, by.id);
        break;
    case SCOPE_OTHER:
        break;
    }
}

/* "role\tscope type\tscope id", the id left out where there is none. */
static void actor_grant_read(char *text, const char **ret_role, struct scope *ret_scope)
{
    char *type = strchr(text, '\t');
    char *id = type ? strchr(type + 1, '\t') : NULL;

    if (type)
        *type++ = '\0';
    if (id)
        *id++ = '\0';
    *ret_role = text;
    *ret_scope = scope_from(type, id);
}

bool role_map_allows(TALLOC_CTX *ctx, const struct role_map *map, const struct text_list *roles,
                     enum permission permission, struct permission_scope *ret_scope)
{
    struct permission_scope scope = {0};

    for (size_t i = 0; i < roles->count; i++) {
        const char *role_id;
        struct scope held;
        actor_grant_read(mem_text(ctx, roles->items[i]), &role_id, &held);
        for (size_t j = 0; j < map->count; j++) {
            const struct role_grant *grant = &map->grants[j];
            if (text_equal(grant->role_id, role_id) &&
                grant->mask[permission / 64] >> permission % 64 & 1U)
                scope_widen(ctx, &scope,
                            scope_common(held, (struct scope){grant->scope, grant->scope_id}));
        }
    }
    if (permission == PERMISSION_NONE ||
        (!scope.everything && scope.profiles.count + scope.issuers.count == 0))
        return false;
    *ret_scope = scope;
    return true;
}
