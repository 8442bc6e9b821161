/* fcgi/acme/problem.c: our reasons in ACME's words (RFC 8555 section 6.7, RFC 7807). */
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"

#include "core/banned.h"

#define ERROR_PREFIX "urn:ietf:params:acme:error:"

/* Others are told by their kind, below. */
static const struct wire_fault acme_faults[] = {
    {EDGE_KEY_WRONG,              403, "malformed"              },
    {HTTPS_REQUIRED,              403, "malformed"              },
    {METHOD_NOT_ALLOWED,          405, "malformed"              },
    {METHOD_UNKNOWN,              501, "malformed"              },
    {MEDIA_TYPE_WRONG,            415, "malformed"              },
    {NOT_ACCEPTABLE,              406, "malformed"              },
    {INPUT_TOO_LARGE,             400, "malformed"              },
    {JWS_ALGORITHM,               400, "badSignatureAlgorithm"  },
    {JWS_SIGNATURE,               401, "unauthorized"           },
    {JWK_REJECTED,                400, "badPublicKey"           },
    {ACME_URL_MISMATCH,           401, "unauthorized"           },
    {ACME_BAD_NONCE,              400, "badNonce"               },
    {ACME_ACCOUNT_UNKNOWN,        400, "accountDoesNotExist"    },
    {ACME_ACCOUNT_STATE,          401, "unauthorized"           },
    {ACME_NOT_OWNER,              401, "unauthorized"           },
    {ACME_USER_ACTION,            403, "userActionRequired"     },
    {ACME_PROFILE_UNKNOWN,        404, "userActionRequired"     },
    {ACME_TERMS,                  403, "userActionRequired"     },
    {ACME_CONTACT_INVALID,        400, "invalidContact"         },
    {ACME_CONTACT_UNSUPPORTED,    400, "unsupportedContact"     },
    {ACME_EAB_REQUIRED,           403, "externalAccountRequired"},
    {ACME_EAB_INVALID,            401, "unauthorized"           },
    {ACME_INVALID_PROFILE,        400, "invalidProfile"         },
    {ACME_NO_ISSUER,              500, "serverInternal"         },
    {ACME_IDENTIFIER_REJECTED,    400, "rejectedIdentifier"     },
    {ACME_IDENTIFIER_UNSUPPORTED, 400, "unsupportedIdentifier"  },
    {ACME_ORDER_NOT_READY,        403, "orderNotReady"          },
    {NET_CAA,                     403, "caa"                    },
    {ACME_KEY_TAKEN,              409, "unauthorized"           },
    {ACME_KEY_CHANGED,            409, "unauthorized"           },
    {ACME_REPLACED,               409, "alreadyReplaced"        },
    {CSR_MALFORMED,               400, "badCSR"                 },
    {CSR_KEY_REJECTED,            400, "badPublicKey"           },
    {CSR_BAD_SIGNATURE,           400, "badCSR"                 },
    {CSR_KEY_POLICY,              400, "badCSR"                 },
    {CSR_NAME_REJECTED,           400, "rejectedIdentifier"     },
    {CSR_NAMES_DIFFER,            400, "badCSR"                 },
    {CSR_EXTENSION,               400, "badCSR"                 },
    {KEY_BLOCKED,                 400, "badPublicKey"           },
    {NAME_CONSTRAINT,             400, "rejectedIdentifier"     },
    {VALIDITY_EMPTY,              400, "badCSR"                 },
    {CERTIFICATE_LINT,            400, "badCSR"                 },
    {PROFILE_UNAVAILABLE,         403, "userActionRequired"     },
    {REQUESTER_NOT_AUTHORIZED,    401, "unauthorized"           },
    {ALREADY_REVOKED,             400, "alreadyRevoked"         },
    {REVOCATION_REASON,           400, "badRevocationReason"    },
    {ISSUANCE_STALE,              503, "serverInternal"         },
};

static const char *type_of_kind(enum fault_kind kind)
{
    switch (kind) {
    case KIND_MALFORMED:
    case KIND_NOT_FOUND:
    case KIND_CONFLICT:
    case KIND_FORBIDDEN:
    case KIND_POLICY:
        return "malformed";
    case KIND_UNAUTHORIZED:
        return "unauthorized";
    case KIND_RATE_LIMITED:
        return "rateLimited";
    case KIND_NONE:
    case KIND_UPSTREAM:
    case KIND_UNAVAILABLE:
    case KIND_INTERNAL:
        return "serverInternal";
    }
    return "serverInternal";
}

static unsigned status_of(const struct fault *fault)
{
    const struct wire_fault *row = wire_fault_find(acme_faults, ARRAY_SIZE(acme_faults),
                                                   fault->reason);

    return row ? row->status : fault_kind_status(fault_reason_kind(fault->reason));
}

