/* lib/backup/sealed.h: a stream of octets, encrypted and authenticated under a passphrase.
 *
 * A header, then chunks of 64 KiB under AES-256-GCM, each with its number and whether it is the
 * last in its nonce, so that none can be left out, repeated or put elsewhere. The key comes from
 * the passphrase by scrypt (RFC 7914) with a salt of the file's own; so does the key of the
 * header's HMAC, which tells a wrong passphrase from a damaged file. Memory is one chunk. */
#ifndef CERTCTL_BACKUP_SEALED_H
#define CERTCTL_BACKUP_SEALED_H

#include <stdbool.h>
#include <talloc.h>

#include "core/bytes.h"
#include "core/fault.h"

#define SEALED_HEADER_SIZE 96
#define SEALED_CHUNK_SIZE  ((size_t)64 * 1024)
#define SEALED_TAG_SIZE    16

/* Base-two logarithm of scrypt's N, with r = 8 and p = 1: 17 takes 128 MiB and some tenths of a
 * second. What a header may ask for is bounded, since it is read before it is proved. */
#define SEALED_COST_USUAL 17
#define SEALED_COST_LEAST 10
#define SEALED_COST_MOST  20

/* Both are talloc objects; descriptors stay the caller's. */
struct sealed_writer;
struct sealed_reader;

/* Writes the header. FILE_FAILED. */
struct sealed_writer *sealed_writer_new(TALLOC_CTX *ctx, int fd, struct bytes passphrase,
                                        unsigned cost, struct fault *fault);
bool sealed_write(struct sealed_writer *writer, struct bytes part, struct fault *fault);
/* The last chunk. A stream without it cannot be read to its end. */
bool sealed_finish(struct sealed_writer *writer, struct fault *fault);

/* Reads the header. INPUT_MALFORMED: it is none of ours, or damaged; INPUT_INVALID: the passphrase
 * does not open it; FILE_FAILED. */
struct sealed_reader *sealed_reader_new(TALLOC_CTX *ctx, int fd, struct bytes passphrase,
                                        struct fault *fault);
/* Exactly `size` octets, or fewer at the end of the stream, which was proved to be its end.
 * INPUT_MALFORMED: what follows is damaged or cut off; nothing of it is given. */
bool sealed_read(struct sealed_reader *reader, uint8_t *into, size_t size, size_t *ret_got,
                 struct fault *fault);

#endif
