/* tests/fuzz/web_query.c: any query string is refused, or read in a way that writing and reading
 * again gives back. */
#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "web/query.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct query query, again;
    struct fault fault = {0};
    char *target = mem_text(scratch, "?");

    if (!query_parse(scratch, mem_text_n(scratch, (const char *)data, size), &query, &fault))
        return 0;
    for (size_t i = 0; i < query.count; i++)
        target = query_append(target, query.items[i].name, query.items[i].value);
    assert(query_parse(scratch, target + 1, &again, &fault) && again.count == query.count);
    for (size_t i = 0; i < query.count; i++)
        assert(text_equal(query_value(&again, query.items[i].name), query.items[i].value));
    return 0;
}
