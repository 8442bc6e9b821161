/* lib/auth/credential.c: the Authorization header, the client's address, 06 sections 1.2, 3.5. */
#include "auth/credential.h"

#include <arpa/inet.h>
#include <strings.h>

#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define SCHEME "bearer "

struct credential credential_from_header(TALLOC_CTX *ctx, const char *header)
{
    if (!header || *header == '\0')
        return (struct credential){CREDENTIAL_NONE, NULL};
    if (strncasecmp(header, SCHEME, strlen(SCHEME)) != 0)
        return (struct credential){CREDENTIAL_SCHEME, NULL};
    const char *key = text_trim(ctx, header + strlen(SCHEME));
    return *key ? (struct credential){CREDENTIAL_KEY, key}
                : (struct credential){CREDENTIAL_SCHEME, NULL};
}

char *address_limit_key(TALLOC_CTX *ctx, const char *address)
{
    uint8_t octets[16];
    char text[INET6_ADDRSTRLEN];

    if (address && inet_pton(AF_INET, address, octets) == 1)
        return mem_text(ctx, address);
    if (!address || inet_pton(AF_INET6, address, octets) != 1)
        return mem_text(ctx, "unknown");
    memset(octets + 8, 0, 8);
    return mem_printf(ctx, "%s/64", inet_ntop(AF_INET6, octets, text, sizeof(text)));
}
