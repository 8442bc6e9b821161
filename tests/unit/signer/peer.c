/* tests/unit/signer/peer.c: the table of 04 section 4.0, user by user. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/text.h"
#include "signer/peer.h"

#include "core/banned.h"

static const struct {
    const char *user;
    const char *kinds; /* on signer.sock */
    const char *admin; /* on signer-admin.sock */
} table[] = {
    {"certctl-acme",      "ping public-key sign-leaf",                              ""},
    {"certctl-est",       "ping public-key sign-leaf",                              ""},
    {"certctl-scep",      "ping public-key sign-leaf",                              ""},
    {"certctl-agentapi",  "ping public-key sign-leaf",                              ""},
    {"certctl-jobs",      "ping public-key sign-leaf sign-crl sign-ocsp-responder", ""},
    {"certctl-pki",       "ping public-key",                                        ""},
    {"certctl-ca",        "ping public-key",
     "ping public-key generate sign-ca sign-csr forget facts crl-floor close show-facts "
     "check-facts"                                                                    },
    {"root",              "ping public-key",                                        ""},
    {"certctl-api",       "",                                                       ""},
    {"certctl-probe",     "",                                                       ""},
    {"certctl-reconcile", "",                                                       ""},
    {"www-data",          "",                                                       ""},
    {"certctl-acm",       "",                                                       ""},
    {"certctl-acme2",     "",                                                       ""},
    {"",                  "",                                                       ""},
};

static bool listed(const char *kinds, const char *kind)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list list = text_split(scratch, kinds, ' ');

    return kind && text_list_has(&list, kind);
}

static void expect_rights(bool admin, const char *user, const char *kinds)
{
    const struct peer_policy policy = {.admin = admin};
    struct peer peer = {.kinds = peer_kinds(&policy, user)};

    for (unsigned kind = 0; kind < 256; kind++) {
        struct fault fault = {0};
        const bool may = listed(kinds, signer_kind_text(kind));
        cr_expect_eq(peer_check(&policy, &peer, kind, &fault), may, "%s, kind %u, admin %d", user,
                     kind, admin);
        cr_expect_eq(fault.reason, may ? REASON_NONE : FORBIDDEN);
    }
}

Test(signer_peer, has_the_rights_of_the_table_and_no_others)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        expect_rights(false, table[i].user, table[i].kinds);
        expect_rights(true, table[i].user, table[i].admin);
    }
}
