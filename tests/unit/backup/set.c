/* tests/unit/backup/set.c: entries and manifest, as written and as nobody writes them. */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backup/set.h"
#include "core/auto.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

static const struct bytes passphrase = {(const uint8_t *)"battery staple", 14};

static const struct set_entry entries[] = {
    {.name = "database",                        .mode = 0600},
    { .name = "ca/issuing.key",
     .path = "/var/lib/certctl/ca/issuing.key",
     .owner = "certctl-signer",
     .group = "certctl-signer",
     .mode = 0600},
    {                                 .name = "config/1",                                         .path = "/etc/certctl/certctl.env",                                    .mode = 0644},
};
static const size_t sizes[] = {200000, 300, 0};

static int written(void)
{
    static uint8_t data[200000];
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    AUTO(json_t) *head = json_object();
    AUTO(json_t) *manifest = json_object();
    struct fault fault = {0};
    const int fd = memfd_create("set", MFD_CLOEXEC);

    json_set_text(head, "node", "here");
    json_set_integer(manifest, "certificates", 7);
    struct sealed_writer *sealed = sealed_writer_new(ctx, fd, passphrase, SEALED_COST_LEAST,
                                                     &fault);
    struct set_writer *set = sealed ? set_writer_new(ctx, sealed, head, &fault) : NULL;
    cr_assert(set, "%s", fault.detail);
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        cr_assert(set_entry_begin(set, &entries[i], &fault), "%s", fault.detail);
        cr_assert(set_entry_write(set, (struct bytes){data, sizes[i]}, &fault));
        cr_assert(set_entry_end(set, &fault));
    }
    cr_assert(set_finish(set, manifest, &fault), "%s", fault.detail);
    cr_assert(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

Test(set, comes_back)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    struct set_entry entry;
    bool more = true;
    AUTO_FD fd = written();
    struct sealed_reader *sealed = sealed_reader_new(ctx, fd, passphrase, &fault);
    struct set_reader *set = sealed ? set_reader_new(ctx, sealed, &fault) : NULL;

    cr_assert(set, "%s", fault.detail);
    cr_expect_str_eq(json_text_at(set_head(set), "node"), "here");
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        struct bytes part = {NULL, 1};
        size_t size = 0;
        cr_assert(set_next(set, &entry, &more, &fault) && more, "%s", fault.detail);
        cr_expect_str_eq(entry.name, entries[i].name);
        cr_expect_eq(entry.mode, entries[i].mode);
        cr_expect(entry.path ? text_equal(entry.path, entries[i].path) : !entries[i].path);
        cr_expect(entry.owner ? text_equal(entry.owner, entries[i].owner) : !entries[i].owner);
        for (; part.size > 0; size += part.size)
            cr_assert(set_read(set, &part, &fault), "%s", fault.detail);
        cr_expect_eq(size, sizes[i]);
    }
    cr_assert(set_next(set, &entry, &more, &fault) && !more, "%s", fault.detail);
    cr_expect_eq(json_integer_value(json_object_get(set_manifest(set), "certificates")), 7);
    cr_expect_eq(json_array_size(json_object_get(set_manifest(set), "entries")), 3);
}

Test(set, an_entry_is_read_to_its_end)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    struct set_entry entry;
    bool more;
    AUTO_FD fd = written();
    struct sealed_reader *sealed = sealed_reader_new(ctx, fd, passphrase, &fault);
    struct set_reader *set = set_reader_new(ctx, sealed, &fault);

    cr_assert(set_next(set, &entry, &more, &fault));
    cr_expect_not(set_next(set, &entry, &more, &fault));
    cr_expect_eq(fault.reason, INTERNAL);
}

/* What stands under the seal, by somebody who knows the passphrase. */
static void read_records(struct bytes records, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    AUTO_FD fd = memfd_create("records", MFD_CLOEXEC);
    struct set_entry entry;
    struct bytes part = {0};
    bool more = true;
    struct sealed_writer *writer = sealed_writer_new(ctx, fd, passphrase, SEALED_COST_LEAST, fault);

    cr_assert(sealed_write(writer, records, fault) && sealed_finish(writer, fault));
    cr_assert(lseek(fd, 0, SEEK_SET) == 0);
    struct sealed_reader *sealed = sealed_reader_new(ctx, fd, passphrase, fault);
    struct set_reader *set = set_reader_new(ctx, sealed, fault);
    while (set && more && set_next(set, &entry, &more, fault))
        for (part.size = more; part.size > 0;)
            if (!set_read(set, &part, fault))
                return;
}

#define CASE(about, text, words)                                                                   \
    {                                                                                              \
        (about), (const uint8_t *)(text), sizeof(text) - 1, (words)                                \
    }
