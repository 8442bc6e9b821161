/* tests/unit/resource/sample.c: a resource with one filter of each kind. */
#include "sample.h"

#include "core/macro.h"

#include "core/banned.h"

static const char *const members[] = {"id", "name", "created_at", NULL};

static const struct resource_alias aliases[] = {
    {"madeOn", "created_at"},
};

static const struct resource_filter filters[] = {
    {"state",  FILTER_CHOICE, "v.state = $", "Active|Gone"},
    {"label",  FILTER_TEXT,   "v.label = $", NULL         },
    {"owner",  FILTER_ID,     "v.owner = $", NULL         },
    {"before", FILTER_TIME,   "v.made < $",  NULL         },
    {"on",     FILTER_BOOL,   "v.on = $",    NULL         },
    {"tag",    FILTER_MAP,    "v.tags @> $", NULL         },
};

static const struct resource_sort sorts[] = {
    {"created_at", "madeOn", "v.made", SORT_TIME},
    {"name",       NULL,     "v.name", SORT_TEXT},
};

const struct resource sample = {
    .name = "samples",
    .label = "Sample",
    .view = "api_samples",
    .read = MAY_CERT_READ,
    .members = members,
    .aliases = aliases,
    .alias_count = ARRAY_SIZE(aliases),
    .filters = filters,
    .filter_count = ARRAY_SIZE(filters),
    .sorts = sorts,
    .sort_count = ARRAY_SIZE(sorts),
    .scope_profile = "profile_id",
    .cursor = true,
};
