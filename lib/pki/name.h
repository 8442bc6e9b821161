/* lib/pki/name.h: names that a certificate can bear (04 section 6.3, 01 section 9.1). */
#ifndef CERTCTL_PKI_NAME_H
#define CERTCTL_PKI_NAME_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"

enum name_kind { NAME_DNS, NAME_IP, NAME_EMAIL, NAME_URI, NAME_UPN, NAME_OTHER };

struct name {
    enum name_kind kind;
    const char *value; /* DNS in lower case; IP canonical (RFC 5952); others as they came */
};

struct name_list {
    struct name *items;
    size_t count;
};

enum name_flags {
    NAME_ALLOW_WILDCARD = 1,     /* one leading "*." */
    NAME_ALLOW_SINGLE_LABEL = 2, /* "printer" */
};

/* Each normalises or refuses with CSR_NAME_REJECTED and the rule in the detail. U-labels are
 * refused with a hint to use the A-label; xn-- labels must survive libidn2 there and back. */
bool name_dns_normalise(TALLOC_CTX *ctx, const char *text, unsigned flags, const char **ret,
                        struct fault *fault);
/* Canonical text only: inet_pton and back must give the same; no IPv4-mapped IPv6 (RFC 8738). */
bool name_ip_normalise(TALLOC_CTX *ctx, const char *text, const char **ret, struct fault *fault);
/* What an account may be held to (01 section 9.1), as orders have it: a name, "*." and what all
 * names below it end in, or an address. NULL where it is none of these. */
const char *name_pattern_normalise(TALLOC_CTX *ctx, const char *text);
/* 4 or 16 octets to canonical text; a mapped IPv4 is reduced. NULL for other sizes. */
const char *name_ip_from_octets(TALLOC_CTX *ctx, struct bytes octets);
bool name_ip_to_octets(const char *text, uint8_t ret_octets[16], size_t *ret_size);
/* Refuses C0, C1, bidi and zero-width characters, NUL, and labels that mix ASCII letters with
 * another script: "CSR Subject.CommonName rejected: contains zero-width character U+200B at byte
 * offset 4". `what` opens the sentence. */
bool name_text_check(const char *what, const char *text, size_t length, struct fault *fault);

/* Whether a certificate can bear the name at all: NULL, or the rule that it breaks. Letters, digits
 * and hyphens with one "*." in front for DNS, octets for IP, printable ASCII for e-mail and URI,
 * UTF-8 for UPN; NAME_OTHER never. No policy, no normalising. */
const char *name_rule_broken(const struct name *name);

bool name_list_has(const struct name_list *list, const struct name *name);
/* False when it was there already. Keeps first-seen order. */
bool name_list_add(TALLOC_CTX *ctx, struct name_list *list, enum name_kind kind, const char *value);
/* "dns" "ip" "email" "uri" "upn" "other" */
const char *name_kind_text(enum name_kind kind);

#endif
