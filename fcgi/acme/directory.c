/* fcgi/acme/directory.c: where everything is, and fresh nonces (RFC 8555 sections 7.1.1, 7.2). */
#include "core/json.h"
#include "fcgi/acme/acme.h"

#include "core/banned.h"

/* What an order may select (draft-ietf-acme-profiles section 3); NULL where there is no choice. */
static json_t *profiles_json(const struct acme_profile *profile)
{
    json_t *profiles = json_object();

    for (size_t i = 0; i < profile->policy_count; i++)
        if (profile->policies[i].enabled)
            json_set_text(profiles, profile->policies[i].id, profile->policies[i].description);
    if (json_object_size(profiles) > 1)
        return profiles;
    json_decref(profiles);
    return NULL;
}

/* Empty members and an empty meta are left out (01 section 2.2). */
static json_t *directory_meta(const struct request *request)
{
    const struct settings *settings = request->settings;
    json_t *meta = json_object();
    json_t *profiles = profiles_json(acme_of(request)->profile);

    json_set_text(meta, "termsOfService", settings->acme_tos_url);
    json_set_text(meta, "website", settings->acme_website);
    if (settings->acme_caa_identities.count > 0) {
        json_t *identities = json_array();

        for (size_t i = 0; i < settings->acme_caa_identities.count; i++)
            json_add_text(identities, settings->acme_caa_identities.items[i]);
        json_set_new(meta, "caaIdentities", identities);
    }
    if (settings->acme_eab_required || acme_of(request)->profile->eab_required)
        json_set_bool(meta, "externalAccountRequired", true);
    if (profiles)
        json_set_new(meta, "profiles", profiles);
    return meta;
}

bool acme_directory(struct request *request, struct response *response, struct fault *fault)
{
    static const struct {
        const char *name;
        const char *path;
    } entries[] = {
        {"newNonce",   "/new-nonce"  },
        {"newAccount", "/new-account"},
        {"newOrder",   "/new-order"  },
        {"revokeCert", "/revoke-cert"},
        {"keyChange",  "/key-change" },
    };
    json_t *directory = json_object();
    json_t *meta = directory_meta(request);

    (void)fault;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        json_set_text(directory, entries[i].name, acme_url(request, "%s", entries[i].path));
    if (acme_preauthorizes(acme_of(request)->profile))
        json_set_text(directory, "newAuthz", acme_url(request, "/new-authz"));
    if (request->settings->acme_ari_enabled)
        json_set_text(directory, "renewalInfo", acme_url(request, "/renewal-info"));
    if (json_object_size(meta) > 0)
        json_set_new(directory, "meta", meta);
    else
        json_decref(meta);
    response_header(response, "Link", NULL); /* no rel=index to itself (RFC 8555 section 7.1) */
    response_header(response, "Cache-Control", "public, max-age=0, no-cache");
    acme_nonce_header(request, response);
    return response_json(response, 200, directory);
}

bool acme_new_nonce(struct request *request, struct response *response, struct fault *fault)
{
    const char *nonce = acme_nonce_new(request, fault);

    if (!nonce)
        return false;
    response_header(response, "Replay-Nonce", "%s", nonce);
    response_header(response, "Cache-Control", "no-store");
    return response_empty(response, request->method == HEAD ? 200 : 204);
}
