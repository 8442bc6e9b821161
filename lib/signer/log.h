/* lib/signer/log.h: reading the signer's hash-chained log from where the last look ended, over
 * rotations (04 section 4.5, signer/README.md "The log"). Knows files only, no database. */
#ifndef CERTCTL_SIGNER_LOG_H
#define CERTCTL_SIGNER_LOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>

#include "core/fault.h"

/* How far the log has been read. All zeros: not at all. sha256 empty: the next line is believed
 * whatever it says, since the chain behind it was told as broken. */
struct log_position {
    int64_t line;
    char sha256[65]; /* of that line, without its line feed */
    int64_t inode;   /* 0: of no file */
    int64_t offset;  /* behind that line */
};

struct log_batch {
    struct log_position after;
    bool moved; /* after is not where it began: there is something to remember */
    bool more;  /* there may be more to read */
    size_t lines;
    /* [{"line", "time", "peer", "ca_sha256", "serial", "not_after", "certificate_sha256"}] of every
     * certificate but those of CAs, and "kind", "not_before", "spki_sha256", "subject", "names" as
     * the line has them; hangs on ctx. */
    json_t *signatures;
    /* [{"ca_sha256", "crl_number", "entries"}] of every CRL; hangs on ctx. */
    json_t *lists;
    size_t breaks;
    char why[256]; /* of the first break */
};

/* Reads at most `most_lines` from `path` or from what it was rotated to (files beside it whose
 * names begin with its own). A file that is shorter than it was, or whose last line that was read
 * is another now, is a break and is read from its start again; so is a line that does not continue
 * the chain, after which the chain goes on from that line. FILE_FAILED: nothing could be read. */
bool signer_log_read(TALLOC_CTX *ctx, const char *path, const struct log_position *from,
                     size_t most_lines, struct log_batch *ret_batch, struct fault *fault);

#endif
