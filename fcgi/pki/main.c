/* fcgi/pki/main.c: certctl-pki, the OCSP responder, and the CRLs that are not there yet. */
#include "core/memory.h"
#include "pki.h"

#include "core/banned.h"

#define STORE_US INT64_C(1000000)

enum access { ANYONE };

static const struct route routes[] = {
    {POST,       "/.well-known/pki/ocsp/{issuer}",           ANYONE, show_ocsp_post,    OCSP_REQUEST_MAX},
    {GET | HEAD, "/.well-known/pki/ocsp/{issuer}",           ANYONE, show_ocsp_nothing, 1               },
    {GET | HEAD, "/.well-known/pki/ocsp/{issuer}/{request}", ANYONE, show_ocsp_get,     1               },
    {GET | HEAD, "/.well-known/pki/crl/{issuer}",            ANYONE, show_crl,          1               },
};

static void *start(TALLOC_CTX *ctx, const struct settings *settings, struct fault *fault)
{
    struct pki_worker *worker = mem_new(ctx, struct pki_worker);

    (void)fault;
    worker->settings = settings;
    return worker;
}

/* Until an answer says how long it lives, nobody keeps it: refusals never. */
static void prepare(struct request *request, struct response *response)
{
    (void)request;
    response_header(response, "Cache-Control", "no-store");
    response_header(response, "X-Accel-Expires", "0");
}

static void finish(struct request *request, struct response *response)
{
    struct pki_worker *worker = pki_worker_of(request);

    (void)response;
    row_cache_flush(&worker->rows, request->db, STORE_US);
    counters_hand_over(&worker->counters);
}

static void stop(void *state, struct db *db)
{
    struct pki_worker *worker = state;

    row_cache_flush(&worker->rows, db, 0);
}

/* The OCSP responder's keys; certctl-job-ocsp-presign makes them. */
static const struct confine_path confine_paths[] = {
    WEB_CONFINE_PATHS, {CONFINE_READ, AT(settings, ocsp_responder_key_dir), NULL}
};
static const struct confine_plan confine_plan = {.paths = confine_paths,
                                                 .path_count = ARRAY_SIZE(confine_paths)};

int main(int argc, char **argv)
{
    static const struct responder pki = {
        .name = "certctl-pki",
        .surface = "pki",
        .role = "certctl_pki",
        .routes = routes,
        .route_count = ARRAY_SIZE(routes),
        .body_max_bytes = OCSP_REQUEST_MAX,
        .plain_http = true,
        .raw_tail_below = "/.well-known/pki/ocsp/",
        .confine = &confine_plan,
        .start = start,
        .prepare = prepare,
        .refuse = pki_refuse,
        .finish = finish,
        .stop = stop,
    };

    return web_main(&pki, argc, argv);
}
