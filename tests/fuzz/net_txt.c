/* tests/fuzz/net_txt.c: TXT records as DNS gives them: what is joined has one octet less for each
 * string, and reads back from one string of its own. */
#include "core/auto.h"
#include "core/memory.h"
#include "net/dns01.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes text, again;

    if (!dns01_text_join(scratch, bytes_copy(scratch, (struct bytes){data, size}), &text))
        return 0;
    if (text.size >= size)
        mem_exhausted(size, "a text as long as its record");
    if (text.size > 255)
        return 0;
    uint8_t *one = mem_array(scratch, uint8_t, text.size + 1);
    one[0] = (uint8_t)text.size; /* 255 at most */
    memcpy(one + 1, text.data, text.size);
    if (!dns01_text_join(scratch, (struct bytes){one, text.size + 1}, &again) ||
        !bytes_equal(text, again))
        mem_exhausted(size, "a text that reads back differently");
    return 0;
}
