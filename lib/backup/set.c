/* lib/backup/set.c: the records of a back-up, written and read in one pass. */
#include "backup/set.h"

#include <inttypes.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"

#include "core/banned.h"

#define PREFIX_SIZE 5
#define DATA_MAX    ((size_t)64 * 1024)
#define TEXT_MAX    ((size_t)4 * 1024 * 1024)
#define MODE_MAX    07777

enum record { HEAD = 'H', ENTRY = 'E', DATA = 'D', ENTRY_END = 'F', MANIFEST = 'M' };

/* What runs along on both sides: the entry in hand, and the list of those that are done. */
struct account {
    EVP_MD_CTX *digest;
    int64_t size;
    const char *name; /* NULL: no entry is open */
    json_t *entries;
};

struct set_writer {
    struct sealed_writer *sealed;
    struct account account;
};

struct set_reader {
    struct sealed_reader *sealed;
    struct account account;
    TALLOC_CTX *of_entry;
    json_t *head;
    json_t *manifest;
    uint8_t data[DATA_MAX];
};

static const struct member entry_members[] = {
    {"name",        MEMBER_TEXT,    REQUIRED, AT(set_entry, name)       },
    {"path",        MEMBER_TEXT,    OPTIONAL, AT(set_entry, path)       },
    {"owner",       MEMBER_TEXT,    OPTIONAL, AT(set_entry, owner)      },
    {"group",       MEMBER_TEXT,    OPTIONAL, AT(set_entry, group)      },
    {"mode",        MEMBER_INTEGER, REQUIRED, AT(set_entry, mode)       },
    {"modified_ns", MEMBER_INTEGER, OPTIONAL, AT(set_entry, modified_ns)},
};

static void *malformed(struct fault *fault, const char *what)
{
    return fault_set(fault, INPUT_MALFORMED, NULL, "the back-up's content is broken: %s", what);
}

bool set_name_valid(const char *name)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyz";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "._+@=,-";
    const size_t length = strspn(name, word);

    if (length == 0 || strlen(name) > SET_NAME_MAX)
        return false;
    if (name[length] == '\0')
        return true;
    const char *file = name + length + 1;
    return name[length] == '/' && *file != '\0' && *file != '.' &&
           strspn(file, rest) == strlen(file);
}

static bool path_valid(const char *path)
{
    return path[0] == '/' && strlen(path) < 4096 && !strstr(path, "/../") && !strstr(path, "//") &&
           !text_ends(path, "/..") && !text_ends(path, "/");
}

static void account_open(struct account *account)
{
    account->entries = json_array();
    account->digest = EVP_MD_CTX_new();
    if (!account->entries || !account->digest)
        mem_exhausted(0, "back-up");
}

static void account_close(struct account *account)
{
    json_decref(account->entries);
    EVP_MD_CTX_free(account->digest);
}

static bool account_begin(struct account *account, const char *name, struct fault *fault)
{
    account->name = name;
    account->size = 0;
    return EVP_DigestInit_ex2(account->digest, digest_algorithm_sha256(), NULL) == 1 ||
           fault_set(fault, INTERNAL, NULL, "SHA-256 cannot be used");
}

static bool account_add(struct account *account, struct bytes part, struct fault *fault)
{
    account->size += (int64_t)part.size; /* at most DATA_MAX */
    return EVP_DigestUpdate(account->digest, part.data, part.size) == 1 ||
           fault_set(fault, INTERNAL, NULL, "SHA-256 cannot be used");
}

static bool account_end(struct account *account, uint8_t ret_digest[DIGEST_SHA256_SIZE],
                        struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    json_t *line = json_object();

    if (EVP_DigestFinal_ex(account->digest, ret_digest, NULL) != 1) {
        json_decref(line);
        return fault_set(fault, INTERNAL, NULL, "SHA-256 cannot be used");
    }
    json_set_text(line, "name", account->name);
    json_set_integer(line, "size", account->size);
    json_set_text(line, "sha256",
                  hex_from_bytes(scratch, (struct bytes){ret_digest, DIGEST_SHA256_SIZE}));
    json_add_new(account->entries, line);
    account->name = NULL;
    return true;
}

static bool put(struct set_writer *writer, enum record kind, struct bytes content,
                struct fault *fault)
{
    const uint8_t prefix[PREFIX_SIZE] = {
        (uint8_t)kind, (uint8_t)(content.size >> 24), (uint8_t)(content.size >> 16),
        (uint8_t)(content.size >> 8), (uint8_t)content.size}; /* an octet of it each */

