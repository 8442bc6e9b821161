/* signer/signature_log.h: the hash-chained log, one line per signature and refusal.
 *
 * Several processes append under flock. Whoever appends knows number and hash of the last line: in
 * memory if nobody else wrote since, else from the end of the file. 04 sections 4.0 and 4.5. */
#ifndef CERTCTL_SIGNER_SIGNATURE_LOG_H
#define CERTCTL_SIGNER_SIGNATURE_LOG_H

#include <jansson.h>
#include <stdbool.h>
#include <talloc.h>

#include "core/fault.h"

struct signature_log;

/* Opens or makes the file. SIGNER_KEY. The texts are borrowed. */
struct signature_log *signature_log_open(TALLOC_CTX *ctx, const char *path, const char *node,
                                         struct fault *fault);

/* Appends one line: "line", "time", "node", the members of entry, "prev". With `flush` the line is
 * on the disk before this returns. SIGNER_KEY: nothing was appended, and no signature may leave. */
bool signature_log_append(struct signature_log *log, const json_t *entry, bool flush,
                          struct fault *fault);

#endif
