/* lib/core/id.c: identifiers that we make and accept (05 section 3.1). */

#include "core/id.h"

#include "core/clock.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define ID_BYTES  16
#define ID_DIGITS 26

/* 26 digits of five bits hold 130 bits; the first two are zero. */
static char *id_from_bytes(TALLOC_CTX *ctx, const char *prefix, const uint8_t bytes[ID_BYTES])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    char text[ID_DIGITS + 1] = {0};
    uint32_t bits = 0;
    unsigned held = 2;
    size_t used = 0;

    for (size_t i = 0; i < ID_BYTES; i++) {
        bits = (bits << 8U) | bytes[i];
        held += 8;
        while (held >= 5) {
            held -= 5;
            text[used++] = digits[(bits >> held) & 31U];
        }
    }
    return mem_printf(ctx, "%s-%s", prefix, text);
}

char *id_new(TALLOC_CTX *ctx, const char *prefix)
{
    uint8_t bytes[ID_BYTES];
    const uint64_t ms = (uint64_t)(clock_now_us() / 1000);

    random_bytes(bytes, sizeof(bytes));
    for (unsigned i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    return id_from_bytes(ctx, prefix, bytes);
}

char *id_new_secret(TALLOC_CTX *ctx, const char *prefix)
{
    uint8_t bytes[ID_BYTES];

    random_bytes(bytes, sizeof(bytes));
    return id_from_bytes(ctx, prefix, bytes);
}

bool id_valid(const char *text)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    if (!text || text_equal(text, ".") || text_equal(text, ".."))
        return false;
    const size_t length = strspn(text, allowed);
    return length >= 1 && length <= ID_MAX && text[length] == '\0';
}
