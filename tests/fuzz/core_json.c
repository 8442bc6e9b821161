/* tests/fuzz/core_json.c: JSON of strangers; what is read must be written and read again alike. */

#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct fault fault;
    AUTO(json_t) *read = json_parse_object(bytes_copy(scratch, (struct bytes){data, size}),
                                           INPUT_MALFORMED, "fuzz", &fault);
    if (!read)
        return 0;
    const struct bytes text = bytes_of_text(json_to_text(scratch, read));
    AUTO(json_t) *again = json_parse_object(text, INPUT_MALFORMED, "fuzz", &fault);
    if (!json_equal(read, again))
        mem_exhausted(size, "a text that reads back differently");
    return 0;
}
