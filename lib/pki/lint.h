/* lib/pki/lint.h: rules of RFC 5280 that our encoder could break, checked on its dry output before
 * the signer is asked (00 decision 50). */
#ifndef CERTCTL_PKI_LINT_H
#define CERTCTL_PKI_LINT_H

#include "core/fault.h"
#include "core/text.h"
#include "pki/compose.h"

/* `tbs` is what certificate_compose made; `facts` whom it should name. Errors refuse with
 * CERTIFICATE_LINT, clause and rule in the detail; warnings are added to *ret_warnings on ctx. */
bool certificate_lint(TALLOC_CTX *ctx, struct bytes tbs, const struct issuer_facts *facts,
                      struct text_list *ret_warnings, struct fault *fault);

#endif
