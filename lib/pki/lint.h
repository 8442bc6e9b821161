/* lib/pki/lint.h: rules of RFC 5280 that our encoder could break, checked on its dry output before
 * the signer is asked (00 decision 50). */
#ifndef CERTCTL_PKI_LINT_H
#define CERTCTL_PKI_LINT_H

#include "core/fault.h"
#include "core/text.h"
#include "pki/certificate.h"
#include "pki/compose.h"

/* Of the rules. Whoever changes one raises it, so that stored certificates are looked at again. */
#define LINT_VERSION 2

/* `tbs` is what certificate_compose made; `facts` whom it should name. Errors refuse with
 * CERTIFICATE_LINT, clause and rule in the detail; warnings are added to *ret_warnings on ctx. */
bool certificate_lint(TALLOC_CTX *ctx, struct bytes tbs, const struct issuer_facts *facts,
                      struct text_list *ret_warnings, struct fault *fault);

/* The same for one that was signed, held against the certificate of its CA. What a facts file alone
 * says (ceiling, usages, policies, constraints) is not looked at. */
bool certificate_lint_signed(TALLOC_CTX *ctx, const struct certificate *leaf,
                             const struct certificate *ca, struct text_list *ret_warnings,
                             struct fault *fault);

#endif
