/* tests/fuzz/pki_der.c: the DER walker; what it takes apart is put together again alike. */
#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/der.h"

#include "core/banned.h"

#define DEPTH_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(TALLOC_CTX *ctx, struct bytes from, int depth)
{
    struct bytes content, whole;
    uint8_t tag;

    while (depth < DEPTH_MAX && der_read(&from, &tag, &content, &whole)) {
        struct bytes at = whole;
        struct der_writer to;
        int64_t when;
        assert(der_read_tag(&at, tag, NULL) && at.size == 0);
        der_start(&to, ctx, 16);
        der_put_value(&to, tag, content);
        assert(bytes_equal(der_finish(&to, ctx), whole));
        at = whole;
        if (der_read_time(&at, &when) && when >= 0) { /* before 1970 we write none */
            der_start(&to, ctx, 16);
            der_put_time(&to, when);
            assert(bytes_equal(der_finish(&to, ctx), whole));
        }
        if (tag & 0x20)
            walk(ctx, content, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const char *dotted = mem_text_n(ctx, (const char *)data, size);
    struct der_writer to;

    walk(ctx, bytes_copy(ctx, (struct bytes){data, size}), 0);
    der_start(&to, ctx, 16);
    assert(der_put_oid(&to, dotted) == der_oid_valid(dotted));
    der_put_unsigned(&to, bytes_copy(ctx, (struct bytes){data, size}));
    (void)der_finish(&to, ctx);
    return 0;
}
