/* lib/net/target.c: URLs of strangers, taken apart by libcurl, judged by us (01 section 11.4). */
#include "net/target.h"

#include <curl/curl.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

AUTO_DEFINE(CURLU, curl_url_cleanup)

#define REFERENCE_MAX 8192
#define HOST_MAX      253

/* NULL where the URL has no such part. */
static char *part(TALLOC_CTX *ctx, CURLU *url, CURLUPart which, unsigned flags)
{
    char *text = NULL;

    if (curl_url_get(url, which, &text, flags) != CURLUE_OK || !text)
        return NULL;
    char *copy = mem_text(ctx, text);
    curl_free(text);
    return copy;
}

static bool host_check(const char *host, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!*host || *host == '.' || strstr(host, "..") || text_ends(host, ".") ||
        strlen(host) > HOST_MAX)
        return fault_set(fault, NET_RESPONSE, NULL, "the redirect names no host");
    if (text_ends(host, ".well-known"))
        return fault_set(fault, NET_RESPONSE, NULL,
                         "redirect to the host %s: a slash is missing in the redirect rule",
                         text_quote(scratch, host));
    if (strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._:") != strlen(host))
        return fault_set(fault, NET_RESPONSE, NULL, "redirect to %s, which is no host name",
                         text_quote(scratch, host));
    return true;
}

/* Lower case, without brackets and without the root's dot. */
static char *host_of(TALLOC_CTX *ctx, CURLU *url)
{
    char *host = part(ctx, url, CURLUPART_HOST, 0);

    if (!host)
        return mem_text(ctx, "");
    host = text_lower(ctx, host);
    const size_t length = strlen(host);
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']')
        return mem_text_n(ctx, host + 1, length - 2);
    if (length > 0 && host[length - 1] == '.')
        return mem_text_n(ctx, host, length - 1);
    return host;
}

static bool scheme_check(TALLOC_CTX *scratch, CURLU *url, struct fault *fault)
{
    const char *scheme = part(scratch, url, CURLUPART_SCHEME, 0);

    if (!text_equal_nocase(scheme, "http") && !text_equal_nocase(scheme, "https"))
        return fault_set(fault, NET_RESPONSE, NULL,
                         "redirect to the scheme %s; http and https are followed",
                         text_quote(scratch, scheme ? scheme : ""));
    if (part(scratch, url, CURLUPART_USER, 0) || part(scratch, url, CURLUPART_PASSWORD, 0))
        return fault_set(fault, NET_RESPONSE, NULL, "redirect to a URL with a user name");
    if (part(scratch, url, CURLUPART_ZONEID, 0))
        return fault_set(fault, NET_RESPONSE, NULL, "redirect to an address with a zone");
    return true;
}

static bool port_read(TALLOC_CTX *scratch, CURLU *url, unsigned extra, unsigned *ret_port,
                      struct fault *fault)
{
    const char *text = part(scratch, url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    int64_t port;

    if (!text || !text_to_integer(text, 1, 65535, &port) ||
        (port != 80 && port != 443 && port != (int64_t)extra))
        return fault_set(fault, NET_RESPONSE, NULL, "redirect to port %s; 80 and 443 are followed",
                         text ? text : "0");
    *ret_port = (unsigned)port; /* 65535 at most */
    return true;
}

static bool path_check(TALLOC_CTX *scratch, CURLU *url, struct fault *fault)
{
    const char *path = part(scratch, url, CURLUPART_PATH, 0);
    const char *query = part(scratch, url, CURLUPART_QUERY, 0);

    if ((path ? strlen(path) : 0) + (query ? strlen(query) : 0) > TARGET_PATH_MAX)
        return fault_set(fault, NET_RESPONSE, NULL, "redirect to a path of more than %d bytes",
                         TARGET_PATH_MAX);
    return true;
}

/* RFC 3986 section 2: a URL is ASCII. libcurl lets other bytes through. */
static bool plain(const char *reference)
{
    size_t length = 0;

    for (; reference[length]; length++)
        if (reference[length] <= ' ' || reference[length] >= 0x7f)
            return false;
    return length <= REFERENCE_MAX;
}

static bool url_parse(CURLU *url, const char *base, const char *reference, struct fault *fault)
{
    if (!plain(reference) || (base && curl_url_set(url, CURLUPART_URL, base, 0) != CURLUE_OK) ||
        curl_url_set(url, CURLUPART_URL, reference, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK) {
        AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
        return fault_set(fault, NET_RESPONSE, NULL, "redirect to %s, which is no usable URL",
                         text_quote(scratch, reference));
    }
    return true;
}

/* What is requested: host as we judged it, so that it matches the pinned addresses. */
static char *url_text(TALLOC_CTX *ctx, CURLU *url, const char *host)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const bool v6 = strchr(host, ':') != NULL;
    const char *shown = v6 ? mem_printf(scratch, "[%s]", host) : host;

    if (curl_url_set(url, CURLUPART_HOST, shown, 0) != CURLUE_OK)
        return NULL;
    return part(ctx, url, CURLUPART_URL, CURLU_NO_DEFAULT_PORT);
}

/* "411." is a name and "411" an address: what is requested must mean the host that we judged. */
static bool means_the_same(const char *text, const char *host)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(CURLU) *url = curl_url();

    return url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
           text_equal(host_of(scratch, url), host);
}

bool http_target_read(TALLOC_CTX *ctx, const char *base, const char *reference, unsigned extra_port,
                      struct http_target *ret_target, struct fault *fault)
{
    AUTO(TALLOC_CTX) *held = talloc_new(NULL);
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(CURLU) *url = curl_url();
    struct http_target target = {0};

    if (!url)
        mem_exhausted(sizeof(void *), "CURLU");
    if (!url_parse(url, base, reference, fault) || !scheme_check(scratch, url, fault))
        return false;
    target.host = host_of(held, url);
    if (!host_check(target.host, fault) ||
        !port_read(scratch, url, extra_port, &target.port, fault) ||
        !path_check(scratch, url, fault))
        return false;
    target.url = url_text(held, url, target.host);
    if (!target.url || !means_the_same(target.url, target.host))
        return fault_set(fault, NET_RESPONSE, NULL, "redirect to %s, which is no host name",
                         text_quote(scratch, target.host));
    (void)talloc_steal(ctx, target.host);
    (void)talloc_steal(ctx, target.url);
    *ret_target = target;
    return true;
}
