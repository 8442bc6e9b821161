/* lib/signer/log.c: reading the signer's hash-chained log, over rotations (04 section 4.5).
 *
 * A file is known by its inode, so that it is read to its end after it was moved away. Only its
 * owner, the signer, can write it; what is looked for here is what root, a broken disk or a lost
 * signer left behind. */
#include "signer/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/macro.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define HASH_SIZE  64
#define SERIAL_MAX 64
/* The signer's longest line ends within 256 KiB (signer/signature_log.c). */
#define LINE_MOST  (256 * 1024)
#define CHUNK_SIZE (1024 * 1024)
/* What begins a line; a rotated file that was compressed begins otherwise. */
#define LINE_OPENS "{\"line\":"
#define FIRST_SIZE 64

static const char first_hash[] = "0000000000000000000000000000000000000000000000000000000000000000";

struct log_file {
    int fd;
    int64_t inode;
    int64_t size;
};

struct reading {
    TALLOC_CTX *ctx;
    const char *path;
    struct log_position at;
    struct log_batch *batch;
};

/* What a line says, as far as it matters here. */
struct line_facts {
    int64_t number;
    const char *time;
    const char *peer;
    const char *kind;
    const char *prev;
    const char *ca_sha256;
    const char *serial;
    const char *not_after;
    const char *certificate_sha256;
    const char *not_before;
    const char *spki_sha256;
    json_t *subject;
    json_t *names;
    int64_t crl_number; /* 0: no list */
    int64_t entries;
};

static const struct member line_members[] = {
    {"line",               MEMBER_INTEGER, REQUIRED, AT(line_facts, number)            },
    {"time",               MEMBER_TEXT,    REQUIRED, AT(line_facts, time)              },
    {"peer",               MEMBER_TEXT,    REQUIRED, AT(line_facts, peer)              },
    {"kind",               MEMBER_TEXT,    REQUIRED, AT(line_facts, kind)              },
    {"prev",               MEMBER_TEXT,    REQUIRED, AT(line_facts, prev)              },
    {"ca_sha256",          MEMBER_TEXT,    OPTIONAL, AT(line_facts, ca_sha256)         },
    {"serial",             MEMBER_TEXT,    OPTIONAL, AT(line_facts, serial)            },
    {"not_after",          MEMBER_TEXT,    OPTIONAL, AT(line_facts, not_after)         },
    {"certificate_sha256", MEMBER_TEXT,    OPTIONAL, AT(line_facts, certificate_sha256)},
    {"not_before",         MEMBER_TEXT,    OPTIONAL, AT(line_facts, not_before)        },
    {"spki_sha256",        MEMBER_TEXT,    OPTIONAL, AT(line_facts, spki_sha256)       },
    {"subject",            MEMBER_ARRAY,   OPTIONAL, AT(line_facts, subject)           },
    {"names",              MEMBER_ARRAY,   OPTIONAL, AT(line_facts, names)             },
    {"crl_number",         MEMBER_INTEGER, OPTIONAL, AT(line_facts, crl_number)        },
    {"entries",            MEMBER_INTEGER, OPTIONAL, AT(line_facts, entries)           },
};

static int release_array(json_t **held)
{
    json_decref(*held);
    return 0;
}

static json_t *owned_array(TALLOC_CTX *ctx)
{
    json_t **held = mem_new(ctx, json_t *);

    *held = json_array();
    talloc_set_destructor(held, release_array);
    return *held;
}

static void tell_break(struct reading *reading, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell_break(struct reading *reading, const char *format, ...)
{
    struct log_batch *batch = reading->batch;
    va_list args;

    if (batch->breaks++ > 0)
        return;
    va_start(args, format);
    (void)vsnprintf(batch->why, sizeof(batch->why), format, args);
    va_end(args);
}

/* What comes next is believed whatever it says. */
static void begin_anew(struct log_position *at)
{
    at->sha256[0] = '\0';
    at->offset = 0;
}

/* -1: there is none, or it is no file. */
static int open_log(const char *path, struct log_file *ret_file)
{
    struct stat status;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return -1;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        (void)close(fd);
        errno = EINVAL;
        return -1;
    }
    *ret_file = (struct log_file){
        .fd = fd, .inode = (int64_t)status.st_ino /* compared only */, .size = status.st_size};
    return fd;
}

/* The path, or what was moved away from it. */
struct candidate {
    const char *path;
    int64_t inode;
    int64_t modified_ns;
    int64_t first_line; /* 0: none */
};

