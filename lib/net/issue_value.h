/* lib/net/issue_value.h: a domain and parameters, as CAA's "issue" and the records of
 * dns-persist-01 have them (RFC 8659 section 4.2). */
#ifndef CERTCTL_NET_ISSUE_VALUE_H
#define CERTCTL_NET_ISSUE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <talloc.h>

#include "core/bytes.h"

struct issue_parameter {
    const char *tag;
    const char *value;
};

struct issue_value {
    const char *domain; /* empty: none is named */
    struct issue_parameter *parameters;
    size_t count;
    bool ends_open; /* its last semicolon has nothing behind it: "ca.test;", "ca.test; a=b;" */
};

/* What *ret points to is on ctx. False: not of that form. */
bool issue_value_read(TALLOC_CTX *ctx, struct bytes text, struct issue_value *ret) MUST_USE;
/* What a parameter says, its tag in any case; *ret is NULL where there is none. False: it stands
 * twice, and who believed one of them might believe the wrong one (RFC 8657 section 3). */
bool issue_value_find(const struct issue_value *value, const char *tag, const char **ret) MUST_USE;

#endif
