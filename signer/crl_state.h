/* signer/crl_state.h: the last CRL number of a key, in <key>.state (00 decision 49).
 *
 * A number that went back would let an old list, without the newest revocations, pass for a new
 * one. What the database says was restored from somewhere; this file is the signer's own memory. */
#ifndef CERTCTL_SIGNER_CRL_STATE_H
#define CERTCTL_SIGNER_CRL_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fault.h"

/* How far a number may be above the last one: room for builds that failed, not for a jump to the
 * end of all numbers. */
#define CRL_NUMBER_STEP 1000

/* Takes the number for good: it is on the disk when this returns. SIGNER_REFUSED when it is not
 * above the last or more than CRL_NUMBER_STEP above it; SIGNER_KEY when the file cannot be used. */
bool crl_state_take(const char *beside, int64_t number, struct fault *fault);

/* What an operator may raise a number to: it fits the message's field, and leaves room. */
#define CRL_NUMBER_FLOOR_MAX INT64_C(100000000000)

/* The last number becomes at least this one; *ret_last is what it is then. A record that cannot be
 * read is replaced: the operator says what it has to be. */
bool crl_state_raise(const char *beside, int64_t number, int64_t *ret_last, struct fault *fault);

#endif
