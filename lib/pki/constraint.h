/* lib/pki/constraint.h: name constraints of a CA as text (RFC 5280 section 4.2.1.10, 04 section
 * 5.3): "example.org" and ".example.org" for DNS, "IP:10.0.0.0/8", "email:a@example.org",
 * "email:example.org", "email:.example.org", "URI:example.org", "URI:.example.org".
 *
 * A DNS name covers itself and all below it, with a leading dot only what is below. A host of
 * e-mail and URI covers itself alone, with a leading dot what is below. */
#ifndef CERTCTL_PKI_CONSTRAINT_H
#define CERTCTL_PKI_CONSTRAINT_H

#include <openssl/x509v3.h>

#include "core/text.h"
#include "pki/name.h"

struct constraint {
    enum name_kind kind; /* NAME_DNS, NAME_IP, NAME_EMAIL, NAME_URI */
    const char *base;    /* behind the prefix, borrowed */
    uint8_t octets[32];  /* NAME_IP: address, then mask */
    size_t size;         /* 8 or 32; 0 for the other kinds */
};

/* False: the text is none. What a DNS name may hold is not looked at. */
bool constraint_read(const char *text, struct constraint *ret_constraint);
/* NULL, or why no certificate of ours may bear it. */
const char *constraint_rule_broken(const char *text);
/* On ctx; NULL for kinds that have no text. */
const char *constraint_from_general_name(TALLOC_CTX *ctx, const GENERAL_NAME *base);
/* Likewise, the caller's. The text has been checked. */
GENERAL_NAME *constraint_to_general_name(const struct constraint *constraint);

/* "names", "addresses" and so on: what a constraint of that kind binds. */
const char *constraint_kind_text(enum name_kind kind);
bool constraint_list_has_kind(const struct text_list *list, enum name_kind kind);
/* No constraint of that kind binds the name, or one of them covers it. Kinds that cannot be
 * constrained are permitted. */
bool constraint_permits(const struct text_list *permitted, const struct name *name);
/* One of them covers a part of what the name stands for: also of a wildcard, and whatever cannot
 * be judged. */
bool constraint_excludes(const struct text_list *excluded, const struct name *name);
/* Whether all that `inner` covers is covered by one of `outer`. */
bool constraint_within(const char *inner, const struct text_list *outer);

#endif
