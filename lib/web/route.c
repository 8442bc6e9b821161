/* lib/web/route.c: which row of a responder's table serves a request, 05 section 1.4 step 6. */
#include "web/route.h"

#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

/* A reader of patterns: "/order/{order}" gives "order", then "{order}". */
static bool pattern_next(const char **at, const char **ret_segment, size_t *ret_length)
{
    if (**at != '/')
        return false;
    *ret_segment = *at + 1;
    *ret_length = strcspn(*ret_segment, "/");
    *at = *ret_segment + *ret_length;
    return true;
}

/* *ret_literals has a bit for each literal segment, the first segment's the highest: of two
 * patterns that match, the greater number is the more particular one. */
static bool pattern_matches(const char *pattern, const struct request *request,
                            unsigned *ret_literals)
{
    const char *segment = NULL;
    size_t length = 0;
    size_t index = 0;

    *ret_literals = 0;
    for (; pattern_next(&pattern, &segment, &length); index++) {
        if (index == request->segment_count)
            return false;
        if (*segment == '{')
            continue;
        const char *wanted = request->segments[index];
        if (strlen(wanted) != length || memcmp(wanted, segment, length) != 0)
            return false;
        *ret_literals |= 1U << (REQUEST_SEGMENTS_MAX - 1 - index);
    }
    return index == request->segment_count;
}

static void capture(struct request *request, const char *pattern)
{
    const char *segment = NULL;
    size_t length = 0;

    request->captured_count = 0;
    for (size_t i = 0; pattern_next(&pattern, &segment, &length); i++) {
        if (*segment != '{')
            continue;
        const size_t slot = request->captured_count++;
        request->captured[slot].name = mem_text_n(request, segment + 1, length - 2);
        request->captured[slot].value = request->segments[i];
    }
}

/* Sorted, as clients compare it; HEAD goes with GET, OPTIONS is answered for every path. */
static const char *allow_text(struct request *request, unsigned methods)
{
    static const struct {
        enum method method;
        const char *token;
    } sorted[] = {
        {DELETE,  "DELETE" },
        {GET,     "GET"    },
        {HEAD,    "HEAD"   },
        {OPTIONS, "OPTIONS"},
        {PATCH,   "PATCH"  },
        {POST,    "POST"   },
        {PUT,     "PUT"    },
    };
    char *text = mem_text(request, "");

    methods |= OPTIONS | (methods & GET ? HEAD : 0U);
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
        if (methods & sorted[i].method)
            text = mem_append(text, "%s%s", *text ? ", " : "", sorted[i].token);
    return text;
}

/* The rows of the most particular pattern that matches. */
struct candidates {
    unsigned literals;
    unsigned methods; /* of all its rows; 0: no row matches */
    const struct route *exact;
    const struct route *get; /* serves HEAD where no row does */
};

static void candidates_add(struct candidates *candidates, const struct route *route,
                           unsigned literals, enum method method)
{
    if (candidates->methods && literals < candidates->literals)
        return;
    if (literals > candidates->literals)
        *candidates = (struct candidates){0};
    candidates->literals = literals;
    candidates->methods |= route->methods;
    if (!candidates->exact && route->methods & method)
        candidates->exact = route;
    if (!candidates->get && route->methods & GET)
        candidates->get = route;
}

bool route_find(struct request *request, const struct route *routes, size_t count,
                const char **ret_allow, struct fault *fault)
{
    struct candidates candidates = {0};
    unsigned literals = 0;

    for (size_t i = 0; i < count; i++)
        if (pattern_matches(routes[i].pattern, request, &literals))
            candidates_add(&candidates, &routes[i], literals, request->method);
    if (!candidates.methods)
        return fault_set(fault, ROUTE_UNKNOWN, NULL, "no such resource");

    const struct route *route = candidates.exact;
    if (!route && request->method == HEAD)
        route = candidates.get;
    if (!route) {
        *ret_allow = allow_text(request, candidates.methods);
        return fault_set(fault, METHOD_NOT_ALLOWED, NULL, "method not allowed");
    }
    request->route = route;
    capture(request, route->pattern);
    return true;
}
