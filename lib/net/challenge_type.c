/* lib/net/challenge_type.c: see challenge_type.h. A wildcard is proved by DNS alone, an address
 * never by it. */
#include "net/challenge_type.h"

#include "core/macro.h"
#include "core/text.h"

#include "core/banned.h"

const struct challenge_type challenge_types[] = {
    {"http-01",        true, false, true,  true },
    {"dns-01",         true, true,  false, true },
    {"tls-alpn-01",    true, false, true,  true },
    {"dns-account-01", true, true,  false, false},
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
