/* lib/issuer/drivers.c: the one list of issuer drivers. */
#include "issuer/issuer.h"

#include "core/text.h"

#include "core/banned.h"

static const struct issuer_ops *const issuer_drivers[] = {&issuer_local};

const struct issuer_ops *issuer_find(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(issuer_drivers); i++)
        if (text_equal(issuer_drivers[i]->type, type))
            return issuer_drivers[i];
    return NULL;
}
