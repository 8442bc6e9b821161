/* lib/lifecycle/ca_facts.h: a change of what the signer knows about a CA, as the body of a request
 * says it: for each member of the facts file what stands there and what shall (04 section 4.0). */
#ifndef CERTCTL_LIFECYCLE_CA_FACTS_H
#define CERTCTL_LIFECYCLE_CA_FACTS_H

#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"
#include "core/json.h"

/* {"max_leaf_days": {"old": 3660, "new": 90}, …}; null: the file does not say. At least one member,
 * all of a facts file but its certificate and what closes it. INPUT_INVALID; what a value may be is
 * the signer's to say. */
bool ca_facts_change_fits(json_t *change, struct fault *fault) MUST_USE;

/* Adds what would change if the member became `wanted`, whose reference it takes over; nothing
 * where it is so already. */
void ca_facts_propose(json_t *change, const json_t *now, const char *member, json_t *wanted);

/* The file's content, of this very certificate. RESOURCE_STATE: of another; SIGNER_KEY. The
 * caller's reference. */
json_t *ca_facts_read(const char *text, struct bytes certificate_der, struct fault *fault) MUST_USE;

/* Makes `facts` what the change says. *ret_changed false: it was so before, as after a kill.
 * RESOURCE_STATE: it says something third, so somebody else has changed it since. */
bool ca_facts_apply(json_t *facts, json_t *change, bool *ret_changed, struct fault *fault) MUST_USE;

/* A CA that another one takes the place of. */
struct ca_before {
    const char *id;
    json_t *facts; /* as ca_facts_read gave them */
};
/* Makes the facts of its heir, `ca_id`, from those of a new CA: what was changed since it was made
 * stays so, with the heir's id in URLs; lists of URLs that `facts` has are the request's and stay.
 * The certificate is the heir's, and nothing closes it. */
void ca_facts_inherit(json_t *facts, const struct ca_before *before, const char *ca_id);

#endif
