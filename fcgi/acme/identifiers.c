/* fcgi/acme/identifiers.c: what a client may ask names for (01 section 9.1, RFC 8555 section 7.1.3,
 * RFC 8738). All refusals are collected, one subproblem an identifier. */
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/acme/acme.h"
#include "fcgi/acme/worker.h"
#include "pki/profile.h"

#include "core/banned.h"

static bool allowed_by_account(const struct acme_account *account, const char *value)
{
    for (size_t i = 0; i < account->allowed_identifiers.count; i++) {
        const char *pattern = account->allowed_identifiers.items[i];

        /* "*.corp.example" covers every name below it, and itself not. */
        if (text_starts(pattern, "*.")
                ? text_ends(value, pattern + 1) && strlen(value) > strlen(pattern) - 1
                : text_equal(pattern, value))
            return true;
    }
    return account->allowed_identifiers.count == 0;
}

/* Both the directory's ACME settings and the policy may leave wildcards and types out. */
static bool allows_wildcards(const struct request *request)
{
    const struct acme_request *acme = acme_of(request);

    return acme->profile->allow_wildcard && acme->policy->allow_wildcards;
}

static bool allows_type(const struct request *request, const char *type)
{
    const struct acme_request *acme = acme_of(request);
    const struct text_list *types = &acme->policy->san_types;

    return text_list_has(&acme->profile->identifier_types, type) &&
           (types->count == 0 || text_list_has(types, type));
}

static bool dns_read(struct request *request, const char *value, struct acme_identifier *ret,
                     struct fault *fault)
{
    const struct acme_profile *profile = acme_of(request)->profile;
    const unsigned flags = (allows_wildcards(request) ? NAME_ALLOW_WILDCARD : 0u) |
                           (profile->allow_single_label ? NAME_ALLOW_SINGLE_LABEL : 0u);
    struct acme_identifier identifier = {.type = "dns"};

    if (!name_dns_normalise(request, value, flags, &identifier.value, fault))
        return false;
    identifier.wildcard = text_starts(identifier.value, "*.");
    identifier.bare = identifier.value + (identifier.wildcard ? 2 : 0);
    *ret = identifier;
    return true;
}

static bool profile_allows(struct request *request, const struct acme_identifier *identifier,
                           struct fault *fault)
{
    const struct acme_request *acme = acme_of(request);
    const struct name name = {text_equal(identifier->type, "ip") ? NAME_IP : NAME_DNS,
                              identifier->value};
    struct profile patterns = {.name = acme->policy->id,
                               .san_patterns = acme->policy->san_patterns,
                               .allow_wildcards = allows_wildcards(request)};

    if (!profile_check_name(&patterns, &name, fault))
        return false;
    if (!allowed_by_account(&acme->account, identifier->value))
        return fault_set(fault, ACME_IDENTIFIER_REJECTED, NULL,
                         "%s is outside what this account may ask for", identifier->value);
    if (acme_challenge_types(request, acme->profile, identifier->type, identifier->wildcard)
            .count == 0)
        return fault_set(fault, ACME_IDENTIFIER_REJECTED, NULL, "no challenge can validate %s here",
                         identifier->wildcard ? "a wildcard" : "this identifier");
    return true;
}

/* In challenge mode we would have to connect to it (01 section 9.1). */
static bool address_check(struct request *request, const char *value, struct fault *fault)
{
    const struct acme_worker *worker = request->worker;
    struct net_address address;

    if (acme_of(request)->profile->trusts_accounts)
        return true;
    if (!net_address_from_text(value, &address) || !guard_allows(worker->guard, &address))
        return fault_set(fault, ACME_IDENTIFIER_REJECTED, NULL,
                         "%s is an address this server does not contact", value);
    return true;
}

static bool identifier_read(struct request *request, const char *type, const char *value,
                            struct acme_identifier *ret, struct fault *fault)
{
    const char *kind = text_lower(request, type);

    if (!text_equal(kind, "dns") && !text_equal(kind, "ip"))
        return fault_set(fault, ACME_IDENTIFIER_UNSUPPORTED, NULL,
                         "identifiers of type %s are not supported", text_quote(request, type));
    if (!allows_type(request, kind))
        return fault_set(fault, ACME_IDENTIFIER_REJECTED, NULL,
                         "this profile takes no identifiers of type %s", kind);
    if (text_equal(kind, "dns")) {
        if (!dns_read(request, value, ret, fault))
            return false;
    } else {
        *ret = (struct acme_identifier){.type = "ip"};
        if (!name_ip_normalise(request, value, &ret->value, fault) ||
            !address_check(request, ret->value, fault))
            return false;
        ret->bare = ret->value;
    }
    return profile_allows(request, ret, fault);
}

/* Duplicates are dropped in silence: at finalize both directions are compared. */
static void identifier_keep(struct acme_identifiers *list, const struct acme_identifier *identifier)
{
    for (size_t i = 0; i < list->count; i++)
        if (text_equal(list->items[i].type, identifier->type) &&
            text_equal(list->items[i].value, identifier->value))
            return;
    list->items[list->count++] = *identifier;
}

static bool array_check(const struct request *request, const json_t *array, struct fault *fault)
{
    const size_t count = json_array_size(array);
    size_t index;
    json_t *entry;

    if (count == 0)
        return fault_set(fault, INPUT_INVALID, "identifiers", "identifiers is empty");
    if (count > (size_t)request->settings->acme_max_identifiers) /* 1 or more */
        return fault_set(fault, INPUT_INVALID, "identifiers",
                         "%zu identifiers; at most %lld are allowed", count,
                         (long long)request->settings->acme_max_identifiers);
    json_array_foreach (array, index, entry)
        if (!json_text_at(entry, "type") || !json_text_at(entry, "value"))
            return fault_set(fault, INPUT_INVALID, "identifiers",
                             "identifiers[%zu] needs the texts type and value", index);
    return true;
}

bool acme_identifiers_read(struct request *request, json_t *array,
                           struct acme_identifiers *ret_identifiers, struct fault *fault)
{
    struct acme_identifiers list = {0};
    size_t refused = 0;
    size_t index;
    json_t *entry;

    if (!array_check(request, array, fault))
        return false;
    list.items = mem_array(request, struct acme_identifier, json_array_size(array));
    json_array_foreach (array, index, entry) {
        const char *type = json_text_at(entry, "type");
        const char *value = json_text_at(entry, "value");
        struct acme_identifier identifier = {0};
        struct fault why = {0};

        if (identifier_read(request, type, value, &identifier, &why)) {
            identifier_keep(&list, &identifier);
            continue;
        }
        refused++;
        acme_subproblem(request,
                        why.reason == ACME_IDENTIFIER_UNSUPPORTED ? "unsupportedIdentifier"
                                                                  : "rejectedIdentifier",
                        400, why.detail, type, value);
    }
    if (refused > 0)
        return fault_set(fault, ACME_IDENTIFIER_REJECTED, "identifiers",
                         "one or more identifiers were rejected");
    *ret_identifiers = list;
    return true;
}
