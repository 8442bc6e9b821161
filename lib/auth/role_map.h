/* lib/auth/role_map.h: which role holds which permission, compiled once a change (06 section 4.4).
 *
 * A worker keeps one map with the epoch that it was read at. Admission returns the epoch in force;
 * when it differs the map is read anew before anything is judged by it. */
#ifndef CERTCTL_AUTH_ROLE_MAP_H
#define CERTCTL_AUTH_ROLE_MAP_H

#include <stdint.h>

#include "auth/permission.h"
#include "core/fault.h"
#include "db/db.h"

enum scope_kind { SCOPE_GLOBAL, SCOPE_PROFILE, SCOPE_ISSUER, SCOPE_OTHER };

/* One role at one scope. SCOPE_OTHER covers nothing: a kind of scope that this build cannot judge
 * must not widen anything. */
struct role_grant {
    const char *role_id;
    enum scope_kind scope;
    const char *scope_id; /* of SCOPE_PROFILE and SCOPE_ISSUER */
    uint64_t mask[(PERMISSION_COUNT + 63) / 64];
};

struct role_map {
    int64_t epoch;
    struct role_grant *grants;
    size_t count;
};

/* Reads it; one round trip. Child of ctx, or NULL with the fault. */
struct role_map *role_map_read(TALLOC_CTX *ctx, struct db *db, int64_t epoch, struct fault *fault);

/* Adds one row of role_permissions; names and scopes that are unknown add nothing. */
void role_map_add(struct role_map *map, const char *role_id, const char *permission,
                  const char *scope_type, const char *scope_id);

/* `roles` are the actor's grants, "role<TAB>scope type[<TAB>scope id]". What the actor's grant and
 * the role's own scope have in common counts. False: the permission is held for nothing. Texts of
 * the scope hang on ctx. */
bool role_map_allows(TALLOC_CTX *ctx, const struct role_map *map, const struct text_list *roles,
                     enum permission permission, struct permission_scope *ret_scope);

#endif
