/* signer/safe_file.h: how the signer touches files beside a key (04 section 4.2).
 *
 * Opened without following a link and judged by fstat afterwards: regular, owned by us or root,
 * closed to everybody else. Written whole or not at all. */
#ifndef CERTCTL_SIGNER_SAFE_FILE_H
#define CERTCTL_SIGNER_SAFE_FILE_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "core/bytes.h"
#include "core/fault.h"

/* Differs as soon as the file was replaced, written or changed its mode. */
struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
    struct timespec changed;
};

/* False: no such file, or it cannot be looked at. */
bool file_stamp_of(const char *path, struct file_stamp *ret_stamp);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

/* At most `most` octets into `into`, which the caller lends. `what` opens the refusal, e.g. "CA
 * key file". SIGNER_KEY. */
bool safe_file_read(const char *what, const char *path, struct file_stamp *ret_stamp, uint8_t *into,
                    size_t most_octets, size_t *ret_size, struct fault *fault);

/* A temporary file of mode 0600 in the same directory, fsync, rename, fsync of the directory.
 * Without `replace` an existing file is kept and the write refused. */
bool safe_file_write(const char *path, struct bytes content, bool replace, struct fault *fault);

/* The file whose name is the two texts; true where there is none. */
bool safe_file_remove(const char *path, const char *ending, struct fault *fault);

/* Makes the directory with mode 0700, or tightens it to that. */
bool safe_directory(const char *path, struct fault *fault);
/* So that names made or removed in it survive a power cut. */
bool safe_directory_flush(const char *path, struct fault *fault);

#endif
