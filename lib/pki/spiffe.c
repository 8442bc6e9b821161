/* lib/pki/spiffe.c: SPIFFE IDs and patterns, see spiffe.h. */
#include "pki/spiffe.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"

#include "core/banned.h"

#define SCHEME            "spiffe://"
#define ID_MOST           2048
#define TRUST_DOMAIN_MOST 255
#define LOWER             "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define SEGMENT           "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LOWER

bool spiffe_is_meant(const char *uri)
{
    return strncasecmp(uri, SCHEME, strlen(SCHEME) - 2) == 0;
}

static const char *path_problem(const char *path, const char *letters)
{
    while (*path) {
        path++; /* the slash before it */
        const size_t length = strcspn(path, "/");
        if (length == 0)
            return "a path segment is empty";
        if (strspn(path, letters) < length)
            return "a path segment has a character that is none of A-Z a-z 0-9 . _ -";
        if ((length == 1 && path[0] == '.') || (length == 2 && path[0] == '.' && path[1] == '.'))
            return "a path segment is . or ..";
        path += length;
    }
    return NULL;
}

static const char *problem_of(const char *text, const char *letters)
{
    if (!text_starts(text, SCHEME))
        return "it must start with spiffe://";
    if (strlen(text) > ID_MOST)
        return "it is longer than 2048 bytes";
    const char *domain = text + strlen(SCHEME);
    const size_t length = strcspn(domain, "/");
    if (length == 0 || length > TRUST_DOMAIN_MOST || strspn(domain, LOWER) < length)
        return "the trust domain is not 1 to 255 of a-z 0-9 . _ -";
    return path_problem(domain + length, letters);
}

const char *spiffe_id_problem(const char *text)
{
    return problem_of(text, SEGMENT);
}

const char *spiffe_pattern_problem(const char *pattern)
{
    const char *rest = strstr(pattern, "**");

    if (rest && (rest == pattern || rest[2] != '\0' || rest[-1] != '/'))
        return "** may only be the last segment";
    return problem_of(pattern, SEGMENT "*");
}

bool spiffe_pattern_is_literal(const char *pattern)
{
    return !strchr(pattern, '*');
}

/* One segment of each, their lengths given. A star that fails takes one character more. */
static bool segment_matches(const char *pattern, size_t pattern_length, const char *text,
                            size_t text_length)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; /* the last one, and what it has taken up to */
    size_t taken = 0;

    while (t < text_length) {
        if (p < pattern_length && pattern[p] == '*') {
            star = p++;
            taken = ++t; /* at least one character */
        } else if (p < pattern_length && pattern[p] == text[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++taken;
        } else {
            return false;
        }
    }
    return p == pattern_length && t == text_length;
}

bool spiffe_pattern_matches(const char *pattern, const char *id)
{
    for (;;) {
        if (text_equal(pattern, "**"))
            return *id != '\0';
        const size_t pattern_length = strcspn(pattern, "/");
        const size_t length = strcspn(id, "/");
        if (!segment_matches(pattern, pattern_length, id, length))
            return false;
        pattern += pattern_length;
        id += length;
        if (*pattern != *id)
            return false;
        if (*pattern == '\0')
            return true;
        pattern++;
        id++;
    }
}