struct candidates {
    struct candidate *items;
    size_t count;
};

static int64_t first_line_of(int fd)
{
    char text[FIRST_SIZE + 1] = "";
    int64_t number = 0;

    if (pread(fd, text, FIRST_SIZE, 0) <= 0 || !text_starts(text, LINE_OPENS))
        return 0;
    char *digits = text + strlen(LINE_OPENS);
    digits[strcspn(digits, ",")] = '\0';
    return text_to_integer(digits, 1, INT64_MAX, &number) ? number : 0;
}

static void add_candidate(TALLOC_CTX *ctx, struct candidates *list, const char *path)
{
    struct stat status;
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    list->items = mem_resize(ctx, list->items, struct candidate, list->count + 1);
    list->items[list->count++] = (struct candidate){
        .path = path,
        .inode = (int64_t)status.st_ino, /* compared only */
        .modified_ns = status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec,
        .first_line = first_line_of(fd),
    };
}

static struct candidates list_candidates(TALLOC_CTX *ctx, const char *path)
{
    struct candidates list = {0};
    const char *slash = strrchr(path, '/'); /* SETTING_PATH is absolute */
    const char *folder = mem_text_n(ctx, path, slash - path + 1);
    AUTO(DIR) *directory = opendir(folder);
    const struct dirent *entry;

    while (directory && (entry = readdir(directory)))
        if (text_starts(entry->d_name, slash + 1))
            add_candidate(ctx, &list, mem_printf(ctx, "%s%s", folder, entry->d_name));
    return list;
}

static const struct candidate *by_inode(const struct candidates *list, int64_t inode)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].inode == inode)
            return &list->items[i];
    return NULL;
}

/* The file that continues after this line, else the first of the later ones. */
static const struct candidate *first_after_line(const struct candidates *list, int64_t line)
{
    const struct candidate *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct candidate *item = &list->items[i];
        if (item->first_line > line && (!found || item->first_line < found->first_line))
            found = item;
    }
    return found;
}

/* The one that was begun after `done` was moved away: nobody writes to the older ones. */
static const struct candidate *first_modified_after(const struct candidates *list,
                                                    const struct candidate *done, const char *path)
{
    const struct candidate *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct candidate *item = &list->items[i];
        if (item->inode != done->inode && item->modified_ns >= done->modified_ns &&
            (item->first_line > 0 || text_equal(item->path, path)) &&
            (!found || item->modified_ns < found->modified_ns))
            found = item;
    }
    return found;
}

static void go_to(struct reading *reading, int64_t inode)
{
    reading->at.inode = inode;
    reading->at.offset = 0;
    reading->batch->more = true;
}

/* The file of the last look is gone, or there was none yet. */
static void find_start(struct reading *reading, const struct candidates *list,
                       const struct log_file *current)
{
    const struct candidate *next = first_after_line(list, reading->at.line);

    if (next)
        go_to(reading, next->inode);
    else if (current)
        go_to(reading, current->inode);
    else if (reading->at.inode != 0) {
        tell_break(reading, "%s is gone, and nothing stands in its place", reading->path);
        reading->at.inode = 0;
        reading->at.offset = 0;
    }
}

/* The last line that was read must still be the same: a file may be filled anew in place. */
static bool last_line_same(const struct reading *reading, const struct log_file *file)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct log_position *at = &reading->at;
    const size_t window = (size_t)least(at->offset, (int64_t)LINE_MOST);
    uint8_t *data = mem_array(scratch, uint8_t, window + 1);

    if (at->offset == 0 || !at->sha256[0])
        return true;
    if (pread(file->fd, data, window, at->offset - (int64_t)window) != (ssize_t)window ||
        data[window - 1] != '\n')
        return false;
    const uint8_t *feed = memrchr(data, '\n', window - 1);
    const uint8_t *start = feed ? feed + 1 : data;
    const struct bytes line = {start, data + window - 1 - start};
    return text_equal(digest_sha256_hex(scratch, line), at->sha256);
}

static bool is_hex(const char *text, size_t least_size, size_t most_size)
{
    const size_t size = text ? strlen(text) : 0;

    return size >= least_size && size <= most_size && strspn(text, "0123456789abcdef") == size;
}

static bool is_signature(const struct line_facts *facts)
{
    return facts->serial && text_starts(facts->kind, "sign-") &&
           !text_equal(facts->kind, "sign-ca");
}