    return sealed_write(writer->sealed, BYTES_OF(prefix), fault) &&
           sealed_write(writer->sealed, content, fault);
}

static bool put_json(struct set_writer *writer, enum record kind, const json_t *object,
                     struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct bytes text = bytes_of_text(json_to_text(scratch, object));

    if (text.size > TEXT_MAX)
        return fault_set(fault, INPUT_TOO_LARGE, NULL, "the back-up would have too many files");
    return put(writer, kind, text, fault);
}

static int writer_close(struct set_writer *writer)
{
    account_close(&writer->account);
    return 0;
}

struct set_writer *set_writer_new(TALLOC_CTX *ctx, struct sealed_writer *sealed, json_t *head,
                                  struct fault *fault)
{
    AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
    struct set_writer *writer = mem_new(kept, struct set_writer);

    writer->sealed = sealed;
    account_open(&writer->account);
    talloc_set_destructor(writer, writer_close);
    json_set_integer(head, "format", SET_FORMAT);
    return put_json(writer, HEAD, head, fault) ? talloc_steal(ctx, writer) : NULL;
}

bool set_entry_begin(struct set_writer *writer, const struct set_entry *entry, struct fault *fault)
{
    AUTO(json_t) *object = json_object();

    if (!set_name_valid(entry->name) || (entry->path && !path_valid(entry->path)))
        return fault_set(fault, INPUT_INVALID, "name", "a file of this name cannot be kept: %.200s",
                         entry->path ? entry->path : entry->name);
    json_set_text(object, "name", entry->name);
    json_set_text(object, "path", entry->path);
    json_set_text(object, "owner", entry->owner);
    json_set_text(object, "group", entry->group);
    json_set_integer(object, "mode", entry->mode);
    json_set_integer(object, "modified_ns", entry->modified_ns);
    return account_begin(&writer->account, mem_text(writer, entry->name), fault) &&
           put_json(writer, ENTRY, object, fault);
}

bool set_entry_write(struct set_writer *writer, struct bytes part, struct fault *fault)
{
    while (part.size > 0) {
        const struct bytes piece = {part.data, least(part.size, DATA_MAX)};
        if (!account_add(&writer->account, piece, fault) || !put(writer, DATA, piece, fault))
            return false;
        part.data += piece.size;
        part.size -= piece.size;
    }
    return true;
}

bool set_entry_end(struct set_writer *writer, struct fault *fault)
{
    uint8_t digest[DIGEST_SHA256_SIZE];

    return account_end(&writer->account, digest, fault) &&
           put(writer, ENTRY_END, BYTES_OF(digest), fault);
}

bool set_finish(struct set_writer *writer, json_t *manifest, struct fault *fault)
{
    json_set_new(manifest, "entries", json_incref(writer->account.entries));
    return put_json(writer, MANIFEST, manifest, fault) && sealed_finish(writer->sealed, fault);
}

static int reader_close(struct set_reader *reader)
{
    account_close(&reader->account);
    json_decref(reader->head);
    json_decref(reader->manifest);
    return 0;
}

static bool get(struct set_reader *reader, uint8_t *into, size_t size, struct fault *fault)
{
    size_t got;

    if (!sealed_read(reader->sealed, into, size, &got, fault))
        return false;
    return got == size || malformed(fault, "it ends in the middle of a record");
}

static size_t most_of(enum record kind)
{
    switch (kind) {
    case HEAD:
    case ENTRY:
    case MANIFEST:
        return TEXT_MAX;
    case DATA:
        return DATA_MAX;
    case ENTRY_END:
        return DIGEST_SHA256_SIZE;
    }
    return 0;
}

static bool get_prefix(struct set_reader *reader, enum record *ret_kind, size_t *ret_size,
                       struct fault *fault)
{
    uint8_t prefix[PREFIX_SIZE];

    if (!get(reader, prefix, sizeof(prefix), fault))
        return false;
    *ret_kind = (enum record)prefix[0]; /* most_of knows the five */
    *ret_size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                prefix[4];
    if (*ret_size == 0 || *ret_size > most_of(*ret_kind))
        return malformed(fault, "there is a record that cannot be");
    return true;
}

static json_t *get_json(struct set_reader *reader, size_t size, struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t *text = mem_array(scratch, uint8_t, size);

    return get(reader, text, size, fault)
               ? json_parse_object((struct bytes){text, size}, INPUT_MALFORMED, "back-up", fault)
               : NULL;
}

static json_t *get_json_of(struct set_reader *reader, enum record wanted, const char *missing,
                           struct fault *fault)
{
    enum record kind;
    size_t size;

