/* lib/auth/permission.h: what a route may ask for, how a grant may be narrowed (06 section 4). */
#ifndef CERTCTL_AUTH_PERMISSION_H
#define CERTCTL_AUTH_PERMISSION_H

#include "core/text.h"

enum permission {
    PERMISSION_NONE, /* no route has it: what nobody decided is refused */
#define PERMISSION(name, text) name,
#include "auth/permission.def"
#undef PERMISSION
    PERMISSION_COUNT,
};

/* "cert.read"; NULL for PERMISSION_NONE and what is beyond the list. */
const char *permission_name(enum permission permission);
/* PERMISSION_NONE where there is no such name. */
enum permission permission_from_name(const char *name);

/* The objects that a permission holds for: all, or those of these profiles and issuers. Texts
 * belong to whoever filled it. */
struct permission_scope {
    bool everything;
    struct text_list profiles;
    struct text_list issuers;
};

/* Whether it holds for an object of that profile (or NULL) and issuer. */
bool permission_scope_covers(const struct permission_scope *scope, const char *profile_id,
                             const char *issuer_id);

#endif