static bool is_list(const struct line_facts *facts)
{
    return text_equal(facts->kind, "sign-crl") && facts->crl_number > 0 &&
           is_hex(facts->ca_sha256, HASH_SIZE, HASH_SIZE);
}

/* Everything that the database will be asked to take as it is. */
static bool signature_whole(const struct line_facts *facts)
{
    int64_t ignored;

    return is_hex(facts->serial, 1, SERIAL_MAX) && facts->serial[0] != '0' &&
           is_hex(facts->ca_sha256, HASH_SIZE, HASH_SIZE) &&
           is_hex(facts->certificate_sha256, HASH_SIZE, HASH_SIZE) && facts->not_after &&
           time_from_rfc3339(facts->time, &ignored) &&
           time_from_rfc3339(facts->not_after, &ignored);
}

/* The parsed line, from which *ret_facts borrows; NULL: it is none. */
static json_t *decode_line(TALLOC_CTX *ctx, struct bytes line, struct line_facts *ret_facts)
{
    struct fault ignored = {0};
    AUTO(json_t) *object = json_parse_object(line, INPUT_MALFORMED, "the line", &ignored);

    const bool whole = object && json_decode(ctx, object, line_members, ret_facts, &ignored) &&
                       ret_facts->number > 0 && is_hex(ret_facts->prev, HASH_SIZE, HASH_SIZE) &&
                       (!is_signature(ret_facts) || signature_whole(ret_facts));
    return whole ? TAKE(object) : NULL;
}

static void check_chain(struct reading *reading, const struct line_facts *facts)
{
    const struct log_position *at = &reading->at;

    if (!at->sha256[0])
        return;
    if (facts->number == 1 && text_equal(facts->prev, first_hash))
        tell_break(reading, "the signer began a new chain behind line %" PRId64, at->line);
    else if (facts->number != at->line + 1)
        tell_break(reading, "line %" PRId64 " stands behind line %" PRId64, facts->number,
                   at->line);
    else if (!text_equal(facts->prev, at->sha256))
        tell_break(reading, "line %" PRId64 " does not bear the hash of the line before it",
                   facts->number);
}

static void add_signature(const struct reading *reading, const struct line_facts *facts)
{
    json_t *signature = json_object();

    json_set_integer(signature, "line", facts->number);
    json_set_text(signature, "time", facts->time);
    json_set_text(signature, "peer", facts->peer);
    json_set_text(signature, "ca_sha256", facts->ca_sha256);
    json_set_text(signature, "serial", facts->serial);
    json_set_text(signature, "not_after", facts->not_after);
    json_set_text(signature, "certificate_sha256", facts->certificate_sha256);
    json_set_text(signature, "kind", facts->kind);
    json_set_text(signature, "not_before", facts->not_before);
    json_set_text(signature, "spki_sha256", facts->spki_sha256);
    if (facts->subject)
        json_set_new(signature, "subject", json_incref(facts->subject));
    if (facts->names)
        json_set_new(signature, "names", json_incref(facts->names));
    json_add_new(reading->batch->signatures, signature);
}

static void add_list(const struct reading *reading, const struct line_facts *facts)
{
    json_t *list = json_object();

    json_set_text(list, "ca_sha256", facts->ca_sha256);
    json_set_integer(list, "crl_number", facts->crl_number);
    json_set_integer(list, "entries", facts->entries);
    json_add_new(reading->batch->lists, list);
}

static void take_line(struct reading *reading, struct bytes line)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct log_position *at = &reading->at;
    struct line_facts facts = {0};
    AUTO(json_t) *object = decode_line(scratch, line, &facts);

    if (object) {
        check_chain(reading, &facts);
        if (is_signature(&facts))
            add_signature(reading, &facts);
        if (is_list(&facts))
            add_list(reading, &facts);
        at->line = facts.number;
    } else {
        tell_break(reading, "what stands behind line %" PRId64 " is no line of the signer",
                   at->line);
        at->line++;
    }
    memcpy(at->sha256, digest_sha256_hex(scratch, line), sizeof(at->sha256));
    at->offset += (int64_t)line.size + 1; /* at most CHUNK_SIZE */
    reading->batch->lines++;
}

