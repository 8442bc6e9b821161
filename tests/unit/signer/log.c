/* tests/unit/signer/log.c: the chain over rotation, torn lines and foreign files. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/json.h"
#include "core/memory.h"
#include "signer/signature_log.h"

#include "core/banned.h"

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
static char directory[] = "/tmp/certctl-log-XXXXXX";
static const char *path;
static TALLOC_CTX *root;

static void setup(void)
{
    cr_assert_not_null(mkdtemp(directory));
    root = talloc_new(NULL);
    path = mem_printf(root, "%s/signer.log", directory);
}

static void teardown(void)
{
    (void)unlink(path);
    (void)unlink(mem_printf(root, "%s.1", path));
    cr_expect_eq(rmdir(directory), 0);
    talloc_free(root);
}

static struct signature_log *open_log(struct fault *fault)
{
    return signature_log_open(root, path, "node \"1\"", fault);
}

static bool append(struct signature_log *log, size_t filling)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(json_t) *entry = json_object();
    struct fault fault = {0};
    char *text = mem_array(scratch, char, filling + 1);

    memset(text, 'x', filling);
    json_set_text(entry, "kind", "test");
    json_set_text(entry, "filling", text);
    return signature_log_append(log, entry, false, &fault);
}

static char *content(const char *file_path)
{
    AUTO(FILE) *file = fopen(file_path, "rbe");
    char *text = mem_array(root, char, 1 << 20);

    cr_assert_not_null(file);
    cr_assert_lt(fread(text, 1, 1 << 20, file), 1 << 20);
    return text;
}

static void put_raw(const char *text)
{
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0640);

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Number and prev of the n-th line of a file, and the hash of the line itself. */
struct seen {
    int64_t line;
    const char *prev;
    const char *hash;
};

static struct seen nth(const char *file_path, size_t n)
{
    const char *at = content(file_path);

    while (n-- > 1)
        at = strchr(at, '\n') + 1;
    const char *text = mem_text_n(root, at, strcspn(at, "\n"));
    json_t *line = mem_adopt(root, json_loads(text, 0, NULL), json_decref);
    cr_assert_not_null(line, "%s", text);
    cr_expect_str_eq(json_text_at(line, "node"), "node \"1\"");
    return (struct seen){json_integer_value(json_object_get(line, "line")),
                         json_text_at(line, "prev"), digest_sha256_hex(root, bytes_of_text(text))};
}

static void expect_next(struct seen before, struct seen after)
{
    cr_expect_eq(after.line, before.line + 1);
    cr_expect_str_eq(after.prev, before.hash);
}

TestSuite(signer_log, .init = setup, .fini = teardown);

Test(signer_log, begins_with_zeros_and_goes_on_after_a_restart)
{
    struct fault fault = {0};
    struct signature_log *log = open_log(&fault);

    cr_assert(append(log, 1) && append(log, 1));
    talloc_free(log);
    cr_assert(append(open_log(&fault), 1));
    cr_expect_eq(nth(path, 1).line, 1);
    cr_expect_str_eq(nth(path, 1).prev, zeros);
    expect_next(nth(path, 1), nth(path, 2));
    expect_next(nth(path, 2), nth(path, 3));
}

Test(signer_log, two_writers_make_one_chain)
{
    struct fault fault = {0};
    struct signature_log *writers[] = {open_log(&fault), open_log(&fault)};

    for (size_t i = 0; i < 6; i++)
        cr_assert(append(writers[i * i % 3 % 2], i));
    for (size_t i = 1; i < 6; i++)
        expect_next(nth(path, i), nth(path, i + 1));
}

/* The line is longer than what is read of the end at first. */
Test(signer_log, finds_a_last_line_of_any_length)
{
    static const size_t lengths[] = {1, 16000, 16384, 20000, 200000};
    struct fault fault = {0};

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        cr_assert(append(open_log(&fault), lengths[i]), "%zu", lengths[i]);
        cr_assert(append(open_log(&fault), 1), "after %zu: %s", lengths[i], fault.cause);
    }
    for (size_t i = 1; i < 2 * ARRAY_SIZE(lengths); i++)
        expect_next(nth(path, i), nth(path, i + 1));
    cr_expect_not(append(open_log(&fault), 256 * 1024), "a line too long to be found again");
}

/* Writer B has not seen A's last line when the file is moved away: the new file must go on from
 * A's all the same. */
Test(signer_log, rotation_keeps_the_chain)
{
    struct fault fault = {0};
    struct signature_log *a = open_log(&fault);
    struct signature_log *b = open_log(&fault);
    const char *old = mem_printf(root, "%s.1", path);

    cr_assert(append(b, 1) && append(a, 1) && append(a, 1));
    cr_assert_eq(rename(path, old), 0);
    cr_assert(append(b, 1) && append(a, 1));
    cr_expect_eq(nth(path, 1).line, 4);
    expect_next(nth(old, 3), nth(path, 1));
    expect_next(nth(path, 1), nth(path, 2));
}

Test(signer_log, cuts_a_torn_line)
{
    static const char *const torn[] = {"{\"line\":2,\"time\":\"2026", "{\"li", "\x01\x02garbage"};
    struct fault fault = {0};

    cr_assert(append(open_log(&fault), 1));
    for (size_t i = 0; i < ARRAY_SIZE(torn); i++) {
        put_raw(torn[i]);
        cr_assert(append(open_log(&fault), 1), "%s", fault.cause);
        expect_next(nth(path, i + 1), nth(path, i + 2));
    }
}

Test(signer_log, a_first_line_that_is_torn_is_begun_again)
{
    struct fault fault = {0};

    put_raw("{\"line\":1,\"ti");
    cr_assert(append(open_log(&fault), 1));
    cr_expect_eq(nth(path, 1).line, 1);
}

Test(signer_log, never_writes_into_a_foreign_file)
{
    static const char *const foreign[] = {
        "root:x:0:0\n",    "root:x:0:0",     "{\"line\":0}\n",
        "{\"line\":-1}\n", "{\"line\":x}\n", "{\"line\":1\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        struct fault fault = {0};
        put_raw(foreign[i]);
        cr_expect_null(open_log(&fault), "%s", foreign[i]);
        cr_expect_eq(fault.reason, SIGNER_KEY);
        cr_expect_str_eq(content(path), foreign[i], "it was changed");
        cr_assert_eq(unlink(path), 0);
    }
}

/* A process that met a spoilt end goes on by itself once the file has been moved away. */
Test(signer_log, recovers_when_a_spoilt_file_is_moved_away)
{
    struct fault fault = {0};
    struct signature_log *log = open_log(&fault);

    cr_assert(append(log, 1));
    put_raw("nonsense\n");
    cr_expect_not(append(log, 1));
    const struct seen last = nth(path, 1);
    cr_assert_eq(rename(path, mem_printf(root, "%s.1", path)), 0);
    cr_assert(append(log, 1));
    expect_next(last, nth(path, 1));
}
