/* lib/web/handle.c: one request from its params to its answer, in the order of 05 section 1.4. */
#include "web/web_private.h"

#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

/* One request on its way through the checks. */
struct passage {
    const struct web_host *host;
    const struct web_input *input;
    struct request *request;
    struct response *response;
};

/* Before any other param is looked at: whoever cannot say the key could forge them all. */
static bool edge_key_right(const struct web_host *host, char *const *params)
{
    const char *key = web_param_find(params, "CERTCTL_EDGE_KEY");
    uint8_t digest[DIGEST_SHA256_SIZE];

    digest_sha256(bytes_of_text(key ? key : ""), digest);
    return bytes_equal_secret(BYTES_OF(digest), BYTES_OF(host->edge_digest)) && key;
}

static bool check_surface(struct passage *passage, struct fault *fault)
{
    const char *surface = request_param(passage->request, "CERTCTL_SURFACE");

    if (text_equal(surface, passage->host->responder->surface))
        return true;
    fault_set(fault, SURFACE_WRONG, NULL, "misrouted request");
    char *quoted = text_quote(passage->request, surface ? surface : "");
    return fault_cause(fault, "CERTCTL_SURFACE is %s, not \"%s\"", quoted,
                       passage->host->responder->surface);
}

static bool check_scheme(struct passage *passage, struct fault *fault)
{
    if (passage->request->https || passage->host->responder->plain_http ||
        passage->host->settings->allow_plaintext_fcgi)
        return true;
    return fault_set(fault, HTTPS_REQUIRED, NULL, "HTTPS required");
}

static bool check_method(struct passage *passage, struct fault *fault)
{
    if (passage->request->method)
        return true;
    return fault_set(fault, METHOD_UNKNOWN, NULL, "the method is not one of this server's");
}

static bool check_uri(struct passage *passage, struct fault *fault)
{
    const char *uri = request_param(passage->request, "REQUEST_URI");

    if (!uri || strlen(uri) <= WEB_URI_MAX)
        return true;
    return fault_set(fault, URI_TOO_LONG, NULL, "the request target exceeds %d bytes", WEB_URI_MAX);
}

static bool check_size(struct passage *passage, struct fault *fault)
{
    return web_request_check_size(passage->request, fault);
}

static bool check_path(struct passage *passage, struct fault *fault)
{
    struct request *request = passage->request;
    const bool unknown = passage->host->responder->malformed_path_is_unknown;

    if (unknown && strchr(request->path, '%'))
        return fault_set(fault, ROUTE_UNKNOWN, NULL, "no such resource");
    const char *below = passage->host->responder->raw_tail_below;
    const bool split = below && text_starts(request->path, below)
                           ? web_path_split_raw_tail(request, below, fault)
                           : path_split(request, fault);

    if (split && web_path_check_document(request, fault))
        return true;
    if (unknown && fault->reason == INPUT_MALFORMED) {
        const struct fault malformed = *fault;
        fault_set(fault, ROUTE_UNKNOWN, NULL, "no such resource");
        fault_cause(fault, "%s", malformed.cause);
    }
    return false;
}

/* A preflight ends here: it is answered before anybody is asked who he is. */
static bool find_route(struct passage *passage, struct fault *fault)
{
    const struct responder *responder = passage->host->responder;
    const char *allow = NULL;

    if (route_find(passage->request, responder->routes, responder->route_count, &allow, fault))
        return true;
    if (fault->reason != METHOD_NOT_ALLOWED)
        return false;
    response_header(passage->response, "Allow", "%s", allow);
    if (passage->request->method != OPTIONS)
        return false;
    *fault = (struct fault){0};
    return response_empty(passage->response, 204);
}

static bool read_body(struct passage *passage, struct fault *fault)
{
    int64_t limit = passage->request->route->body_max_bytes;

    if (limit == 0)
        limit = passage->host->responder->body_max_bytes;
    if (limit == 0)
        limit = passage->host->settings->max_body_bytes;
    return web_request_read_body(passage->request, passage->input, limit, fault);
}

static bool admit(struct passage *passage, struct fault *fault)
{
    const struct responder *responder = passage->host->responder;
    return !responder->admit || responder->admit(passage->request, passage->response, fault);
}

static bool run_handler(struct passage *passage, struct fault *fault)
{
    const struct responder *responder = passage->host->responder;
    const struct route *route = passage->request->route;
    route_handler *const handle = responder->handle ? responder->handle : route->handler;

    if (!handle(passage->request, passage->response, fault))
        return false;
    if (passage->response->started)
        return true;
    fault_set(fault, INTERNAL, NULL, "the request could not be served");
    return fault_cause(fault, "the handler of %s set no answer", route->pattern);
}

/* Each answers, refuses, or lets the request pass to the next. */
static bool (*const steps[])(struct passage *passage, struct fault *fault) = {
    check_surface, check_scheme, check_method, check_uri, check_size,
    check_path,    find_route,   read_body,    admit,     run_handler,
};

static bool pass(struct passage *passage, struct fault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(steps) && !passage->response->started; i++)
        if (!steps[i](passage, fault))
            return false;
    return true;
}

/* A half-made answer is dropped; headers stay, since refusals bear nonces and locations too. */
static void refuse(struct passage *passage, struct fault *fault)
{
    const struct responder *responder = passage->host->responder;
    struct response *response = passage->response;

    if (fault->reason == REASON_NONE) {
        fault_set(fault, INTERNAL, NULL, "the request could not be served");
        fault_cause(fault, "refused without a reason");
    }
    response->started = false;
    response->body = (struct bytes){0};
    if (responder->refuse)
        responder->refuse(passage->request, response, fault);
    if (!response->started)
        web_refuse_json(passage->request, response, fault);
}

static void prepare(struct passage *passage)
{
    const struct responder *responder = passage->host->responder;

    response_header(passage->response, "X-Request-ID", "%s", passage->request->request_id);
    if (responder->security_headers)
        web_security_headers(passage->response);
    if (responder->prepare)
        responder->prepare(passage->request, passage->response);
}

struct request *web_handle(TALLOC_CTX *ctx, const struct web_host *host,
                           const struct web_input *input, struct response *ret_response,
                           struct fault *ret_fault)
{
    struct request *request = web_request_new(ctx, host);
    struct passage passage = {host, input, request, ret_response};
    const bool trusted = edge_key_right(host, input->params);

    *ret_response = (struct response){.request = request};
    *ret_fault = (struct fault){0};
    if (trusted)
        web_request_fill(request, input->params);
    prepare(&passage);
    if (!trusted)
        fault_set(ret_fault, EDGE_KEY_WRONG, NULL, "misrouted request");
    if (!trusted || !pass(&passage, ret_fault))
        refuse(&passage, ret_fault);
    return request;
}
