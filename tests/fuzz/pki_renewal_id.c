/* tests/fuzz/pki_renewal_id.c: the identifiers of RFC 9773 section 4.1. What was read is written
 * again: each certificate has one text. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "pki/renewal_id.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = mem_text_n(scratch, (const char *)data, size); /* up to a NUL */
    struct renewal_id id;
    struct fault fault = {0};
    struct bytes serial;

    if (!renewal_id_from_text(scratch, text, &id, &fault))
        return 0;
    const size_t digits = strlen(id.serial);
    const char *sign = digits % 2 ? "0" : strchr("89abcdef", id.serial[0]) ? "00" : "";
    if (!hex_to_bytes(scratch, mem_printf(scratch, "%s%s", sign, id.serial), &serial))
        abort();
    if (!text_equal(text, mem_printf(scratch, "%s.%s", base64url_from_bytes(scratch, id.key_id),
                                     base64url_from_bytes(scratch, serial))))
        abort();
    return 0;
}