static json_t *problem_of(struct request *request)
{
    struct acme_request *acme = acme_of(request);

    if (!acme->problem)
        acme->problem = mem_adopt(acme, json_object(), json_decref);
    return acme->problem;
}

static json_t *subproblems_of(struct request *request)
{
    json_t *problem = problem_of(request);

    if (!json_object_get(problem, "subproblems"))
        json_set_new(problem, "subproblems", json_array());
    return json_object_get(problem, "subproblems");
}

void acme_subproblem(struct request *request, const char *type, unsigned status, const char *detail,
                     const char *identifier_type, const char *identifier_value)
{
    json_t *entry = json_object();
    json_t *identifier = json_object();

    json_set_text(entry, "type", mem_printf(request, ERROR_PREFIX "%s", type));
    json_set_text(entry, "detail", detail);
    json_set_integer(entry, "status", status);
    json_set_text(identifier, "type", identifier_type);
    json_set_text(identifier, "value", identifier_value);
    json_set_new(entry, "identifier", identifier);
    json_add_new(subproblems_of(request), entry);
}

/* A problem that was stored before becomes part of this one (RFC 8555 section 6.7.1). */
void acme_subproblem_stored(struct request *request, const char *text)
{
    json_t *entry = text ? json_loads(text, 0, NULL) : NULL;

    if (entry)
        json_add_new(subproblems_of(request), entry);
}

static json_t *problem_document(struct request *request, const char *type, unsigned status,
                                const struct fault *fault)
{
    json_t *problem = json_object();

    json_set_text(problem, "type", mem_printf(request, ERROR_PREFIX "%s", type));
    json_set_text(problem, "detail", fault->detail);
    json_set_integer(problem, "status", status);
    if (fault->reason == JWS_ALGORITHM)
        json_set_new(problem, "algorithms", jws_algorithms());
    if (fault->reason == ACME_TERMS)
        json_set_text(problem, "instance", request->settings->acme_tos_url);
    if (status >= 500)
        json_set_text(problem, "request_id", request->request_id);
    if (acme_of(request)->problem)
        json_object_update(problem, acme_of(request)->problem);
    return problem;
}

/* A request whose signature was good must not be replayed, also when it was refused; one that
 * failed on our side leaves its nonce unused (01 section 7). A replay is told so, whatever else is
 * wrong with it: that check comes first. */
static void spend_refused(struct request *request, struct fault *fault)
{
    struct acme_request *acme = acme_of(request);
    struct fault replay = {0};

    if (!acme->verified || acme->spent || status_of(fault) >= 500)
        return;
    if (!acme_nonce_spend(request, &replay) && replay.reason == ACME_BAD_NONCE)
        *fault = replay;
}

/* Where RFC 8555 or 01 section 2 fixes the words. */
static void reword(const struct request *request, struct fault *fault)
{
    static const struct {
        enum fault_reason reason;
        const char *detail;
    } words[] = {
        {ROUTE_UNKNOWN,      "no such ACME resource"              },
        {METHOD_NOT_ALLOWED, "method not allowed; use POST-as-GET"},
        {HTTPS_REQUIRED,     "ACME is served over HTTPS only"     },
        {INPUT_TOO_LARGE,    "request body too large"             },
    };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (fault->reason == words[i].reason)
            fault_set(fault, words[i].reason, NULL, "%s", words[i].detail);
    if (fault->reason != SURFACE_WRONG && fault->reason != ACME_NO_ISSUER &&
        fault_reason_kind(fault->reason) == KIND_INTERNAL)
        fault_set(fault, fault->reason, NULL, "the server failed; the log knows this request as %s",
                  request->request_id);
}

void acme_refuse(struct request *request, struct response *response, const struct fault *given)
{
    struct fault fault = *given;
    const bool stranger = fault.reason == EDGE_KEY_WRONG || fault.reason == SURFACE_WRONG;

    if (!stranger && !request->settings->acme_enabled)
        fault_set(&fault, ACME_DISABLED, NULL, "the ACME server is disabled");
    spend_refused(request, &fault);
    reword(request, &fault);

    const struct wire_fault *row = wire_fault_find(acme_faults, ARRAY_SIZE(acme_faults),
                                                   fault.reason);
    const char *type = row ? row->type : type_of_kind(fault_reason_kind(fault.reason));
    const unsigned status = status_of(&fault);

    if (status == 503 || fault.retry_after_s > 0)
        response_header(response, "Retry-After", "%u",
                        fault.retry_after_s ? fault.retry_after_s : 5);
    response_json(response, status, problem_document(request, type, status, &fault));
    response_header(response, "Content-Type", "application/problem+json");
    acme_count_problem(request, type);
    if (stranger)
        return;
    response_header(response, "Cache-Control", "no-store");
    if (request->method == POST)
        acme_nonce_header(request, response);
}
