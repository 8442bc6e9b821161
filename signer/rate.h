/* signer/rate.h: signatures per hour and peer, counted in <key>.rate by all signer processes. */
#ifndef CERTCTL_SIGNER_RATE_H
#define CERTCTL_SIGNER_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fault.h"

#define RATE_ENDING ".rate"

/* Takes one of the peer's `limit` signatures of this clock hour. RATE_LIMITED with the seconds to
 * the next hour; SIGNER_KEY when the file cannot be used: a limit that cannot be kept is not
 * skipped. */
bool rate_take(const char *beside, const char *peer, int64_t limit, struct fault *fault);

#endif