#define HEAD_  "H\0\0\0\014{\"format\":1}"
#define ENTRY_ "E\0\0\0\031{\"name\":\"a/b\",\"mode\":384}"

Test(set, refuses_what_nobody_writes)
{
    static const struct {
        const char *about;
        const uint8_t *records;
        size_t size;
        const char *words;
    } cases[] = {
        CASE("nothing", "", "in the middle"),
        CASE("no head", ENTRY_, "begin with a head"),
        CASE("an empty head", "H\0\0\0\0", "cannot be"),
        CASE("no JSON", "H\0\0\0\2{]", "back-up"),
        CASE("another format", "H\0\0\0\014{\"format\":2}", "another certctl"),
        CASE("no format", "H\0\0\0\2{}", "another certctl"),
        CASE("a head alone", HEAD_, "in the middle"),
        CASE("two heads", HEAD_ HEAD_, "neither an entry"),
        CASE("an unknown record", HEAD_ "X\0\0\0\1x", "cannot be"),
        CASE("a head above its most", "H\0\x40\0\1", "cannot be"),
        CASE("data above their most", HEAD_ ENTRY_ "D\0\1\0\1", "cannot be"),
        CASE("data without an entry", HEAD_ "D\0\0\0\1x", "neither an entry"),
        CASE("an entry in an entry", HEAD_ ENTRY_ ENTRY_, "does not end"),
        CASE("a wrong digest",
             HEAD_ ENTRY_ "F\0\0\0\040"
                          "01234567890123456789012345678901",
             "SHA-256"),
        CASE("half a digest",
             HEAD_ ENTRY_ "F\0\0\0\020"
                          "0123456789012345",
             "does not end"),
        CASE("cut in a record", HEAD_ "E\0\0\0\031{\"na", "in the middle"),
        CASE("a name upwards", HEAD_ "E\0\0\0\032{\"name\":\"a/..\",\"mode\":384}",
             "name that a file"),
        CASE("a mode of no file", HEAD_ "E\0\0\0\031{\"name\":\"a/b\",\"mode\":-84}",
             "mode that a file"),
        CASE("no mode", HEAD_ "E\0\0\0\016{\"name\":\"a/b\"}", "mode"),
        CASE("a manifest of others", HEAD_ "M\0\0\0\017{\"entries\":[1]}", "other files"),
        CASE("a manifest of nothing", HEAD_ "M\0\0\0\2{}", "other files"),
        CASE("more behind it", HEAD_ "M\0\0\0\016{\"entries\":[]}x", "stands behind"),
        CASE("whole, but empty", HEAD_ "M\0\0\0\016{\"entries\":[]}", NULL),
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fault fault = {0};
        read_records((struct bytes){cases[i].records, cases[i].size}, &fault);
        if (!cases[i].words) {
            cr_expect_eq(fault.reason, REASON_NONE, "%s: %s", cases[i].about, fault.detail);
            continue;
        }
        cr_expect_neq(fault.reason, REASON_NONE, "%s", cases[i].about);
        cr_expect(strstr(fault.detail, cases[i].words), "%s: %s", cases[i].about, fault.detail);
    }
}

Test(set, names_lead_nowhere_else)
{
    static const char *const good[] = {"database", "ca/a", "log/signer.log-20261101.gz",
                                       "x/_@+,=-"};
    static const char *const bad[] = {
        "",     "/",    "/etc/passwd", "ca/",    "ca/..",  "ca/.x", "ca//x", "ca/x/y",
        "../x", "Ca/x", "ca x",        "ca/x y", "ca/x\n", "1",     "ca\\x", "ca/\xc3\xa4"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        cr_expect(set_name_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_expect_not(set_name_valid(bad[i]), "%s", bad[i]);
}

Test(set, keeps_no_file_of_another_name)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    AUTO(json_t) *head = json_object();
    struct fault fault = {0};
    AUTO_FD fd = memfd_create("set", MFD_CLOEXEC);
    static const struct set_entry wrong[] = {
        {.name = "ca/../x",   .mode = 0600},
        { .name = "ca/x", .path = "relative", .mode = 0600},
        { .name = "ca/x",  .path = "/a/../b", .mode = 0600},
        { .name = "ca/x",    .path = "/a/..", .mode = 0600},
        { .name = "ca/x",    .path = "/a//b", .mode = 0600},
        { .name = "ca/x",      .path = "/a/", .mode = 0600},
    };
    struct sealed_writer *sealed = sealed_writer_new(ctx, fd, passphrase, SEALED_COST_LEAST,
                                                     &fault);
    struct set_writer *set = set_writer_new(ctx, sealed, head, &fault);

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        cr_expect_not(set_entry_begin(set, &wrong[i], &fault), "%zu", i);
}
