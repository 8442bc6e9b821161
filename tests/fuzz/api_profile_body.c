/* tests/fuzz/api_profile_body.c: any body for a certificate profile, new, put or patched: it is
 * refused with a text for each fault, or makes a row that says the same when it is sent again, and
 * that the policy of issuance can read. */
#include <assert.h>

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "fcgi/api/api.h"
#include "pki/profile.h"
#include "resource/field.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char stored_text[] =
    "{\"name\":\"old\",\"description\":\"\",\"allowed_key_algorithms\":[],\"max_ttl_seconds\":0,"
    "\"allowed_ekus\":[],\"required_san_patterns\":[\"a\"],\"spiffe_uri_pattern\":\"\","
    "\"allow_short_lived\":false,\"must_staple\":true,\"required_csr_attributes\":[],"
    "\"acme_auth_mode\":\"challenge\",\"requires_approval\":false,\"issuer_id\":\"iss-local\","
    "\"subject_policy\":{\"fixed\":{\"title\":\"x\"}},\"enabled\":true}";

static const char *text_at(TALLOC_CTX *ctx, const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);

    return json_is_null(value) ? NULL : json_to_text(ctx, value);
}

/* What REST lets through, issuance must not stumble over. */
static void assert_readable(TALLOC_CTX *ctx, const json_t *row)
{
    struct profile *profile = mem_new(ctx, struct profile);
    struct text_list types = {0};
    struct fault fault = {0};
    size_t index;
    json_t *type;

    json_array_foreach (json_object_get(row, "allowed_san_types"), index, type)
        text_list_add(ctx, &types, json_string_value(type));
    assert(profile_set_key_rules(profile, text_at(ctx, row, "allowed_key_algorithms"), &fault));
    assert(profile_set_ekus(profile, text_at(ctx, row, "allowed_ekus"), &fault));
    assert(profile_set_san_patterns(profile, text_at(ctx, row, "required_san_patterns"), &fault));
    assert(profile_set_uri_patterns(profile, text_at(ctx, row, "allowed_uri_patterns"), &fault));
    assert(profile_set_spiffe_pattern(profile, json_text_at(row, "spiffe_uri_pattern"), &fault));
    assert(profile_set_san_types(profile, &types, &fault));
    assert(profile_set_subject_policy(profile, text_at(ctx, row, "subject_policy"), &fault));
}

static void judge(TALLOC_CTX *ctx, enum body_manner manner, const json_t *stored, json_t *body)
{
    const struct resource_write *write = api_profiles.write;
    struct fault_list problems = {0};
    AUTO(json_t) *row = fields_merge(write, manner, stored, body, &problems);

    assert(json_object_size(row) == write->field_count);
    for (size_t i = 0; i < problems.count; i++)
        assert(problems.items[i].reason == INPUT_INVALID && problems.items[i].field &&
               *problems.items[i].detail);
    if (problems.count > 0)
        return;
    struct fault_list none = {0};
    AUTO(json_t) *again = fields_merge(write, BODY_PUT, row, row, &none);
    assert(none.count == 0 && json_equal(row, again));
    AUTO(json_t) *diff = fields_diff(write, row, again);
    assert(json_array_size(diff) == 0);
    assert_readable(ctx, row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    AUTO(json_t) *stored = json_loads(stored_text, 0, NULL);
    struct settings settings = {.acme_default_auth_mode = "challenge"};
    struct request *request = mem_new(ctx, struct request);
    struct fault fault = {0};

    request->settings = &settings;
    AUTO(json_t) *body = json_parse_object((struct bytes){data, size}, INPUT_INVALID, "it", &fault);
    if (!body)
        return 0;
    judge(ctx, BODY_PUT, stored, body);
    judge(ctx, BODY_PATCH, stored, body);
    api_profiles.write->hooks.adapt(request, RESOURCE_CREATE, body);
    judge(ctx, BODY_NEW, NULL, body);
    return 0;
}
