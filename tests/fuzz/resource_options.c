/* tests/fuzz/resource_options.c: any query string is refused, or read within the limits. */
#include <assert.h>

#include "../unit/resource/sample.h"
#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "resource/resource_private.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where a walk stands is bound to what was asked, and read back as it was. */
static void assert_cursor(TALLOC_CTX *ctx, const struct list_options *options)
{
    const struct cursor stands = {.key = "2027-01-01T00:00:00Z", .id = "mc-1", .total = 7};
    const char *text = cursor_text(ctx, &sample, options, &stands);
    struct cursor again;
    struct fault fault = {0};

    assert(cursor_read(ctx, &sample, options, text, &again, &fault));
    assert(text_equal(again.key, stands.key) && text_equal(again.id, stands.id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = mem_text_n(scratch, (const char *)data, size);
    struct query query;
    struct list_options options;
    struct fault fault = {0};

    for (int strict = 0; strict < 2; strict++) {
        if (!query_parse(scratch, text, &query, &fault) ||
            !list_options_read(scratch, &sample, &query, strict, &options, &fault))
            continue;
        assert(options.sort < sample.sort_count && options.page >= 1);
        assert(options.per_page >= 1 && options.per_page <= PER_PAGE_MAX);
        assert(options.by_cursor || options.page * options.per_page <= DEPTH_MAX);
        assert_cursor(scratch, &options);
    }
    return 0;
}