    if (!get_prefix(reader, &kind, &size, fault))
        return NULL;
    return kind == wanted ? get_json(reader, size, fault) : malformed(fault, missing);
}

struct set_reader *set_reader_new(TALLOC_CTX *ctx, struct sealed_reader *sealed,
                                  struct fault *fault)
{
    AUTO(TALLOC_CTX) *kept = talloc_new(NULL);
    struct set_reader *reader = mem_new(kept, struct set_reader);

    reader->sealed = sealed;
    account_open(&reader->account);
    talloc_set_destructor(reader, reader_close);
    reader->head = get_json_of(reader, HEAD, "it does not begin with a head", fault);
    if (!reader->head)
        return NULL;
    const json_t *format = json_object_get(reader->head, "format");
    if (!json_is_integer(format) || json_integer_value(format) != SET_FORMAT)
        return fault_set(fault, INPUT_MALFORMED, NULL,
                         "the back-up was made by another certctl, whose content this one does not "
                         "know");
    return talloc_steal(ctx, reader);
}

const json_t *set_head(const struct set_reader *reader)
{
    return reader->head;
}

static bool check_entry(const struct set_entry *entry, struct fault *fault)
{
    if (!set_name_valid(entry->name) || (entry->path && !path_valid(entry->path)))
        return malformed(fault, "an entry has no name that a file can have");
    if (entry->mode < 0 || entry->mode > MODE_MAX || entry->modified_ns < 0)
        return malformed(fault, "an entry has no mode that a file can have");
    return true;
}

static bool take_manifest(struct set_reader *reader, size_t size, struct fault *fault)
{
    uint8_t behind;
    size_t got;

    reader->manifest = get_json(reader, size, fault);
    if (!reader->manifest)
        return false;
    if (!json_equal(json_object_get(reader->manifest, "entries"), reader->account.entries))
        return malformed(fault, "the manifest lists other files than there are");
    if (!sealed_read(reader->sealed, &behind, 1, &got, fault))
        return false;
    return got == 0 || malformed(fault, "something stands behind the manifest");
}

static bool take_entry(struct set_reader *reader, size_t size, struct set_entry *ret_entry,
                       struct fault *fault)
{
    struct set_entry entry = {0};
    AUTO(json_t) *object = get_json(reader, size, fault);

    talloc_free(reader->of_entry);
    reader->of_entry = talloc_new(reader);
    if (!object || !json_decode(reader->of_entry, object, entry_members, &entry, fault))
        return false;
    if (!check_entry(&entry, fault))
        return false;
    *ret_entry = entry;
    return account_begin(&reader->account, entry.name, fault);
}

bool set_next(struct set_reader *reader, struct set_entry *ret_entry, bool *ret_more,
              struct fault *fault)
{
    enum record kind;
    size_t size;

    if (reader->account.name || reader->manifest)
        return fault_set(fault, INTERNAL, NULL, "the entry before was not read to its end");
    if (!get_prefix(reader, &kind, &size, fault))
        return false;
    *ret_more = kind == ENTRY;
    if (kind == MANIFEST)
        return take_manifest(reader, size, fault);
    if (kind != ENTRY)
        return malformed(fault, "there is neither an entry nor the manifest");
    return take_entry(reader, size, ret_entry, fault);
}

static bool take_end(struct set_reader *reader, struct fault *fault)
{
    uint8_t stored[DIGEST_SHA256_SIZE];
    uint8_t digest[DIGEST_SHA256_SIZE];

    if (!get(reader, stored, sizeof(stored), fault) ||
        !account_end(&reader->account, digest, fault))
        return false;
    return bytes_equal(BYTES_OF(stored), BYTES_OF(digest)) ||
           malformed(fault, "an entry is not what its SHA-256 says");
}

bool set_read(struct set_reader *reader, struct bytes *ret_part, struct fault *fault)
{
    enum record kind;
    size_t size;

    *ret_part = (struct bytes){0};
    if (!get_prefix(reader, &kind, &size, fault))
        return false;
    if (kind == ENTRY_END && size == DIGEST_SHA256_SIZE)
        return take_end(reader, fault);
    if (kind != DATA)
        return malformed(fault, "an entry does not end");
    if (!get(reader, reader->data, size, fault))
        return false;
    *ret_part = (struct bytes){reader->data, size};
    return account_add(&reader->account, *ret_part, fault);
}

const json_t *set_manifest(const struct set_reader *reader)
{
    return reader->manifest;
}
