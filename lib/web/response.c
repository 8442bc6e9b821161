/* lib/web/response.c: headers and bodies, and their CGI form (RFC 3875 section 6). */
#include "web/response.h"
#include "web/web_private.h"

#include <stdarg.h>
#include <stdlib.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    {200, "OK"                             },
    {201, "Created"                        },
    {202, "Accepted"                       },
    {204, "No Content"                     },
    {206, "Partial Content"                },
    {301, "Moved Permanently"              },
    {302, "Found"                          },
    {303, "See Other"                      },
    {304, "Not Modified"                   },
    {307, "Temporary Redirect"             },
    {400, "Bad Request"                    },
    {401, "Unauthorized"                   },
    {403, "Forbidden"                      },
    {404, "Not Found"                      },
    {405, "Method Not Allowed"             },
    {406, "Not Acceptable"                 },
    {409, "Conflict"                       },
    {410, "Gone"                           },
    {412, "Precondition Failed"            },
    {413, "Request Entity Too Large"       },
    {414, "Request-URI Too Long"           },
    {415, "Unsupported Media Type"         },
    {422, "Unprocessable Entity"           },
    {428, "Precondition Required"          },
    {429, "Too Many Requests"              },
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"          },
    {501, "Not Implemented"                },
    {502, "Bad Gateway"                    },
    {503, "Service Unavailable"            },
    {504, "Gateway Timeout"                },
};

const char *response_reason_phrase(unsigned status)
{
    for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

/* A second line in a value would be a header of the client's choice. */
static void header_append(struct response *response, const char *name, const char *value)
{
    if (response->header_count == RESPONSE_HEADERS_MAX || strpbrk(value, "\r\n"))
        abort();
    response->headers[response->header_count].name = name;
    response->headers[response->header_count++].value = value;
}

static void header_remove(struct response *response, const char *name)
{
    size_t kept = 0;

    for (size_t i = 0; i < response->header_count; i++)
        if (!text_equal_nocase(response->headers[i].name, name))
            response->headers[kept++] = response->headers[i];
    response->header_count = kept;
}

void response_header(struct response *response, const char *name, const char *format, ...)
{
    va_list args;

    header_remove(response, name);
    if (!format)
        return;
    va_start(args, format);
    const char *value = mem_vprintf(response->request, format, args);
    va_end(args);
    header_append(response, name, value);
}

void response_header_add(struct response *response, const char *name, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const char *value = mem_vprintf(response->request, format, args);
    va_end(args);
    header_append(response, name, value);
}

bool response_bytes(struct response *response, unsigned status, const char *content_type,
                    struct bytes body)
{
    response_header(response, "Content-Type", content_type ? "%s" : NULL, content_type);
    response->status = status;
    response->body = body;
    response->started = true;
    return true;
}

bool response_empty(struct response *response, unsigned status)
{
    return response_bytes(response, status, NULL, bytes_of_text(""));
}

bool response_json_text(struct response *response, unsigned status, const char *text)
{
    const char *body = mem_printf(response->request, "%s\n", text);
    return response_bytes(response, status, "application/json", bytes_of_text(body));
}

bool response_json(struct response *response, unsigned status, json_t *value)
{
    char *text = json_to_text(response->request, value);

    json_decref(value);
    text = mem_append(text, "\n");
    return response_bytes(response, status, "application/json", bytes_of_text(text));
}

void web_security_headers(struct response *response)
{
    static const struct {
        const char *name;
        const char *value;
    } headers[] = {
        {"Strict-Transport-Security", "max-age=31536000; includeSubDomains"},
        {"X-Frame-Options",           "DENY"                               },
        {"X-Content-Type-Options",    "nosniff"                            },
        {"Referrer-Policy",           "no-referrer-when-downgrade"         },
        {"Content-Security-Policy",
         "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
         "script-src 'self'; connect-src 'self'; frame-ancestors 'none'"   },
        {"Permissions-Policy",
         "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=(), "
         "interest-cohort=()"                                              },
    };

    for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
        response_header(response, headers[i].name, "%s", headers[i].value);
}

static bool status_bears_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

bool web_response_has_body(const struct response *response)
{
    return status_bears_body(response->status) && response->request->method != HEAD;
}

static char *put_text(char *to, const char *text)
{
    const struct bytes from = bytes_of_text(text);

    memcpy(to, from.data, from.size);
    return to + from.size;
}

static size_t headers_size(const struct response *response)
{
    size_t size = 0;

    for (size_t i = 0; i < response->header_count; i++)
        size += strlen(response->headers[i].name) + strlen(response->headers[i].value) +
                strlen(": \r\n");
    return size;
}

/* Measured first and written once: formatted line by line it was a tenth of what a small answer
 * costs. */
char *web_response_head(TALLOC_CTX *ctx, const struct response *response)
{
    const char *first = mem_printf(ctx, "Status: %u %s\r\n", response->status,
                                   response_reason_phrase(response->status));
    const char *last = status_bears_body(response->status)
                           ? mem_printf(ctx, "Content-Length: %zu\r\n\r\n", response->body.size)
                           : "\r\n";
    char *head = mem_array(ctx, char, strlen(first) + headers_size(response) + strlen(last) + 1);
    char *to = put_text(head, first);

    for (size_t i = 0; i < response->header_count; i++) {
        to = put_text(to, response->headers[i].name);
        to = put_text(to, ": ");
        to = put_text(to, response->headers[i].value);
        to = put_text(to, "\r\n");
    }
    (void)put_text(to, last); /* mem_array's zeros end it */
    return head;
}
