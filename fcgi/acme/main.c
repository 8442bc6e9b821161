/* fcgi/acme/main.c: certctl-acme, the ACME server (RFC 8555). Its routes are its documentation. */
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "fcgi/acme/worker.h"
#include "lifecycle/discard.h"

#include "core/banned.h"

#define BODY_MAX_BYTES 65536

/* Every route exists twice: for the default profile, and for the one that the path names. */
#define BOTH(methods, rest, access, handler)                                                       \
    {methods, "/acme" rest, access, handler, 0},                                                   \
    {                                                                                              \
        methods, "/acme/profile/{profile}" rest, access, handler, 0                                \
    }

static const struct route acme_routes[] = {
    BOTH(GET | HEAD, "/directory", ANYONE, acme_directory),
    BOTH(GET | HEAD, "/new-nonce", ANYONE, acme_new_nonce),
    BOTH(POST, "/new-account", JWS_KEY, acme_new_account),
    BOTH(POST, "/account/{account}", JWS_ACCOUNT, acme_account),
    BOTH(POST, "/account/{account}/orders", JWS_ORDERS, acme_orders),
    BOTH(POST, "/new-order", JWS_ACCOUNT, acme_new_order),
    BOTH(POST, "/new-authz", JWS_ACCOUNT, acme_new_authz),
    BOTH(POST, "/order/{order}", JWS_ACCOUNT, acme_order),
    BOTH(POST, "/order/{order}/finalize", JWS_FINALIZE, acme_finalize),
    BOTH(POST, "/authz/{authz}", JWS_ACCOUNT, acme_authorization),
    BOTH(POST, "/challenge/{challenge}", JWS_ACCOUNT, acme_challenge),
    BOTH(POST, "/cert/{certificate}", JWS_ACCOUNT, acme_certificate),
    BOTH(POST, "/cert/{certificate}/{n}", JWS_ACCOUNT, acme_alternate),
    BOTH(POST, "/revoke-cert", JWS_EITHER, acme_revoke_cert),
    BOTH(POST, "/key-change", JWS_ACCOUNT, acme_key_change),
    BOTH(GET, "/renewal-info/{certificate}", ANYONE, acme_renewal_info),
};

static void *acme_start(TALLOC_CTX *ctx, const struct settings *settings, struct fault *fault)
{
    struct acme_worker *worker = mem_new(ctx, struct acme_worker);

    if (!seal_start_check(settings, "certctl_acme", fault))
        return NULL;
    worker->guard = guard_new(worker, settings->block_rfc1918_outbound,
                              &settings->outbound_allow_cidrs, fault);
    return worker->guard ? worker : NULL;
}

/* What every answer bears (01 section 2.1). */
static void acme_prepare(struct request *request, struct response *response)
{
    acme_url_prepare(request);
    response_header(response, "Access-Control-Allow-Origin", "*");
    response_header(response, "Access-Control-Expose-Headers",
                    "Link, Replay-Nonce, Location, Retry-After");
    if (request->method == OPTIONS) {
        response_header(response, "Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
        response_header(response, "Access-Control-Allow-Headers", "Content-Type");
    }
    response_header(response, "Link", "<%s>;rel=\"index\"", acme_url(request, "/directory"));
}

/* Whoever waits for an answer has it. */
static void acme_finish(struct request *request, struct response *response)
{
    acme_count(request, response);
    discard_owed(request->db);
}

const struct responder acme_responder = {
    .name = "certctl-acme",
    .surface = "acme",
    .role = "certctl_acme",
    .routes = acme_routes,
    .route_count = ARRAY_SIZE(acme_routes),
    .body_max_bytes = BODY_MAX_BYTES,
    .malformed_path_is_unknown = true,
    .start = acme_start,
    .prepare = acme_prepare,
    .admit = acme_admit,
    .refuse = acme_refuse,
    .finish = acme_finish,
};

int main(int argc, char **argv)
{
    return web_main(&acme_responder, argc, argv);
}
