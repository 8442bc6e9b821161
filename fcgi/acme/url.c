/* fcgi/acme/url.c: URLs in and out. The Host header has no say (00 decision 18). */
#include "fcgi/acme/acme.h"

#include "core/auto.h"
#include "core/id.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define SHORTHAND "/acme"
#define FAMILY    "/acme/profile/"

char *acme_url_canonical(TALLOC_CTX *ctx, const char *url)
{
    const char *host = strstr(url, "://");

    if (!host)
        return mem_text(ctx, url);
    host += 3;
    const size_t authority = (size_t)(host - url) + strcspn(host, "/?#");
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *lower = text_lower(scratch, mem_text_n(scratch, url, authority));
    if (text_starts(lower, "https://") && text_ends(lower, ":443"))
        lower[strlen(lower) - strlen(":443")] = '\0';
    return mem_printf(ctx, "%s%s", lower, url + authority);
}

static const char *base_of(const struct request *request)
{
    const char *configured = request->settings->acme_base_url;

    if (configured)
        return acme_url_canonical(request->protocol, configured);
    return acme_url_canonical(request->protocol,
                              mem_printf(request->protocol, "https://%s:%s",
                                         request->server_name ? request->server_name : "localhost",
                                         request->server_port ? request->server_port : "443"));
}

/* "/acme/profile/ID/rest" names its profile; "/acme/rest" means the default one. */
static void family_of(const struct request *request, struct acme_request *acme)
{
    const char *path = request->path;

    acme->prefix = SHORTHAND;
    acme->profile_id = request->settings->acme_default_profile_id;
    if (!path || !text_starts(path, FAMILY))
        return;
    const char *id = path + strlen(FAMILY);
    const char *profile_id = mem_text_n(acme, id, strcspn(id, "/"));
    if (!id_valid(profile_id))
        return;
    acme->profile_id = profile_id;
    acme->prefix = mem_printf(acme, FAMILY "%s", profile_id);
}

void acme_url_prepare(struct request *request)
{
    struct acme_request *acme = mem_new(request, struct acme_request);

    request->protocol = acme;
    acme->base = base_of(request);
    family_of(request, acme);
}

char *acme_url(const struct request *request, const char *format, ...)
{
    const struct acme_request *acme = acme_of(request);
    va_list args;

    va_start(args, format);
    const char *rest = mem_vprintf(request->protocol, format, args);
    va_end(args);
    return mem_printf(request->protocol, "%s%s%s", acme->base, acme->prefix, rest);
}

static const char *account_after(const char *url, const char *start)
{
    if (!text_starts(url, start))
        return NULL;
    const char *id = url + strlen(start);
    return id_valid(id) ? id : NULL;
}

const char *acme_url_account(const struct request *request, const char *kid)
{
    const struct acme_request *acme = acme_of(request);
    const char *url = acme_url_canonical(request->protocol, kid);
    const char *id = account_after(url, mem_printf(request->protocol, "%s" FAMILY "%s/account/",
                                                   acme->base, acme->profile_id));

    if (!id && text_equal(acme->profile_id, request->settings->acme_default_profile_id))
        id = account_after(url,
                           mem_printf(request->protocol, "%s" SHORTHAND "/account/", acme->base));
    return id;
}
