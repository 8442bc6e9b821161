/* tests/fuzz/core_encodings.c: base64url and hex; one text per octet string, both ways. */

#include <stdlib.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *exact = mem_copy(scratch, data, size);
    const char *text = mem_text_n(scratch, exact, size);
    struct bytes read;

    if (base64url_to_bytes(scratch, exact, size, &read) &&
        !text_equal(base64url_from_bytes(scratch, read), text))
        abort();
    if (hex_to_bytes(scratch, text, &read) &&
        !text_equal_nocase(hex_from_bytes(scratch, read), text))
        abort();
    return 0;
}
