/* lib/auth/key.c: API keys as texts, 06 section 3.1. */
#include "auth/key.h"

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define MARK          "cck_"
#define RANDOM_BYTES  32
#define BODY_LENGTH   47 /* the mark and 43 characters */
#define DIGITS_LENGTH 6

/* The CRC-32 of ISO 3309 and zlib, bit by bit: keys are short and few. */
static uint32_t crc32_of(const char *text, size_t length)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < length; i++) {
        crc ^= (uint8_t)text[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1U) ^ (crc & 1U ? UINT32_C(0xedb88320) : 0U);
    }
    return ~crc;
}

static void checksum_digits(const char *body, char ret_digits[DIGITS_LENGTH + 1])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint32_t rest = crc32_of(body, BODY_LENGTH);

    for (size_t i = DIGITS_LENGTH; i > 0; i--) {
        ret_digits[i - 1] = digits[rest % 62];
        rest /= 62;
    }
    ret_digits[DIGITS_LENGTH] = '\0';
}

char *api_key_new(TALLOC_CTX *ctx)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t secret[RANDOM_BYTES];
    char digits[DIGITS_LENGTH + 1];

    random_bytes(secret, sizeof(secret));
    const char *body = mem_printf(scratch, MARK "%s",
                                  base64url_from_bytes(scratch, BYTES_OF(secret)));
    checksum_digits(body, digits);
    return mem_printf(ctx, "%s%s", body, digits);
}

bool api_key_minted(const char *key)
{
    char digits[DIGITS_LENGTH + 1];

    if (!text_starts(key, MARK) || strlen(key) != API_KEY_LENGTH)
        return false;
    checksum_digits(key, digits);
    return text_equal(key + BODY_LENGTH, digits);
}

void api_key_digest(const char *key, uint8_t ret_digest[DIGEST_SHA256_SIZE])
{
    digest_sha256(bytes_of_text(key), ret_digest);
}
