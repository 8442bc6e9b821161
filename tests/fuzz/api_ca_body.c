/* tests/fuzz/api_ca_body.c: bodies that ask for a CA. What passes says the same as a row of
 * ca_requests, where its approver and the job read it again. */
#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"
#include "fcgi/api/ca_body.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct settings settings = {.ca_key_driver = "file",
                                       .pki_base_url = "http://pki.example"};
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct request *request = mem_new(ctx, struct request);
    struct fault fault = {0};
    struct ca_order order;
    struct ca_order again;

    request->settings = &settings;
    AUTO(json_t) *body = json_parse_object((struct bytes){data, size}, INPUT_INVALID, "it", &fault);
    if (!body || !ca_body_read(request, body, "iss-local", &order, &fault))
        return 0;
    AUTO(json_t) *row = ca_order_to_body(&order);
    if (!ca_order_from_body(ctx, ca_order_kind_text(order.kind), row, &again, &fault)) {
        (void)ca_body_fault(&fault);
        assert(fault.reason != REASON_NONE);
        return 0;
    }
    AUTO(json_t) *same = ca_order_to_body(&again);
    assert(json_equal(row, same));
    assert(ca_order_wish(ctx, &again, (struct bytes){0}, 0, 0).subject_count <= 22);
    return 0;
}
