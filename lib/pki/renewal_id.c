/* lib/pki/renewal_id.c: the certificate identifier of RFC 9773 section 4.1. */
#include "pki/renewal_id.h"

#include <string.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/certificate.h"

#include "core/banned.h"

/* The sign bit is part of the number: a serial that begins with it has an octet of zeros in front,
 * and no other has one (X.690 section 8.3.2). */
static bool is_positive_integer(struct bytes content)
{
    if (content.size == 0 || content.data[0] & 0x80)
        return false;
    return content.data[0] != 0 || (content.size > 1 && content.data[1] & 0x80);
}

bool renewal_id_from_text(TALLOC_CTX *ctx, const char *text, struct renewal_id *ret,
                          struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *dot = strchr(text, '.');
    struct bytes key_id = {0};
    struct bytes content = {0};
    const char *serial = NULL;

    if (!dot || !base64url_to_bytes(scratch, text, (size_t)(dot - text), &key_id) ||
        !base64url_to_bytes(scratch, dot + 1, strlen(dot + 1), &content) || key_id.size == 0 ||
        !is_positive_integer(content) ||
        !serial_canonical(scratch, hex_from_bytes(scratch, content), &serial))
        return fault_set(fault, ARI_ID_MALFORMED, "cert-id", "ARI cert-id is malformed");
    *ret = (struct renewal_id){bytes_copy(ctx, key_id), mem_text(ctx, serial)};
    return true;
}
