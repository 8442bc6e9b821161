/* lib/auth/permission.c: the catalogue of permissions, 06 section 4.2. */
#include "auth/permission.h"

#include "core/banned.h"

static const char *const names[PERMISSION_COUNT] = {
#define PERMISSION(name, text) [name] = (text),
#include "auth/permission.def"
#undef PERMISSION
};

const char *permission_name(enum permission permission)
{
    return permission < PERMISSION_COUNT ? names[permission] : NULL;
}

enum permission permission_from_name(const char *name)
{
    for (size_t i = PERMISSION_NONE + 1; i < PERMISSION_COUNT; i++)
        if (text_equal(names[i], name))
            return (enum permission)i; /* below PERMISSION_COUNT */
    return PERMISSION_NONE;
}

bool permission_scope_covers(const struct permission_scope *scope, const char *profile_id,
                             const char *issuer_id)
{
    return scope->everything || text_list_has(&scope->profiles, profile_id) ||
           text_list_has(&scope->issuers, issuer_id);
}
