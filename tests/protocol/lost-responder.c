/* tests/protocol/lost-responder.c: what somebody does who has taken a responder over: has the
 * signer sign a certificate, tells nobody and keeps it. Prints it.
 *
 * usage: lost-responder SOCKET KEY_REF NAME [COUNT]. A name may begin with IP:, email: or URI:. */
#include <openssl/x509.h>
#include <stdio.h>
#include <sysexits.h>

#include "core/auto.h"
#include "core/clock.h"
#include "pki/certificate.h"
#include "signer/client.h"

#include "core/banned.h"

static struct name name_of(const char *text)
{
    static const struct {
        const char *prefix;
        enum name_kind kind;
    } kinds[] = {
        {"IP:",    NAME_IP   },
        {"email:", NAME_EMAIL},
        {"URI:",   NAME_URI  }
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (text_starts(text, kinds[i].prefix))
            return (struct name){kinds[i].kind, text + strlen(kinds[i].prefix)};
    return (struct name){NAME_DNS, text};
}

static bool keep_one(TALLOC_CTX *ctx, char **argv, struct fault *fault)
{
    AUTO(EVP_PKEY) *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    AUTO_OPENSSL(uint8_t) *spki = NULL;
    const int size = i2d_PUBKEY(key, &spki);
    struct name name = name_of(argv[3]);
    const struct certificate_wish wish = {
        .spki = {spki,  size},
        .names = {&name, 1   },
        .key_usage = USAGE_DIGITAL_SIGNATURE,
        .ekus = EKU_SERVER_AUTH,
        .not_before = clock_now_s() - 60,
        .not_after = clock_now_s() + 86400,
    };
    struct bytes der;

    if (!signer_sign_leaf(ctx, argv[1], argv[2], &wish, &der, fault))
        return false;
    (void)fputs(pem_encode(ctx, "CERTIFICATE", der), stdout);
    return true;
}

int main(int argc, char **argv)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    int64_t count = 1;

    if (argc < 4 || (argc > 4 && !text_to_integer(argv[4], 1, 100000, &count)))
        return EX_USAGE;
    for (int64_t i = 0; i < count; i++)
        if (!keep_one(ctx, argv, &fault)) {
            (void)fprintf(stderr, "%s: %s (%s)\n", fault_reason_slug(fault.reason), fault.detail,
                          fault.cause);
            return 1;
        }
    return 0;
}
