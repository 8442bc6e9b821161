/* lib/signer/crl_record.h: what `<key>.state` says: the last CRL number of a key (00 decision 49).
 *
 * One record of one size, so that it can be overwritten in place. */
#ifndef CERTCTL_SIGNER_CRL_RECORD_H
#define CERTCTL_SIGNER_CRL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

#define CRL_RECORD_SIZE 32
#define CRL_STATE_ENDS  ".state"

/* Number 1 to INT64_MAX. */
void crl_record_write(int64_t number, char ret_record[CRL_RECORD_SIZE + 1]);
/* False: there is no number in it. */
bool crl_record_read(struct bytes record, int64_t *ret_number) MUST_USE;

#endif
