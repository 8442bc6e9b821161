/* tests/fuzz/net_target.c: Location headers of strangers; what is let through must be let through
 * again, unchanged. */
#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "net/target.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = mem_text_n(scratch, (const char *)data, size);
    struct http_target first, again;
    struct fault fault;

    if (!http_target_read(scratch, "http://a.example/b", text, 80, &first, &fault))
        return 0;
    for (const char *at = first.url; *at; at++)
        if (*at <= ' ' || *at >= 0x7f)
            mem_exhausted(size, "a URL that is no ASCII");
    if (!http_target_read(scratch, NULL, first.url, 80, &again, &fault) ||
        !text_equal(first.url, again.url) || !text_equal(first.host, again.host))
        mem_exhausted(size, "a URL that reads back differently");
    return 0;
}
