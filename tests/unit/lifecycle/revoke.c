/* tests/unit/lifecycle/revoke.c: the reasons of RFC 5280 section 5.3.1 in and out. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/memory.h"
#include "lifecycle/revoke.h"

#include "core/banned.h"

static const struct {
    int64_t code;
    bool known;
    enum revocation_reason reason;
    const char *text;
} codes[] = {
    {0,         true,  REVOKED_UNSPECIFIED,            "unspecified"         },
    {1,         true,  REVOKED_KEY_COMPROMISE,         "keyCompromise"       },
    {2,         true,  REVOKED_CA_COMPROMISE,          "caCompromise"        },
    {3,         true,  REVOKED_AFFILIATION_CHANGED,    "affiliationChanged"  },
    {4,         true,  REVOKED_SUPERSEDED,             "superseded"          },
    {5,         true,  REVOKED_CESSATION_OF_OPERATION, "cessationOfOperation"},
    {6,         true,  REVOKED_CERTIFICATE_HOLD,       "certificateHold"     },
    {8,         true,  REVOKED_UNSPECIFIED,            "unspecified"         },
    {9,         true,  REVOKED_PRIVILEGE_WITHDRAWN,    "privilegeWithdrawn"  },
    {10,        true,  REVOKED_UNSPECIFIED,            "unspecified"         },
    {-1,        false, REVOKED_UNSPECIFIED,            NULL                  },
    {7,         false, REVOKED_UNSPECIFIED,            NULL                  },
    {11,        false, REVOKED_UNSPECIFIED,            NULL                  },
    {INT64_MAX, false, REVOKED_UNSPECIFIED,            NULL                  },
    {INT64_MIN, false, REVOKED_UNSPECIFIED,            NULL                  },
};

Test(revocation_reason, comes_from_code)
{
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        enum revocation_reason reason = REVOKED_CERTIFICATE_HOLD;
        const bool known = revocation_reason_from_code(codes[i].code, &reason);

        cr_expect_eq(known, codes[i].known, "%lld", (long long)codes[i].code);
        cr_expect_eq(reason, known ? codes[i].reason : REVOKED_CERTIFICATE_HOLD, "%lld",
                     (long long)codes[i].code);
        if (known)
            cr_expect_str_eq(revocation_reason_text(reason), codes[i].text);
    }
}

Test(revocation_reason, comes_from_text_and_goes_back)
{
    static const char *const unknown[] = {
        "",  "KeyCompromise", "keycompromise", "1", "superseded ", "removeFromCRL", "aACompromise",
        NULL};
    enum revocation_reason reason;

    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (!codes[i].known)
            continue;
        cr_expect(revocation_reason_from_text(codes[i].text, &reason), "%s", codes[i].text);
        cr_expect_eq(reason, codes[i].reason, "%s", codes[i].text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        reason = REVOKED_SUPERSEDED;
        cr_expect_not(revocation_reason_from_text(unknown[i], &reason));
        cr_expect_eq(reason, REVOKED_SUPERSEDED);
    }
}

Test(revocation_reason, is_listed_for_refusals)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(revocation_reason_list(scratch),
                     "0 unspecified, 1 keyCompromise, 2 caCompromise, 3 affiliationChanged, "
                     "4 superseded, 5 cessationOfOperation, 6 certificateHold, "
                     "9 privilegeWithdrawn");
}
