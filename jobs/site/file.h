/* jobs/site/file.h: key and chain of the web server, a directory a version, and the symbolic link
 * `current` to the one in force. Both change in one instant; the versions before stay at hand. */
#ifndef CERTCTL_JOBS_SITE_FILE_H
#define CERTCTL_JOBS_SITE_FILE_H

#include <stdbool.h>
#include <talloc.h>

#include "core/fault.h"

#define SITE_CHAIN "certificate.pem"
#define SITE_KEY   "key.pem"

/* What `current` holds, on ctx; NULL: nothing that can be read. */
const char *site_file_chain(TALLOC_CTX *ctx, const char *directory);
/* A new version, flushed to the disk, and `current` turned to it. FILE_FAILED leaves `current`. */
bool site_file_replace(const char *directory, const char *key_pem, const char *chain_pem,
                       struct fault *fault);

#endif
