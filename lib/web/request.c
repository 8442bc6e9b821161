/* lib/web/request.c: a request from the params of the web server, 05 section 1.3. */
#include "web/request.h"
#include "web/web_private.h"

#include <stdlib.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

static const struct {
    const char *token;
    enum method method;
} method_tokens[] = {
    {"GET",     GET    },
    {"HEAD",    HEAD   },
    {"POST",    POST   },
    {"PUT",     PUT    },
    {"PATCH",   PATCH  },
    {"DELETE",  DELETE },
    {"OPTIONS", OPTIONS},
};

/* 0 for a token that nobody serves. */
static enum method method_from_token(const char *token)
{
    for (size_t i = 0; i < ARRAY_SIZE(method_tokens); i++)
        if (text_equal(token, method_tokens[i].token))
            return method_tokens[i].method;
    return 0;
}

const char *web_param_find(char *const *params, const char *name)
{
    const size_t length = strlen(name);

    for (; *params; params++)
        if (strncmp(*params, name, length) == 0 && (*params)[length] == '=')
            return *params + length + 1;
    return NULL;
}

const char *request_param(const struct request *request, const char *name)
{
    return web_param_find(request->params, name);
}

const char *request_header(const struct request *request, const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char param[128] = "HTTP_";
    size_t used = strlen(param);

    for (; *name && used + 1 < sizeof(param); name++) {
        if (*name >= 'a' && *name <= 'z')
            param[used++] = letters[*name - 'a'];
        else
            param[used++] = *name == '-' ? '_' : *name;
    }
    param[used] = '\0';
    return *name ? NULL : web_param_find(request->params, param);
}

const char *request_captured(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->captured_count; i++)
        if (text_equal(request->captured[i].name, name))
            return request->captured[i].value;
    abort(); /* the pattern and its handler stand side by side: a bug that the first test meets */
}

