/* lib/lifecycle/revocation_reason.c: the reasons of RFC 5280 section 5.3.1 in numbers and words (04
 * section 8.1). Apart from revoke.c, so that who only reads them has none of its statements. */
#include "core/memory.h"
#include "lifecycle/revoke.h"

#include "core/banned.h"

static const struct {
    enum revocation_reason reason;
    const char *text;
} reasons[] = {
    {REVOKED_UNSPECIFIED,            "unspecified"         },
    {REVOKED_KEY_COMPROMISE,         "keyCompromise"       },
    {REVOKED_CA_COMPROMISE,          "caCompromise"        },
    {REVOKED_AFFILIATION_CHANGED,    "affiliationChanged"  },
    {REVOKED_SUPERSEDED,             "superseded"          },
    {REVOKED_CESSATION_OF_OPERATION, "cessationOfOperation"},
    {REVOKED_CERTIFICATE_HOLD,       "certificateHold"     },
    {REVOKED_PRIVILEGE_WITHDRAWN,    "privilegeWithdrawn"  },
};

bool revocation_reason_from_code(int64_t code, enum revocation_reason *ret_reason)
{
    enum { REMOVE_FROM_CRL = 8, AA_COMPROMISE = 10 };

    if (code == REMOVE_FROM_CRL || code == AA_COMPROMISE)
        code = REVOKED_UNSPECIFIED;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (code == (int64_t)reasons[i].reason) { /* 0 to 9 */
            *ret_reason = reasons[i].reason;
            return true;
        }
    return false;
}

bool revocation_reason_from_text(const char *text, enum revocation_reason *ret_reason)
{
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (text_equal(text, reasons[i].text)) {
            *ret_reason = reasons[i].reason;
            return true;
        }
    return false;
}

const char *revocation_reason_text(enum revocation_reason reason)
{
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].reason == reason)
            return reasons[i].text;
    return reasons[0].text;
}

char *revocation_reason_list(TALLOC_CTX *ctx)
{
    char *list = mem_text(ctx, "");

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        list = mem_append(list, "%s%d %s", i ? ", " : "", (int)reasons[i].reason, /* 0 to 9 */
                          reasons[i].text);
    return list;
}
