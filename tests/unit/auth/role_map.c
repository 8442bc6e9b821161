/* tests/unit/auth/role_map.c: grants and their scopes, 06 section 4.3. */
#include "auth/role_map.h"

#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

static struct role_map *map_new(TALLOC_CTX *ctx)
{
    struct role_map *map = mem_new(ctx, struct role_map);

    role_map_add(map, "r-viewer", "cert.read", "global", NULL);
    role_map_add(map, "r-viewer", "issuer.read", "global", NULL);
    role_map_add(map, "r-narrow", "cert.read", "profile", "prof-a");
    role_map_add(map, "r-narrow", "cert.read", "issuer", "iss-a");
    role_map_add(map, "r-actor", "cert.read", "actor", NULL);
    role_map_add(map, "r-odd", "cert.unheard_of", "global", NULL);
    role_map_add(map, "r-last", "auth.user.deactivate", "global", NULL);
    return map;
}

static const struct {
    const char *about;
    const char *grants[3];
    enum permission permission;
    bool allowed;
    bool everything;
    const char *profiles; /* joined by commas */
    const char *issuers;
} cases[] = {
    {"no grant",                      {NULL},                        MAY_CERT_READ,            false, false, "",              ""     },
    {"global and global",             {"r-viewer\tglobal"},          MAY_CERT_READ,            true,  true,  "",              ""     },
    {"a permission it has not",       {"r-viewer\tglobal"},          MAY_CERT_ISSUE,           false, false, "",              ""     },
    {"a role nobody knows",           {"r-ghost\tglobal"},           MAY_CERT_READ,            false, false, "",              ""     },
    {"narrowed by the actor's grant",
     {"r-viewer\tprofile\tprof-b"},
     MAY_CERT_READ,                                                                            true,
     false,                                                                                                  "prof-b",
     ""                                                                                                                              },
    {"narrowed by the role",          {"r-narrow\tglobal"},          MAY_CERT_READ,            true,  false, "prof-a",        "iss-a"},
    {"the same on both sides",
     {"r-narrow\tprofile\tprof-a"},
     MAY_CERT_READ,                                                                            true,
     false,                                                                                                  "prof-a",
     ""                                                                                                                              },
    {"two different ones",            {"r-narrow\tprofile\tprof-b"}, MAY_CERT_READ,            false, false, "",              ""     },
    {"a profile is no issuer",        {"r-narrow\tissuer\tprof-a"},  MAY_CERT_READ,            false, false, "",              ""     },
    {"two grants add up",
     {"r-viewer\tprofile\tprof-b", "r-viewer\tprofile\tprof-c"},
     MAY_CERT_READ,                                                                            true,
     false,                                                                                                  "prof-b,prof-c",
     ""                                                                                                                              },
    {"a global one wins",
     {"r-narrow\tglobal", "r-viewer\tglobal"},
     MAY_CERT_READ,                                                                            true,
     true,                                                                                                   "prof-a",
     "iss-a"                                                                                                                         },
    {"scope actor, by the role",      {"r-actor\tglobal"},           MAY_CERT_READ,            false, false, "",              ""     },
    {"scope actor, by the grant",     {"r-viewer\tactor"},           MAY_CERT_READ,            false, false, "",              ""     },
    {"a scope without its id",        {"r-viewer\tprofile"},         MAY_CERT_READ,            false, false, "",              ""     },
    {"a grant in no order",           {"r-viewer"},                  MAY_CERT_READ,            false, false, "",              ""     },
    {"a permission nobody knows",     {"r-odd\tglobal"},             MAY_CERT_READ,            false, false, "",              ""     },
    {"the catalogue's last",          {"r-last\tglobal"},            MAY_AUTH_USER_DEACTIVATE, true,  true,  "",              ""     },
    {"no permission at all",          {"r-viewer\tglobal"},          PERMISSION_NONE,          false, false, "",              ""     },
};

Test(role_map, allows_what_both_sides_have_in_common)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        const struct role_map *map = map_new(ctx);
        struct text_list roles = {NULL, 0};
        struct permission_scope scope = {
            .profiles = {NULL, 99}
        };

        for (size_t j = 0; j < ARRAY_SIZE(cases[i].grants) && cases[i].grants[j]; j++)
            text_list_add(ctx, &roles, cases[i].grants[j]);
        const bool allowed = role_map_allows(ctx, map, &roles, cases[i].permission, &scope);
        cr_expect_eq(allowed, cases[i].allowed, "%s", cases[i].about);
        if (!allowed) {
            cr_expect_eq(scope.profiles.count, 99, "%s: touched", cases[i].about);
            continue;
        }
        cr_expect_eq(scope.everything, cases[i].everything, "%s", cases[i].about);
        cr_expect_str_eq(text_list_join(ctx, &scope.profiles, ","), cases[i].profiles, "%s",
                         cases[i].about);
        cr_expect_str_eq(text_list_join(ctx, &scope.issuers, ","), cases[i].issuers, "%s",
                         cases[i].about);
    }
}

Test(role_map, permissions_have_one_name_each)
{
    cr_expect_null(permission_name(PERMISSION_NONE));
    cr_expect_null(permission_name(PERMISSION_COUNT));
    cr_expect_eq(permission_from_name("cert.read "), PERMISSION_NONE);
    cr_expect_eq(permission_from_name(NULL), PERMISSION_NONE);
    for (size_t i = PERMISSION_NONE + 1; i < PERMISSION_COUNT; i++)
        cr_expect_eq(permission_from_name(permission_name(i)), i, "%zu", i);
}
