/* lib/web/path.c: from the raw path to decoded segments, 05 section 1.4 steps 4 and 5.
 *
 * A segment is decoded once. What two parsers could read in two ways (an encoded slash, an empty
 * or dot segment) is refused, never repaired: the web server chose the location by its reading. */
#include "web/route.h"
#include "web/web_private.h"

#include "core/bytes.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

bool web_percent_decode(char *text)
{
    char *into = text;

    for (const char *from = text; *from; from++) {
        if (*from != '%') {
            *into++ = *from;
            continue;
        }
        const int high = hex_digit_value(from[1]);
        const int low = high < 0 ? -1 : hex_digit_value(from[2]);
        if (low < 0 || high + low == 0)
            return false;
        *into++ = (char)(high * 16 + low); /* a byte, whatever the sign of char */
        from += 2;
    }
    *into = '\0';
    return true;
}

/* What is wrong with a decoded segment, or NULL. */
static const char *segment_flaw(const char *segment)
{
    if (*segment == '\0')
        return "empty segment";
    if (text_equal(segment, ".") || text_equal(segment, ".."))
        return "dot segment";
    for (const char *at = segment; *at; at++) {
        if (*at == '/' || *at == '\\')
            return "slash within a segment";
        if ((*at > 0 && *at < 0x20) || *at == 0x7f)
            return "control byte";
    }
    return text_utf8_valid(segment, strlen(segment)) ? NULL : "invalid UTF-8";
}

static bool segment_add(struct request *request, const char *from, size_t length,
                        struct fault *fault)
{
    if (request->segment_count == REQUEST_SEGMENTS_MAX)
        return fault_set(fault, ROUTE_UNKNOWN, NULL, "no such resource");

    char *segment = mem_text_n(request, from, length);
    const char *flaw = web_percent_decode(segment) ? segment_flaw(segment) : "bad escape";
    if (flaw) {
        fault_set(fault, INPUT_MALFORMED, NULL, "Malformed path"); /* the contract's words */
        return fault_cause(fault, "segment %zu: %s", request->segment_count + 1, flaw);
    }
    request->segments[request->segment_count++] = segment;
    return true;
}

bool path_split(struct request *request, struct fault *fault)
{
    const char *at = request->path;

    request->segment_count = 0;
    if (*at != '/') {
        fault_set(fault, INPUT_MALFORMED, NULL, "Malformed path");
        return fault_cause(fault, "it does not begin with a slash");
    }
    while (*at == '/') {
        const char *segment = at + 1;
        const size_t length = strcspn(segment, "/");
        /* A slash at the end names another resource than the path without it: none of ours. */
        if (length == 0 && segment[0] == '\0')
            return fault_set(fault, ROUTE_UNKNOWN, NULL, "no such resource");
        if (!segment_add(request, segment, length, fault))
            return false;
        at = segment + length;
    }
    return true;
}

bool web_path_split_raw_tail(struct request *request, const char *below, struct fault *fault)
{
    const char *whole = request->path;
    const char *tail = strchr(whole + strlen(below), '/');

    if (!tail)
        return path_split(request, fault);
    request->path = mem_text_n(request, whole, (size_t)(tail - whole)); /* tail lies behind */
    const bool split = path_split(request, fault);
    request->path = whole;
    if (!split)
        return false;
    if (request->segment_count == REQUEST_SEGMENTS_MAX)
        return fault_set(fault, ROUTE_UNKNOWN, NULL, "no such resource");
    request->segments[request->segment_count++] = mem_text(request, tail + 1);
    request->raw_tail = true;
    return true;
}

/* What follows the first `count` segments in DOCUMENT_URI, or NULL: they are others. */
static const char *document_rest(const struct request *request, const char *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(request->segments[i]);
        if (*at != '/' || strncmp(at + 1, request->segments[i], length) != 0)
            return NULL;
        at += 1 + length;
    }
    return at;
}

bool web_path_check_document(const struct request *request, struct fault *fault)
{
    const char *document = web_param_find(request->params, "DOCUMENT_URI");

    if (!document)
        return true;
    const char *rest = document_rest(request, document, request->segment_count - request->raw_tail);
    if (rest && *rest == (request->raw_tail ? '/' : '\0'))
        return true;
    fault_set(fault, INPUT_MALFORMED, NULL, "Malformed path");
    return fault_cause(fault, "DOCUMENT_URI is another path");
}
