/* fcgi/api/ca_body.h: bodies of POST /issuers/{id}/intermediates (04 section 5.2). */
#ifndef CERTCTL_FCGI_API_CA_BODY_H
#define CERTCTL_FCGI_API_CA_BODY_H

#include "lifecycle/ca_order.h"
#include "web/request.h"

#define CA_NOTE_MAX 1024

/* An import of a root, or a child; not yet held against anything but itself. INPUT_INVALID names
 * the member. Texts hang on the request or on the body. */
bool ca_body_read(struct request *request, json_t *body, const char *issuer_id,
                  struct ca_order *ret_order, struct fault *fault) MUST_USE;
/* The fault's field in the words of this body; returns false. */
bool ca_body_fault(struct fault *fault);

#endif
