/* fcgi/probe/probe.c: certctl-probe, liveness and readiness, 05 section 4.1.
 *
 * Its own process and pool, so that a saturated API is not restarted by its own probe. */
#include "probe.h"

#include "core/json.h"
#include "core/macro.h"
#include "web/serve.h"

#include "core/banned.h"

/* The handler that never touches the database. */
static bool show_health(struct request *request, struct response *response, struct fault *fault)
{
    (void)request;
    (void)fault;
    json_t *body = json_object();
    json_set_text(body, "status", "healthy");
    return response_json(response, 200, body);
}

/* 05 section 2.6: anybody's page may look at these. */
static void prepare(struct request *request, struct response *response)
{
    (void)request;
    response_header(response, "Access-Control-Allow-Origin", "*");
    response_header(response, "Cache-Control", "no-store");
}

enum access { ANYONE };

static const struct route routes[] = {
    {GET, "/health",         ANYONE, show_health,  0},
    {GET, "/ready",          ANYONE, show_ready,   0},
    {GET, "/api/v1/version", ANYONE, show_version, 0},
};

int main(int argc, char **argv)
{
    static const struct responder probe = {
        .name = "certctl-probe",
        .surface = "probe",
        .role = "certctl_probe",
        .routes = routes,
        .route_count = ARRAY_SIZE(routes),
        .body_max_bytes = 1024, /* nobody has anything to tell us */
        .plain_http = true,
        .security_headers = true,
        .statement_timeout_ms = 2000, /* what /ready may take */
        .prepare = prepare,
    };

    return web_main(&probe, argc, argv);
}
