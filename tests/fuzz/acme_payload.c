/* tests/fuzz/acme_payload.c: the payloads of ACME's POSTs behind a good signature. The first octet
 * chooses the resource, the second the state of the world (acme_rig.h), the rest is the payload, or
 * what the cursor encodes. */
#include "acme_rig.h"
#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *path;
    bool by_jwk;
} resources[] = {
    {"/acme/new-account",                       true },
    {"/acme/account/acme-acc-1",                false},
    {"/acme/account/acme-acc-1/orders",         false},
    {"/acme/account/acme-acc-1/orders?cursor=", false},
    {"/acme/new-order",                         false},
    {"/acme/order/acme-ord-1",                  false},
    {"/acme/order/acme-ord-1/finalize",         false},
    {"/acme/authz/acme-authz-1",                false},
    {"/acme/challenge/acme-chall-1.http-01",    false},
    {"/acme/cert/mc-1",                         false},
    {"/acme/revoke-cert",                       false},
    {"/acme/key-change",                        false},
    {"/acme/new-authz",                         false},
    {"/acme/cert/mc-1/1",                       false},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const size_t which = data[0] % ARRAY_SIZE(resources);
    const bool revokes = text_equal(resources[which].path, "/acme/revoke-cert");
    const bool own_key = revokes && data[1] & WORLD_OWN_KEY;
    const struct bytes rest = bytes_copy(ctx, (struct bytes){data + 2, size - 2});
    const char *path = resources[which].path;

    if (text_ends(path, "="))
        path = mem_printf(ctx, "%s%s", path, base64url_from_bytes(ctx, rest));
    const struct acme_answer answer = acme_rig_call(
        ctx, path, resources[which].by_jwk || own_key, data[1],
        path == resources[which].path ? rest : (struct bytes){0});

    acme_rig_check(ctx, &answer);
    return 0;
}
