/* lib/pki/crl_entry.c: one entry of a CRL's revokedCertificates, see crl_entry.h (RFC 5280
 * section 5.3). */
#include "pki/crl_entry.h"

#include "core/auto.h"
#include "core/memory.h"
#include "pki/certificate.h"
#include "pki/der.h"

#include "core/banned.h"

#define OID_REASON_CODE     "2.5.29.21"
#define OID_INVALIDITY_DATE "2.5.29.24"
#define SERIAL_OCTETS_MAX   32
/* An entry has 37 to 60 octets (04 section 9.2). */
#define ENTRY_OCTETS 80

static bool serial_octets(TALLOC_CTX *ctx, const char *hex, struct bytes *ret_serial,
                          struct fault *fault)
{
    const char *digits = NULL;

    if (!serial_canonical(ctx, hex, &digits) || !serial_to_octets(ctx, digits, ret_serial) ||
        ret_serial->size > SERIAL_OCTETS_MAX)
        return fault_set(fault, INTERNAL, "serial", "the serial to revoke is no number of ours");
    return true;
}

static bool time_is_sayable(int64_t unix_s)
{
    return unix_s >= 0 && unix_s <= DER_TIME_MAX;
}

/* Extension { oid, OCTET STRING { what was written since the mark } }, never critical. */
static void wrap_extension(struct der_writer *to, const char *oid, size_t mark)
{
    der_wrap(to, DER_OCTET_STRING, mark);
    der_put_oid(to, oid);
    der_wrap(to, DER_SEQUENCE, mark);
}

/* From the last to the first, as der.h wants it. */
static void put_extensions(struct der_writer *to, const struct crl_entry *entry)
{
    const size_t all = der_mark(to);

    if (entry->invalidity_date) {
        const size_t one = der_mark(to);

        der_put_generalized_time(to, entry->invalidity_date);
        wrap_extension(to, OID_INVALIDITY_DATE, one);
    }
    if (entry->reason != REVOKED_UNSPECIFIED) {
        const size_t one = der_mark(to);
        const uint8_t code = (uint8_t)entry->reason; /* 1 to 9 */

        der_put_value(to, DER_ENUMERATED, (struct bytes){&code, 1});
        wrap_extension(to, OID_REASON_CODE, one);
    }
    if (der_mark(to) != all)
        der_wrap(to, DER_SEQUENCE, all);
}

bool crl_entry_encode(TALLOC_CTX *ctx, const struct crl_entry *entry, struct bytes *ret_der,
                      struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct bytes serial = {0};
    struct der_writer to;

    if (!serial_octets(scratch, entry->serial, &serial, fault))
        return false;
    if (!time_is_sayable(entry->revoked_at) || !time_is_sayable(entry->invalidity_date))
        return fault_set(fault, INTERNAL, NULL, "a time of the revocation is out of range");
    der_start(&to, scratch, ENTRY_OCTETS);
    const size_t mark = der_mark(&to);
    put_extensions(&to, entry);
    der_put_time(&to, entry->revoked_at);
    der_put_unsigned(&to, serial);
    der_wrap(&to, DER_SEQUENCE, mark);
    *ret_der = der_finish(&to, ctx);
    return true;
}
