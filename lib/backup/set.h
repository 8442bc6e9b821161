/* lib/backup/set.h: what a back-up holds: a head, entries one after the other, and a manifest.
 *
 * Records in a sealed stream (backup/sealed.h): a letter, a length of four octets, content.
 * H head (JSON), then for each entry E (JSON), any number of D (its octets) and F (their SHA-256),
 * then M manifest (JSON), which lists the entries, and the stream's end. */
#ifndef CERTCTL_BACKUP_SET_H
#define CERTCTL_BACKUP_SET_H

#include <jansson.h>

#include "backup/sealed.h"

/* The version of what the head says; another is refused. */
#define SET_FORMAT 1

#define SET_NAME_MAX 255

/* One file. Names are "database", or a place and a file in it: "ca/issuing.key". */
struct set_entry {
    const char *name;
    const char *path;  /* where it came from; absolute, or NULL */
    const char *owner; /* names of user and group, or NULL */
    const char *group;
    int64_t mode;        /* permission bits */
    int64_t modified_ns; /* Unix nanoseconds; 0: not known */
};

/* A word, or a word, a slash and a name that begins with no dot: it can lead nowhere else. */
bool set_name_valid(const char *name);

struct set_writer;
/* The head gets "format". Borrowed: it is written at once. */
struct set_writer *set_writer_new(TALLOC_CTX *ctx, struct sealed_writer *sealed, json_t *head,
                                  struct fault *fault);
bool set_entry_begin(struct set_writer *writer, const struct set_entry *entry, struct fault *fault);
bool set_entry_write(struct set_writer *writer, struct bytes part, struct fault *fault);
bool set_entry_end(struct set_writer *writer, struct fault *fault);
/* The manifest, which gets "entries", and the end of the stream. */
bool set_finish(struct set_writer *writer, json_t *manifest, struct fault *fault);

struct set_reader;
struct set_reader *set_reader_new(TALLOC_CTX *ctx, struct sealed_reader *sealed,
                                  struct fault *fault);
/* Borrowed. */
const json_t *set_head(const struct set_reader *reader);

/* The next entry, whose texts last until the one after it; *ret_more false: the manifest came,
 * agrees with all that was read, and nothing stands behind it. INPUT_MALFORMED. */
bool set_next(struct set_reader *reader, struct set_entry *ret_entry, bool *ret_more,
              struct fault *fault);
/* A part of the entry, which lasts until the next call; size 0: it ended, as its SHA-256 says. */
bool set_read(struct set_reader *reader, struct bytes *ret_part, struct fault *fault);
/* After set_next said that there is no more. Borrowed. */
const json_t *set_manifest(const struct set_reader *reader);

#endif
