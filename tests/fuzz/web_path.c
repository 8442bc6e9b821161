/* tests/fuzz/web_path.c: the raw path of a stranger. What was split must be a path whose segments,
 * decoded once, hold nothing that another parser could read as a path again. */
#include <assert.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "web/route.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct request *request = mem_new(scratch, struct request);
    struct fault fault = {0};

    request->path = mem_text_n(scratch, (const char *)data, size);
    const bool split = path_split(request, &fault);
    assert(split == (fault.reason == REASON_NONE));
    for (size_t i = 0; split && i < request->segment_count; i++) {
        const char *segment = request->segments[i];
        assert(*segment && !strpbrk(segment, "/\\\n\r\x7f"));
        assert(!text_equal(segment, ".") && !text_equal(segment, ".."));
        assert(text_utf8_valid(segment, strlen(segment)));
    }
    return 0;
}
