/* jobs/revocation/crl_file.h: files that the web server serves itself, replaced whole (04 section
 * 9.5). */
#ifndef CERTCTL_JOBS_REVOCATION_CRL_FILE_H
#define CERTCTL_JOBS_REVOCATION_CRL_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"

/* A file as it grows beside the one that it will replace. A talloc object; freed before
 * served_file_done it leaves nothing behind. */
struct served_file;

/* Makes the directory where it is missing (0755). FILE_FAILED. */
bool served_directory(const char *path, struct fault *fault);
struct served_file *served_file_begin(TALLOC_CTX *ctx, const char *path, struct fault *fault);
bool served_file_write(struct served_file *file, struct bytes part, struct fault *fault);
/* On the disk, readable to all, dated, and then in its place by rename. mtime 0: now. */
bool served_file_done(struct served_file *file, int64_t mtime, struct fault *fault);
/* `path` becomes another name of the file `of`. */
bool served_file_link(const char *of, const char *path, struct fault *fault);

/* The number of the CRL in a file, and when it ends; false: there is none that can be read. */
bool served_crl_look(const char *path, int64_t *ret_number, int64_t *ret_next_update);
/* Whether the file holds exactly these octets. */
bool served_file_is(const char *path, struct bytes content);

#endif
