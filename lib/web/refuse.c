/* lib/web/refuse.c: from a reason to a status, and the JSON error body of 05 section 2.2. */
#include "web/route.h"
#include "web/serve.h"

#include "core/json.h"
#include "core/text.h"

#include "core/banned.h"

/* Reasons whose status or code differs from that of their kind. */
static const struct wire_fault json_faults[] = {
    {INPUT_INVALID,       400, "invalid"            },
    {INPUT_TOO_LARGE,     413, "too_large"          },
    {URI_TOO_LONG,        414, "uri_too_long"       },
    {MEDIA_TYPE_WRONG,    415, "media_type"         },
    {HEADERS_TOO_LARGE,   431, "headers_too_large"  },
    {HTTPS_REQUIRED,      400, "malformed"          },
    {METHOD_UNKNOWN,      501, "method_unknown"     },
    {METHOD_NOT_ALLOWED,  405, "method_not_allowed" },
    {NOT_ACCEPTABLE,      406, "not_acceptable"     },
    {RESOURCE_STATE,      409, "state"              },
    {RESOURCE_UNREADABLE, 422, "unprocessable"      },
    {RESOURCE_IN_USE,     409, "in_use"             },
    {REPEAT_RUNNING,      409, "duplicate"          },
    {REPEAT_DIFFERS,      422, "unprocessable"      },
    {PRECONDITION_FAILED, 412, "precondition_failed"},
    {DATABASE_DUPLICATE,  409, "duplicate"          },
    {DATABASE_REFERENCE,  400, "invalid"            },
    {DATABASE_VALUE,      400, "invalid"            },
};

static const struct {
    unsigned status;
    const char *code;
} kinds[] = {
    [KIND_NONE] = {500, "internal"       },
    [KIND_MALFORMED] = {400, "malformed"      },
    [KIND_UNAUTHORIZED] = {401, "unauthenticated"},
    [KIND_FORBIDDEN] = {403, "forbidden"      },
    [KIND_CONFLICT] = {409, "conflict"       },
    [KIND_NOT_FOUND] = {404, "not_found"      },
    [KIND_RATE_LIMITED] = {429, "rate_limited"   },
    [KIND_POLICY] = {400, "invalid"        },
    [KIND_UPSTREAM] = {502, "upstream"       },
    [KIND_UNAVAILABLE] = {503, "unavailable"    },
    [KIND_INTERNAL] = {500, "internal"       },
};

unsigned fault_kind_status(enum fault_kind kind)
{
    return kinds[kind].status;
}

const struct wire_fault *wire_fault_find(const struct wire_fault *table, size_t count,
                                         enum fault_reason reason)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].reason == reason)
            return &table[i];
    return NULL;
}

/* What broke on our side is for the log alone; the caller gets a sentence that is always true. */
static const char *message_for(const struct fault *fault, unsigned status)
{
    if (fault->reason == SURFACE_WRONG)
        return "misrouted request";
    if (fault->reason == AUTH_BACKEND)
        return "transient backend error; retry";
    if (fault->reason == OPERATION_FAILED)
        return fault->detail;
    switch (status) {
    case 500:
        return "the request could not be served";
    case 502:
        return "a service behind this one failed";
    case 503:
        return "the service is not available at the moment";
    default:
        return fault->detail;
    }
}

/* Refusals of admission keep the reference's text in `error` (00 decision 30). */
static bool names_itself(enum fault_reason reason)
{
    return reason == UNAUTHENTICATED || reason == FORBIDDEN || reason == RATE_LIMITED ||
           reason == AUTH_BACKEND;
}

static void details_add(json_t *details, const struct fault *fault)
{
    json_t *problem = json_object();

    json_set_text(problem, "field", fault->field);
    json_set_text(problem, "problem", fault->detail);
    json_add_new(details, problem);
}

/* Every failing field where the handler has gathered them, else the one. */
static json_t *details_for(const struct request *request, const struct fault *fault)
{
    const struct fault_list *problems = request->problems;
    json_t *details = json_array();

    for (size_t i = 0; problems && i < problems->count; i++)
        details_add(details, &problems->items[i]);
    if (json_array_size(details) == 0)
        details_add(details, fault);
    return details;
}

static void retry_after(struct response *response, const struct fault *fault)
{
    unsigned seconds = fault->retry_after_s;

    if (seconds == 0 && response->status == 503)
        seconds = 5;
    if (seconds == 0 && response->status == 429)
        seconds = 1;
    if (seconds > 0)
        response_header(response, "Retry-After", "%u", seconds);
}

void web_refuse_json(struct request *request, struct response *response, const struct fault *fault)
{
    const struct wire_fault *wire = wire_fault_find(json_faults, ARRAY_SIZE(json_faults),
                                                    fault->reason);
    const enum fault_kind kind = fault_reason_kind(fault->reason);
    const unsigned status = wire ? wire->status : kinds[kind].status;
    const char *message = message_for(fault, status);
    json_t *body = json_object();

    json_set_text(body, "error",
                  names_itself(fault->reason) ? message : response_reason_phrase(status));
    json_set_text(body, "message", message);
    json_set_text(body, "request_id", request->request_id);
    json_set_text(body, "code", wire ? wire->type : kinds[kind].code);
    if (status == 400 && fault->field)
        json_set_new(body, "details", details_for(request, fault));
    response_json(response, status, body);
    retry_after(response, fault);
}