/* Whole lines only: the last one may be in the middle of its write. */
static bool read_lines(struct reading *reading, const struct log_file *file, size_t most_lines,
                       struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t *data = mem_array(scratch, uint8_t, CHUNK_SIZE);
    const ssize_t got = pread(file->fd, data, CHUNK_SIZE, reading->at.offset);
    const uint8_t *start = data;
    const uint8_t *feed;

    if (got < 0) {
        fault_set(fault, FILE_FAILED, NULL, "the signer's log cannot be read");
        return fault_cause_errno(fault, reading->path);
    }
    while (reading->batch->lines < most_lines &&
           (feed = memchr(start, '\n', (size_t)got - (size_t)(start - data)))) {
        take_line(reading, (struct bytes){start, feed - start});
        start = feed + 1;
    }
    if (reading->batch->lines == 0 && got == CHUNK_SIZE) {
        tell_break(reading, "no line ends within %d octets behind line %" PRId64, CHUNK_SIZE,
                   reading->at.line);
        reading->at.offset += got;
        reading->at.sha256[0] = '\0';
        reading->batch->more = true;
    }
    reading->batch->more |= reading->batch->lines > 0;
    return true;
}

/* Who writes to a file that was moved away did so before it could be locked: under its lock it has
 * its last line. *ret_grew: that came only now. */
static bool see_its_end(const struct reading *reading, const struct log_file *file)
{
    struct stat status;

    if (flock(file->fd, LOCK_SH) != 0 || fstat(file->fd, &status) != 0)
        return false;
    (void)flock(file->fd, LOCK_UN);
    return status.st_size == file->size && reading->batch->lines == 0;
}

static bool read_file(struct reading *reading, const struct log_file *file, size_t most_lines,
                      struct fault *fault)
{
    if (file->size < reading->at.offset) {
        tell_break(reading, "the log is shorter than it was when line %" PRId64 " was read",
                   reading->at.line);
        begin_anew(&reading->at);
        reading->batch->more = true;
        return true;
    }
    if (!last_line_same(reading, file)) {
        tell_break(reading, "line %" PRId64 " is not what it was when it was read",
                   reading->at.line);
        begin_anew(&reading->at);
        reading->batch->more = true;
        return true;
    }
    return read_lines(reading, file, most_lines, fault);
}

/* A file that was moved away is read to its end, then the one that was begun after it. */
static bool read_moved(struct reading *reading, const struct candidates *list,
                       const struct candidate *here, size_t most_lines, struct fault *fault)
{
    struct log_file file;
    AUTO_FD fd = open_log(here->path, &file);

    if (fd < 0) {
        fault_set(fault, FILE_FAILED, NULL, "the signer's log cannot be read");
        return fault_cause_errno(fault, here->path);
    }
    if (file.inode != here->inode) { /* renamed meanwhile: the next look finds it */
        reading->batch->more = false;
        return true;
    }
    if (!read_file(reading, &file, most_lines, fault))
        return false;
    if (reading->batch->more || !see_its_end(reading, &file))
        return true;
    const struct candidate *next = first_modified_after(list, here, reading->path);
    if (next)
        go_to(reading, next->inode);
    return true;
}

static bool read_some(struct reading *reading, size_t most_lines, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct log_file current = {.fd = -1};
    AUTO_FD fd = open_log(reading->path, &current);
    const bool there = fd >= 0;

    if (there && current.inode == reading->at.inode)
        return read_file(reading, &current, most_lines, fault);
    if (!there && errno != ENOENT) {
        fault_set(fault, FILE_FAILED, NULL, "the signer's log cannot be read");
        return fault_cause_errno(fault, reading->path);
    }
    const struct candidates list = list_candidates(scratch, reading->path);
    const struct candidate *here = by_inode(&list, reading->at.inode);
    if (here)
        return read_moved(reading, &list, here, most_lines, fault);
    find_start(reading, &list, there ? &current : NULL);
    return true;
}

bool signer_log_read(TALLOC_CTX *ctx, const char *path, const struct log_position *from,
                     size_t most_lines, struct log_batch *ret_batch, struct fault *fault)
{
    struct log_batch batch = {.signatures = owned_array(ctx), .lists = owned_array(ctx)};
    struct reading reading = {.ctx = ctx, .path = path, .at = *from, .batch = &batch};

    if (!read_some(&reading, most_lines, fault))
        return false;
    batch.after = reading.at;
    batch.moved = batch.lines > 0 || batch.breaks > 0 || reading.at.inode != from->inode ||
                  reading.at.offset != from->offset;
    *ret_batch = batch;
    return true;
}
