/* tests/unit/signer/ocsp.c: the one certificate with OCSPSigning that there is, from a real
 * signer. */
#include <criterion/criterion.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "rig.h"

#include "core/banned.h"

#define DAY INT64_C(86400)

static struct ocsp_wish wish_of(struct rig *rig, int64_t days)
{
    return (struct ocsp_wish){
        .spki = rig_wish(rig).spki,
        .not_before = clock_now_s() - 300,
        .not_after = clock_now_s() + days * DAY,
    };
}

Test(signer_ocsp, certificates_are_for_ocsp_alone)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    const struct ocsp_wish wish = wish_of(rig, 30);
    struct bytes der;
    struct fault fault = {0};

    cr_assert(signer_sign_ocsp_responder(scratch, rig->socket, root.reference, &wish, &der, &fault),
              "%s", fault.detail);
    const struct certificate *leaf = certificate_from_der(scratch, der, &fault);
    cr_assert_not_null(leaf);
    cr_expect_eq(X509_get_extended_key_usage(leaf->x509), XKU_OCSP_SIGN);
    cr_expect_eq(X509_get_key_usage(leaf->x509), KU_DIGITAL_SIGNATURE);
    cr_expect_geq(X509_get_ext_by_NID(leaf->x509, NID_id_pkix_OCSP_noCheck, -1), 0);
    cr_expect_lt(X509_get_ext_by_NID(leaf->x509, NID_info_access, -1), 0);
    cr_expect_not(leaf->is_ca);
    cr_expect_eq(leaf->not_after, wish.not_after);
    cr_expect(strncmp(leaf->common_name, "OCSP Responder for ", 19) == 0, "%s", leaf->common_name);
    cr_expect_eq(X509_verify(leaf->x509, X509_get0_pubkey(root.certificate)), 1);
    cr_expect_eq(rig_log_count(rig, "sign-ocsp-responder"), 1);
    rig_end(rig);
}

Test(signer_ocsp, certificates_live_no_longer_than_the_facts_say)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct rig *rig = rig_new(scratch);
    rig_start_all(rig, 1);
    const struct rig_key root = rig_root(rig, "ECDSA-P256");
    struct bytes der;
    struct fault fault = {0};
    struct ocsp_wish wish = wish_of(rig, 31);

    /* The wish's life has five minutes more than 31 days. */
    cr_expect_not(
        signer_sign_ocsp_responder(scratch, rig->socket, root.reference, &wish, &der, &fault));
    cr_expect_eq(fault.reason, SIGNER_REFUSED, "%s", fault.detail);
    rig_write_facts(rig, &root, ",\"ocsp_validity_seconds\":3600");
    wish = wish_of(rig, 1);
    cr_expect_not(
        signer_sign_ocsp_responder(scratch, rig->socket, root.reference, &wish, &der, &fault));
    wish.not_after = wish.not_before + 3600;
    cr_expect(
        signer_sign_ocsp_responder(scratch, rig->socket, root.reference, &wish, &der, &fault));
    cr_expect_eq(rig_log_count(rig, "sign-ocsp-responder"), 1);
    rig_end(rig);
}
