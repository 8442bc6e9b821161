/* fcgi/api/main.c: certctl-api, the REST control plane (05). It holds no key and asks no signer. */
#include "core/memory.h"
#include "core/text.h"
#include "fcgi/api/api.h"
#include "seal/seal.h"
#include "web/query.h"

#include "core/banned.h"

static const struct route routes[] = {
#define ROUTE(methods, pattern, permission, handler) {methods, pattern, permission, handler, 0},
#include "fcgi/api/routes.def"
#undef ROUTE
};

/* A route without a permission does not compile (06 section 1.3). */
#define ROUTE(methods, pattern, permission, handler)                                               \
    _Static_assert((permission) > PERMISSION_NONE && (permission) < PERMISSION_COUNT, pattern);
#include "fcgi/api/routes.def"
#undef ROUTE

static const char *access_name(int access)
{
    return permission_name((enum permission)access); /* routes.def has nothing else */
}

static void *start(TALLOC_CTX *ctx, const struct settings *settings, struct fault *fault)
{
    if (!seal_start_check(settings, "certctl_api", fault))
        return NULL;
    return mem_new(ctx, struct admission);
}

static void prepare(struct request *request, struct response *response)
{
    request->protocol = mem_new(request, struct api_request);
    response_header(response, "Cache-Control", "no-store");
    api_cors(request, response);
}

bool api_failed(struct fault *fault, const char *words)
{
    const struct fault cause = *fault;

    if (fault_reason_kind(fault->reason) != KIND_INTERNAL)
        return false;
    fault_set(fault, OPERATION_FAILED, NULL, "%s", words);
    return fault_cause(fault, "%s", *cause.cause ? cause.cause : cause.detail);
}

/* A key in a URL ends in logs and histories: whoever sends one there shall notice. */
static bool check_no_key_in_query(struct request *request, struct fault *fault)
{
    static const char *const names[] = {"api_key", "token", "access_token"};
    struct query query = {0};
    struct fault ignored = {0}; /* the handler says what is wrong with the query */

    if (!query_parse(request, request->query, &query, &ignored))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (query_value(&query, names[i]))
            return fault_set(fault, INPUT_MALFORMED, names[i],
                             "credentials in the query string are not read; send Authorization");
    return true;
}

static bool admit(struct request *request, struct response *response, struct fault *fault)
{
    struct api_request *api = request->protocol;

    if (!check_no_key_in_query(request, fault))
        return false;
    api->permission = (enum permission)request->route->access; /* routes.def has nothing else */
    return admission_check(request->worker, request, response, api->permission, &api->principal,
                           fault);
}

int main(int argc, char **argv)
{
    static const struct responder responder = {
        .name = "certctl-api",
        .surface = "api",
        .role = "certctl_api",
        .routes = routes,
        .route_count = ARRAY_SIZE(routes),
        .security_headers = true,
        .declare = api_resources_declare,
        .access_name = access_name,
        .start = start,
        .prepare = prepare,
        .admit = admit,
        .handle = api_once,
        .finish = api_audit,
    };

    return web_main(&responder, argc, argv);
}
