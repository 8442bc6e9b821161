/* lib/lifecycle/ca_facts.c: the change of a CA's facts: old and new in one body, so that what was
 * approved is a step from here to there, and a step that was made is known again. */
#include "ca_facts.h"

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

/* The certificate and `retired` are not for requests: the one is the CA, the other ends it. */
static const struct {
    const char *name;
    json_type type;
} members[] = {
    {"max_leaf_days",                JSON_INTEGER},
    {"ocsp_urls",                    JSON_ARRAY  },
    {"ca_issuers_urls",              JSON_ARRAY  },
    {"crl_urls",                     JSON_ARRAY  },
    {"allowed_ekus",                 JSON_ARRAY  },
    {"allowed_policies",             JSON_ARRAY  },
    {"permitted_dns",                JSON_ARRAY  },
    {"excluded_dns",                 JSON_ARRAY  },
    {"signatures_per_hour_per_peer", JSON_INTEGER},
    {"crl_validity_seconds",         JSON_INTEGER},
    {"ocsp_validity_seconds",        JSON_INTEGER},
};

static json_t *null_or(json_t *value)
{
    return value ? value : json_null();
}

static bool type_of(const char *name, json_type *ret_type)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (text_equal(members[i].name, name)) {
            *ret_type = members[i].type;
            return true;
        }
    return false;
}

static bool value_fits(const json_t *value, json_type type)
{
    const json_t *item;
    size_t i;

    if (json_is_null(value))
        return true;
    if (json_typeof(value) != type)
        return false;
    json_array_foreach (value, i, item)
        if (!json_is_string(item))
            return false;
    return true;
}

/* A CA above others was made without any usage to give: it signs no leaf, and is not opened. */
static bool usages_fit(const char *name, const json_t *old, struct fault *fault)
{
    const bool none = json_is_array(old) && json_array_size(old) == 0;

    return !text_equal(name, "allowed_ekus") || !none ||
           fault_set(fault, INPUT_INVALID, "change",
                     "allowed_ekus: the CA signs certificates of CAs alone");
}

static bool step_fits(const char *name, const json_t *step, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const json_t *old = json_object_get(step, "old");
    const json_t *wanted = json_object_get(step, "new");
    json_type type;

    if (!type_of(name, &type))
        return fault_set(fault, INPUT_INVALID, "change", "no request changes %s of a CA's facts",
                         text_quote(scratch, name));
    if (!old || !wanted || json_object_size(step) != 2 || !value_fits(old, type) ||
        !value_fits(wanted, type))
        return fault_set(fault, INPUT_INVALID, "change",
                         "%s must have old and new, each null or %s", name,
                         type == JSON_INTEGER ? "a whole number" : "a list of texts");
    if (json_equal(old, wanted))
        return fault_set(fault, INPUT_INVALID, "change", "%s is the same, old and new", name);
    return usages_fit(name, old, fault);
}

bool ca_facts_change_fits(json_t *change, struct fault *fault)
{
    const char *name;
    json_t *step;

    if (json_object_size(change) == 0)
        return fault_set(fault, INPUT_INVALID, "change", "nothing would change");
    json_object_foreach (change, name, step)
        if (!step_fits(name, step, fault))
            return false;
    return true;
}

void ca_facts_propose(json_t *change, const json_t *now, const char *member, json_t *wanted)
{
    json_t *old = null_or(json_object_get(now, member));

    if (json_equal(old, wanted)) {
        json_decref(wanted);
        return;
    }
    json_t *step = json_object();
    json_set_new(step, "old", json_incref(old));
    json_set_new(step, "new", wanted);
    json_set_new(change, member, step);
}

json_t *ca_facts_read(const char *text, struct bytes certificate_der, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *facts = json_parse_object(bytes_of_text(text), SIGNER_KEY, "facts", fault);

    if (!facts)
        return NULL;
    if (!text_equal(json_text_at(facts, "ca_certificate"),
                    base64_from_bytes(scratch, certificate_der)))
        return fault_set(fault, RESOURCE_STATE, "ca_id",
                         "the facts of the CA's key are of another certificate");
    return TAKE(facts);
}

static void set_member(json_t *facts, const char *name, json_t *value)
{
    if (json_is_null(value))
        (void)json_object_del(facts, name); /* -1: it was not there */
    else
        json_set_new(facts, name, json_incref(value));
}

bool ca_facts_apply(json_t *facts, json_t *change, bool *ret_changed, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *name;
    json_t *step;

    *ret_changed = false;
    json_object_foreach (change, name, step) {
        json_t *now = null_or(json_object_get(facts, name));
        json_t *wanted = json_object_get(step, "new");

        if (json_equal(now, wanted))
            continue;
        if (!json_equal(now, json_object_get(step, "old")))
            return fault_set(fault, RESOURCE_STATE, "change",
                             "%s was changed after the request was made: it is %s now", name,
                             json_to_text(scratch, now));
        set_member(facts, name, wanted);
        *ret_changed = true;
    }
    return true;
}

/* Each list that bears the id of one CA bears that of the other. */
static json_t *moved(const json_t *urls, const char *from, const char *to)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    json_t *list = json_array();
    const json_t *item;
    size_t i;

    json_array_foreach (urls, i, item) {
        const char *url = json_string_value(item) ? json_string_value(item) : "";
        const char *mark = strstr(url, from);
        json_add_text(list, mark ? mem_printf(scratch, "%.*s%s%s", (int)(mark - url), url, to,
                                              mark + strlen(from))
                                 : url);
    }
    return list;
}

void ca_facts_inherit(json_t *facts, const struct ca_before *before, const char *ca_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const char *name = members[i].name;
        json_t *value = json_object_get(before->facts, name);
        const bool place = text_ends(name, "_urls");
        if (!place)
            set_member(facts, name, null_or(value));
        else if (value && !json_object_get(facts, name))
            json_set_new(facts, name, moved(value, before->id, ca_id));
    }
}
