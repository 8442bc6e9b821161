/* fcgi/pki/refuse.c: refusals: OCSP's own where a client of OCSP reads them, else JSON. */
#include "core/json.h"
#include "core/text.h"
#include "pki.h"

#include "core/banned.h"

static const struct wire_fault pki_faults[] = {
    {INPUT_MALFORMED,    400, "malformed"         },
    {INPUT_TOO_LARGE,    413, "too_large"         },
    {MEDIA_TYPE_WRONG,   415, "media_type"        },
    {METHOD_NOT_ALLOWED, 405, "method_not_allowed"},
    {RESOURCE_UNKNOWN,   404, "not_found"         },
    {ISSUER_UNSUPPORTED, 501, "unsupported"       },
    {ISSUER_UNAVAILABLE, 503, "unavailable"       },
};

/* Ours alone: whoever asked can read it as OCSP. */
static bool is_internal(const struct request *request, const struct fault *fault)
{
    const enum fault_kind kind = fault_reason_kind(fault->reason);

    return text_starts(request->path, "/.well-known/pki/ocsp/") && fault->reason != SURFACE_WRONG &&
           (kind == KIND_INTERNAL || kind == KIND_UNAVAILABLE || kind == KIND_CONFLICT);
}

void pki_refuse(struct request *request, struct response *response, const struct fault *fault)
{
    const struct wire_fault *wire = wire_fault_find(pki_faults, ARRAY_SIZE(pki_faults),
                                                    fault->reason);

    if (is_internal(request, fault)) {
        (void)response_bytes(response, 500, "application/ocsp-response",
                             ocsp_error_der(OCSP_ERROR_INTERNAL));
        return;
    }
    if (!wire)
        return;
    json_t *body = json_object();
    json_set_text(body, "error", fault->detail);
    json_set_text(body, "message", response_reason_phrase(wire->status));
    json_set_text(body, "request_id", request->request_id);
    json_set_text(body, "code", wire->type);
    (void)response_json(response, wire->status, body);
    if (fault->retry_after_s > 0)
        response_header(response, "Retry-After", "%u", fault->retry_after_s);
}
