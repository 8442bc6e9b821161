/* tests/unit/web/rig.c: the responder whose routes the tests ask for. */
#include "rig.h"

#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

static bool show_thing(struct request *request, struct response *response, struct fault *fault)
{
    (void)fault;
    return response_json_text(response, 200,
                              mem_printf(request, "{\"captured\":%zu}", request->captured_count));
}

static bool keep_thing(struct request *request, struct response *response, struct fault *fault)
{
    (void)fault;
    return response_bytes(response, 201, "text/plain", request->body);
}

static bool fail_without_reason(struct request *request, struct response *response,
                                struct fault *fault)
{
    (void)request;
    (void)fault;
    response_header(response, "Location", "/kept");
    (void)response_empty(response, 200);
    return false;
}

static bool say_nothing(struct request *request, struct response *response, struct fault *fault)
{
    (void)request;
    (void)response;
    (void)fault;
    return true;
}

static bool miss_the_database(struct request *request, struct response *response,
                              struct fault *fault)
{
    (void)request;
    (void)response;
    fault_set(fault, DATABASE_UNREACHABLE, NULL, "password of \"certctl_x\" is wrong");
    return fault_cause(fault, "the server's own words");
}

enum access { ANYONE, NOBODY };

static const struct route routes[] = {
    {GET,       "/thing",       ANYONE, show_thing,          0 },
    {POST,      "/thing",       ANYONE, keep_thing,          16},
    {POST,      "/large",       ANYONE, keep_thing,          0 },
    {GET | PUT, "/thing/{id}",  ANYONE, show_thing,          0 },
    {GET,       "/wordless",    ANYONE, fail_without_reason, 0 },
    {GET,       "/silent",      ANYONE, say_nothing,         0 },
    {GET,       "/no-database", ANYONE, miss_the_database,   0 },
    {GET,       "/locked",      NOBODY, show_thing,          0 },
};

static bool admit(struct request *request, struct response *response, struct fault *fault)
{
    if (request->route->access == ANYONE)
        return true;
    response_header(response, "WWW-Authenticate", "Bearer");
    return fault_set(fault, UNAUTHENTICATED, NULL, "Authentication required");
}

static void prepare(struct request *request, struct response *response)
{
    response_header(response, "Prepared", "%zu %zu",
                    request->server_name ? strlen(request->server_name) : 0, strlen(request->path));
}

static size_t read_body(void *source, uint8_t *into, size_t size)
{
    struct rig *rig = source;
    const size_t given = least(size, rig->body.size);

    rig->body_read += size;
    memcpy(into, rig->body.data, given);
    return given;
}

struct rig *rig_new(TALLOC_CTX *ctx)
{
    struct rig *rig = mem_new(ctx, struct rig);

    rig->root = rig;
    rig->settings.max_body_bytes = 1024;
    rig->responder = (struct responder){
        .name = "certctl-rig",
        .surface = "rig",
        .routes = routes,
        .route_count = ARRAY_SIZE(routes),
        .admit = admit,
        .prepare = prepare,
    };
    rig->host.responder = &rig->responder;
    rig->host.settings = &rig->settings;
    digest_sha256(bytes_of_text(RIG_EDGE_KEY), rig->host.edge_digest);
    rig->body = bytes_of_text("");
    rig_add(rig, "FCGI_ROLE", "RESPONDER");
    rig_add(rig, "CERTCTL_EDGE_KEY", RIG_EDGE_KEY);
    rig_add(rig, "CERTCTL_SURFACE", "rig");
    rig_add(rig, "REQUEST_SCHEME", "https");
    rig_add(rig, "SERVER_NAME", "ca.example");
    rig_add(rig, "REMOTE_ADDR", "192.0.2.7");
    rig_ask(rig, "GET", "/thing");
    return rig;
}

void rig_add(struct rig *rig, const char *name, const char *value)
{
    rig->params[rig->count++] = mem_printf(rig, "%s=%s", name, value);
    rig->params[rig->count] = NULL;
}

void rig_set(struct rig *rig, const char *name, const char *value)
{
    size_t kept = 0;
    const size_t length = strlen(name);

    for (size_t i = 0; i < rig->count; i++)
        if (strncmp(rig->params[i], name, length) != 0 || rig->params[i][length] != '=')
            rig->params[kept++] = rig->params[i];
    rig->count = kept;
    rig->params[kept] = NULL;
    if (value)
        rig_add(rig, name, value);
}

void rig_ask(struct rig *rig, const char *method, const char *uri)
{
    rig_set(rig, "REQUEST_METHOD", method);
    rig_set(rig, "REQUEST_URI", uri);
}

void rig_body(struct rig *rig, const char *text)
{
    rig->body = bytes_of_text(text);
    rig_set(rig, "CONTENT_LENGTH", mem_printf(rig, "%zu", strlen(text)));
}

void rig_serve(struct rig *rig)
{
    const struct web_input input = {rig->params, read_body, rig};

    rig->body_read = 0;
    rig->request = web_handle(rig, &rig->host, &input, &rig->response, &rig->fault);
    rig->text = mem_text_n(rig, (const char *)rig->response.body.data, rig->response.body.size);
}

const char *rig_header(const struct rig *rig, const char *name)
{
    for (size_t i = 0; i < rig->response.header_count; i++)
        if (text_equal_nocase(rig->response.headers[i].name, name))
            return rig->response.headers[i].value;
    return NULL;
}
