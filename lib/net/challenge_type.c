/* lib/net/challenge_type.c: see challenge_type.h. A wildcard is proved by DNS alone, an address
 * never by it. */
#include "net/challenge_type.h"

#include "core/macro.h"

#include "core/banned.h"

#define NAME_MOST 253

const struct challenge_type challenge_types[] = {
    {"http-01",        true, false, true,  true,  false},
    {"dns-01",         true, true,  false, true,  false},
    {"tls-alpn-01",    true, false, true,  true,  false},
    {"dns-account-01", true, true,  false, false, false},
    {"dns-persist-01", true, true,  false, false, true },
};
const size_t challenge_type_count = ARRAY_SIZE(challenge_types);

const struct challenge_type *challenge_type_find(const char *name)
{
    for (size_t i = 0; i < challenge_type_count; i++)
        if (text_equal(challenge_types[i].name, name))
            return &challenge_types[i];
    return NULL;
}

bool challenge_type_proves(const struct challenge_type *type, const char *identifier_type,
                           bool wildcard)
{
    if (text_equal(identifier_type, "ip"))
        return type->proves_ip;
    return wildcard ? type->proves_wildcard : type->proves_dns;
}

static bool is_name(const char *text)
{
    const size_t length = strlen(text);

    return length > 0 && length <= NAME_MOST &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length;
}

struct text_list challenge_issuers(TALLOC_CTX *ctx, const struct text_list *identities)
{
    struct text_list names = {0};

    for (size_t i = 0; i < identities->count && names.count < CHALLENGE_ISSUERS_MOST; i++) {
        char *name = text_lower(ctx, identities->items[i]);

        if (text_ends(name, "."))
            name[strlen(name) - 1] = '\0';
        if (is_name(name) && !text_list_has(&names, name))
            text_list_add(ctx, &names, name);
    }
    return names;
}