static char *uuid_text(TALLOC_CTX *ctx, const char *hex)
{
    return mem_printf(ctx, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* RFC 9562 section 5.4. */
static char *uuid_random(TALLOC_CTX *ctx)
{
    uint8_t random_part[16];

    random_bytes(random_part, sizeof(random_part));
    random_part[6] = (uint8_t)((random_part[6] & 0x0f) | 0x40); /* integer promotion undone */
    random_part[8] = (uint8_t)((random_part[8] & 0x3f) | 0x80);
    char *hex = hex_from_bytes(ctx, BYTES_OF(random_part));
    char *uuid = uuid_text(ctx, hex);
    talloc_free(hex);
    return uuid;
}

static bool is_hex32(const char *text)
{
    return text && strspn(text, "0123456789abcdef") == 32 && text[32] == '\0';
}

/* Empty means absent: the web server sends params for variables that are not set. */
static const char *param_or(const struct request *request, const char *name, const char *fallback)
{
    const char *value = web_param_find(request->params, name);
    return value && *value ? value : fallback;
}

/* One block for the texts and one for the pointers: libfcgi frees its own before we log. */
static char *const *params_copy(struct request *request, char *const *params)
{
    size_t count = 0;
    size_t bytes = 1;

    for (char *const *param = params; *param; param++, count++)
        bytes += strlen(*param) + 1;
    char **copies = mem_array(request, char *, count + 1);
    char *into = mem_array(request, char, bytes);

    size_t kept = 0;
    for (char *const *param = params; *param; param++) {
        if (text_starts(*param, "CERTCTL_EDGE_KEY="))
            continue; /* nobody behind this point may log it by mistake */
        const size_t length = strlen(*param) + 1;
        copies[kept++] = memcpy(into, *param, length);
        into += length;
    }
    return copies;
}

/* nginx escapes the PEM text ($ssl_client_escaped_cert), Apache sends it plain; no PEM has a '%'.
 * What cannot be unescaped is no certificate. */
static const char *client_certificate(struct request *request)
{
    const char *value = param_or(request, "SSL_CLIENT_CERT", NULL);

    if (!value || !strchr(value, '%'))
        return value;
    char *pem = mem_text(request, value);
    return web_percent_decode(pem) ? pem : NULL;
}

static const char *client_address(const struct request *request)
{
    const char *address = param_or(request, "REMOTE_ADDR", NULL);
    const bool mapped = address && text_starts(address, "::ffff:") && strchr(address, '.');
    return mapped ? address + strlen("::ffff:") : address;
}

static bool over_https(const struct request *request)
{
    const char *scheme = param_or(request, "REQUEST_SCHEME", NULL);
    return scheme ? text_equal(scheme, "https")
                  : text_equal_nocase(param_or(request, "HTTPS", NULL), "on");
}

static void fill_path(struct request *request)
{
    const char *uri = param_or(request, "REQUEST_URI", "");
    const size_t length = strcspn(uri, "?");

    request->path = mem_text_n(request, uri, length);
    request->query = uri[length] ? uri + length + 1 : "";
}

struct request *web_request_new(TALLOC_CTX *ctx, const struct web_host *host)
{
    struct request *request = mem_new(ctx, struct request);

    request->settings = host->settings;
    request->db = host->db;
    request->worker = host->worker;
    request->started_us = clock_monotonic_us();
    request->params = mem_array(request, char *, 1);
    request->path = "";
    request->query = "";
    request->body = bytes_of_text("");
    request->request_id = uuid_random(request);
    return request;
}

void web_request_fill(struct request *request, char *const *params)
{
    request->params = params_copy(request, params);
    const char *id = web_param_find(request->params, "REQUEST_ID");

    if (is_hex32(id))
        request->request_id = uuid_text(request, id);
    request->method = method_from_token(param_or(request, "REQUEST_METHOD", ""));
    fill_path(request);
    request->content_type = param_or(request, "CONTENT_TYPE", NULL);
    request->remote_addr = client_address(request);
    request->server_name = param_or(request, "SERVER_NAME", NULL);
    request->server_port = param_or(request, "SERVER_PORT", NULL);
    request->https = over_https(request);
    request->tls_client_verify = param_or(request, "SSL_CLIENT_VERIFY", NULL);
    request->tls_client_cert = client_certificate(request);
}

bool web_request_check_size(const struct request *request, struct fault *fault)
{
    size_t count = 0;
    size_t header_bytes = 0;

    for (char *const *param = request->params; *param; param++, count++)
        if (text_starts(*param, "HTTP_"))
            header_bytes += strlen(*param);
    if (count > WEB_PARAMS_MAX)
        return fault_set(fault, HEADERS_TOO_LARGE, NULL, "more than %d header fields",
                         WEB_PARAMS_MAX);
    if (header_bytes > WEB_HEADER_MAX)
        return fault_set(fault, HEADERS_TOO_LARGE, NULL, "header fields exceed %d bytes",
                         WEB_HEADER_MAX);
    return true;
}

/* Digits alone (RFC 9110 section 8.6); a number beyond int64_t counts as INT64_MAX. */
static bool content_length(const struct request *request, int64_t *ret_bytes, struct fault *fault)
{
    const char *value = param_or(request, "CONTENT_LENGTH", "0");

    if (value[strspn(value, "0123456789")] != '\0')
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "Content-Length is no number (RFC 9110 section 8.6)");
    if (!text_to_integer(value, 0, INT64_MAX, ret_bytes))
        *ret_bytes = INT64_MAX;
    return true;
}

bool web_request_read_body(struct request *request, const struct web_input *input, int64_t limit,
                           struct fault *fault)
{
    int64_t announced = 0;

    if (!content_length(request, &announced, fault))
        return false;
    if (announced > limit)
        return fault_set(fault, INPUT_TOO_LARGE, NULL, "Request body exceeds %lld bytes",
                         (long long)limit); /* int64_t has no printf letter of its own */
    if (announced == 0)
        return true;

    const size_t size = (size_t)announced; /* within the limit, which is far below SIZE_MAX */
    uint8_t *body = mem_array(request, uint8_t, size);
    const size_t got = input->read(input->source, body, size);
    if (got != size) {
        fault_set(fault, INPUT_MALFORMED, NULL, "the request body ended early");
        return fault_cause(fault, "%zu of %zu bytes", got, size);
    }
    request->body = (struct bytes){body, size};
    return true;
}
