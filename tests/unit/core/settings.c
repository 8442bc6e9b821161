/* tests/unit/core/settings.c: the environment as a whole, secrets in files, and the document that
 * says the same. Criterion runs each test in a process of its own, so setenv harms nobody. */

#include "core/settings.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

extern char **environ;

static void forget_variables(void)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct text_list names = {0};

    for (char **at = environ; *at; at++) {
        if (text_starts(*at, "CERTCTL_"))
            text_list_add(scratch, &names, text_split(scratch, *at, '=').items[0]);
    }
    for (size_t i = 0; i < names.count; i++)
        cr_assert_eq(unsetenv(names.items[i]), 0);
}

TestSuite(settings, .init = forget_variables);

static void set(const char *name, const char *value)
{
    cr_assert_eq(setenv(name, value, 1), 0);
}

static const struct setting *find(const char *name)
{
    size_t count;
    const struct setting *table = settings_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (text_equal(table[i].name, name))
            return &table[i];
    }
    cr_assert_fail("%s is in no table", name);
    return NULL;
}

Test(settings, defaults)
{
    struct settings settings;
    struct fault faults[4];
    size_t count = 99;

    cr_assert(settings_load(&settings, faults, ARRAY_SIZE(faults), &count), "%s", faults[0].detail);
    cr_expect_eq(count, 0);
    cr_expect_str_eq(settings.database_url, "postgres:///certctl");
    cr_expect_str_eq(settings.runtime_dir, "/run/certctl");
    cr_expect_str_eq(settings.signer_socket, "/run/certctl/signer.sock");
    cr_expect_str_eq(settings.signer_admin_socket, "/run/certctl/signer-admin.sock");
    cr_expect_str_eq(settings.ca_key_dir, "/var/lib/certctl/ca");
    cr_expect_str_eq(settings.ca_approval, "host");
    cr_expect_null(settings.edge_key_sha256);
    cr_expect_not_null(settings.node_id);
    cr_expect_eq(settings.max_body_bytes, 1048576);
    cr_expect_eq(settings.not_before_backdate_ms, 60000);
    cr_expect_eq(settings.crl_validity_ms, 86400000);
    cr_expect_eq(settings.signer_max_leaf_days, 3660);
    cr_expect_not(settings.acme_enabled);
    cr_expect_eq(settings.acme_nonce_ttl_ms, 300000);
    cr_expect_eq(settings.acme_max_identifiers, 100);
    cr_expect_str_eq(settings.acme_default_owner_id, "o-enrollment");
    cr_expect(settings.audit_record_ip);
}

/* A default that its own rule refuses would leave a member empty without a word. */
Test(settings, every_default_passes_its_own_rule)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    size_t count;
    const struct setting *table = settings_table(&count);

    for (size_t i = 0; i < count; i++) {
        struct settings settings = {0};
        struct fault fault = {0};
        const char *fallback = table[i].fallback ? table[i].fallback : "";

        if (*fallback == '<')
            fallback = "/filled/in";
        cr_expect(setting_read(scratch, &table[i], fallback, &settings, &fault), "%s",
                  fault.detail);
    }
}

Test(settings, paths_follow_their_directories)
{
    struct settings settings;
    size_t count;

    set("CERTCTL_RUNTIME_DIR", "/tmp/r");
    set("CERTCTL_STATE_DIR", "/tmp/s");
    set("CERTCTL_SIGNER_ADMIN_SOCKET", "/elsewhere/admin.sock");
    cr_assert(settings_load(&settings, NULL, 0, &count));
    cr_expect_str_eq(settings.signer_socket, "/tmp/r/signer.sock");
    cr_expect_str_eq(settings.signer_admin_socket, "/elsewhere/admin.sock");
    cr_expect_str_eq(settings.ca_key_dir, "/tmp/s/ca");
    settings_defaults(&settings);
    cr_expect_str_eq(settings.signer_socket, "/run/certctl/signer.sock");
}

Test(settings, an_empty_variable_counts_as_not_set)
{
    struct settings settings;
    size_t count;

    set("CERTCTL_ACME_SERVER_NONCE_TTL", "");
    set("CERTCTL_LOG_LEVEL", "");
    set("CERTCTL_DATABASE_URL_FILE", "");
    cr_assert(settings_load(&settings, NULL, 0, &count));
    cr_expect_eq(settings.acme_nonce_ttl_ms, 300000);
    cr_expect_str_eq(settings.log_level, "info");
}

Test(settings, all_refusals_are_told_and_nothing_is_handed_out)
{
    struct settings settings = {.max_sans = 4711};
    struct fault faults[2] = {0};
    size_t count = 0;

    set("CERTCTL_ACME_SERVER_NONCE_TTL", "abc");
    set("CERTCTL_MAX_SANS", "0");
    set("CERTCTL_CA_APPROVAL", "nobody");
    cr_expect_not(settings_load(&settings, faults, ARRAY_SIZE(faults), &count));
    cr_expect_eq(count, 3);
    cr_expect_eq(settings.max_sans, 4711);
    cr_expect_eq(faults[0].reason, SETTING_INVALID);
    cr_expect_str_eq(faults[0].field, "CERTCTL_CA_APPROVAL");
    cr_expect_str_eq(faults[0].detail, "CERTCTL_CA_APPROVAL: \"nobody\" is none of host, api");
    cr_expect_str_eq(faults[1].detail, "CERTCTL_MAX_SANS: \"0\" is less than 1");
}

static const struct {
    const char *value;
    int64_t ms; /* -1: refused */
} order_lifetimes[] = {
    {"0",    86400000},
    {"0s",   86400000},
    {"-1h",  86400000},
    {"1m",   60000   },
    {"2h",   7200000 },
    {"59s",  -1      },
    {"1ms",  -1      },
    {"-",    -1      },
    {"-abc", -1      },
};

/* 01 section 4.1: zero and less mean 24h. */
Test(settings, order_lifetime)
{
    for (size_t i = 0; i < ARRAY_SIZE(order_lifetimes); i++) {
        struct settings settings = {0};
        size_t count = 0;

        set("CERTCTL_ACME_SERVER_ORDER_TTL", order_lifetimes[i].value);
        cr_expect_eq(settings_load(&settings, NULL, 0, &count), order_lifetimes[i].ms >= 0, "%s",
                     order_lifetimes[i].value);
        cr_expect_eq(settings.acme_order_ttl_ms, most(order_lifetimes[i].ms, (int64_t)0), "%s",
                     order_lifetimes[i].value);
    }
}

Test(settings, a_lifetime_below_zero_is_refused_elsewhere)
{
    struct settings settings;
    size_t count;

    set("CERTCTL_ACME_SERVER_AUTHZ_TTL", "-1h");
    cr_expect_not(settings_load(&settings, NULL, 0, &count));
}

static char *temporary_directory(TALLOC_CTX *ctx)
{
    char *path = mem_text(ctx, "/tmp/unit-core-XXXXXX");

    cr_assert_not_null(mkdtemp(path));
    return path;
}

static void write_file(const char *path, struct bytes content, mode_t mode)
{
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content.data, content.size), (ssize_t)content.size);
    cr_assert_eq(fchmod(fd, mode), 0);
}

static const struct {
    const char *about;
    struct bytes content;
    mode_t mode;
    const char *rule; /* how the detail ends; NULL: must be read as "hush" */
} secret_files[] = {
    {"one newline goes",   {(const uint8_t *)"hush\n", 5},   0600, NULL          },
    {"none is needed",     {(const uint8_t *)"hush", 4},     0640, NULL          },
    {"only one goes",      {(const uint8_t *)"hush\n\n", 6}, 0600, "is not UTF-8"},
    {"readable by others", {(const uint8_t *)"hush", 4},     0604, "(mode 0604)" },
    {"writable by others", {(const uint8_t *)"hush", 4},     0602, "(mode 0602)" },
    {"NUL inside",         {(const uint8_t *)"hu\0sh", 5},   0600, "holds a NUL" },
    {"empty",              {(const uint8_t *)"", 0},         0600, "is empty"    },
    {"a newline alone",    {(const uint8_t *)"\n", 1},       0600, "is empty"    },
};

Test(settings, secret_files)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *directory = temporary_directory(scratch);
    const char *path = mem_printf(scratch, "%s/secret", directory);

    set("CERTCTL_DATABASE_URL_FILE", path);
    for (size_t i = 0; i < ARRAY_SIZE(secret_files); i++) {
        struct settings settings = {.database_url = "untouched"};
        struct fault fault = {0};
        size_t count = 0;

        write_file(path, secret_files[i].content, secret_files[i].mode);
        const bool read = settings_load(&settings, &fault, 1, &count);
        cr_expect_eq(read, secret_files[i].rule == NULL, "%s: %s", secret_files[i].about,
                     fault.detail);
        cr_expect_str_eq(settings.database_url, read ? "hush" : "untouched");
        if (!read)
            cr_expect(text_ends(fault.detail, secret_files[i].rule), "%s", fault.detail);
    }
    cr_expect_eq(unlink(path), 0);
    cr_expect_eq(rmdir(directory), 0);
}

Test(settings, a_secret_file_holds_at_most_64_kib)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *directory = temporary_directory(scratch);
    const char *path = mem_printf(scratch, "%s/secret", directory);
    uint8_t *content = mem_array(scratch, uint8_t, 65537);

    memset(content, 'x', 65537);
    set("CERTCTL_DATABASE_URL_FILE", path);
    for (size_t length = 65535; length <= 65537; length++) {
        struct settings settings;
        size_t count = 0;

        write_file(path, (struct bytes){content, length}, 0600);
        cr_expect_eq(settings_load(&settings, NULL, 0, &count), length <= 65536, "%zu", length);
        if (count == 0)
            cr_expect_eq(strlen(settings.database_url), length);
    }
    cr_expect_eq(unlink(path), 0);
    cr_expect_eq(rmdir(directory), 0);
}

Test(settings, a_secret_comes_from_one_regular_file)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *directory = temporary_directory(scratch);
    const char *fifo = mem_printf(scratch, "%s/fifo", directory);
    struct settings settings;
    struct fault fault = {0};
    size_t count;

    cr_assert_eq(mkfifo(fifo, 0600), 0);
    set("CERTCTL_DATABASE_URL_FILE", fifo);
    cr_expect_not(settings_load(&settings, &fault, 1, &count),
                  "a FIFO must neither block nor serve");
    cr_expect(text_ends(fault.detail, "is not a regular file"), "%s", fault.detail);

    set("CERTCTL_DATABASE_URL_FILE", directory);
    cr_expect_not(settings_load(&settings, &fault, 1, &count));
    cr_expect(text_ends(fault.detail, "is not a regular file"), "%s", fault.detail);

    set("CERTCTL_DATABASE_URL_FILE", "/nonexistent/secret");
    cr_expect_not(settings_load(&settings, &fault, 1, &count));
    cr_expect_str_eq(fault.detail,
                     "CERTCTL_DATABASE_URL_FILE: \"/nonexistent/secret\" cannot be opened");
    cr_expect_str_eq(fault.cause, "open: No such file or directory");

    set("CERTCTL_DATABASE_URL", "postgres:///x");
    cr_expect_not(settings_load(&settings, &fault, 1, &count));
    cr_expect_str_eq(fault.field, "CERTCTL_DATABASE_URL");
    cr_expect(text_ends(fault.detail, "one must go"), "%s", fault.detail);
    cr_expect_eq(unlink(fifo), 0);
    cr_expect_eq(rmdir(directory), 0);
}

Test(settings, only_secrets_are_read_from_files)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    set("CERTCTL_MAX_SANS", "5");
    set("CERTCTL_MAX_SANS_FILE", "/nonexistent");
    set("CERTCTL_DATABASE_URL_FILE", "/nonexistent");
    set("CERTCTL_MAX_SAN", "5");
    set("CERTCTL_", "");
    const struct text_list unknown = settings_unknown(scratch);
    cr_expect_eq(unknown.count, 3);
    cr_expect(text_list_has(&unknown, "CERTCTL_MAX_SANS_FILE"));
    cr_expect(text_list_has(&unknown, "CERTCTL_MAX_SAN"));
    cr_expect(text_list_has(&unknown, "CERTCTL_"));
}

static int said_fd;
static int64_t started_us;

/* Runs inside exit: another status than 78 is how it says that something is wrong. */
static void check_parting_words(void)
{
    static const char expected[] =
        "refused: CERTCTL_DATABASE_URL_FILE: \"/nonexistent\" cannot be opened "
        "(open: No such file or directory)\n"
        "refused: CERTCTL_ACME_SERVER_NONCE_TTL: \"abc\" is not a duration\n";
    char said[1024] = {0};

    if (read(said_fd, said, sizeof(said) - 1) < 0 || !text_equal(said, expected))
        _exit(1);
    if (clock_monotonic_us() - started_us < 1000000)
        _exit(2);
}

/* A crash loop under a supervisor must be slow. */
Test(settings, a_bad_configuration_ends_the_process_slowly_with_78, .exit_code = 78)
{
    struct settings settings;
    int ends[2];

    set("CERTCTL_ACME_SERVER_NONCE_TTL", "abc");
    set("CERTCTL_DATABASE_URL_FILE", "/nonexistent");
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    said_fd = ends[0];
    started_us = clock_monotonic_us();
    cr_assert_eq(atexit(check_parting_words), 0);
    settings_load_or_exit(&settings);
}

/* Rows of the document: | `NAME` | default | … */
static struct text_list documented(TALLOC_CTX *ctx)
{
    struct text_list rows = {0};
    char line[2048];

    AUTO(FILE) *file = fopen(TEST_SRCDIR "/doc/configuration.md", "re");
    cr_assert_not_null(file, "doc/configuration.md is missing");
    while (fgets(line, sizeof(line), file)) {
        if (!text_starts(line, "| `CERTCTL_"))
            continue;
        const struct text_list cells = text_split(ctx, line, '|');
        cr_assert_geq(cells.count, 3, "%s", line);
        text_list_add(ctx, &rows, mem_printf(ctx, "%s = %s", cells.items[0], cells.items[1]));
    }
    return rows;
}

Test(settings, doc_configuration_md_has_the_same_names_and_defaults)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list rows = documented(scratch);
    size_t count;
    const struct setting *table = settings_table(&count);

    cr_expect_eq(rows.count, count, "%zu rows in the document, %zu in the table", rows.count,
                 count);
    for (size_t i = 0; i < count; i++) {
        const char *shown = table[i].fallback ? mem_printf(scratch, "`%s`", table[i].fallback)
                                              : "–";
        const char *row = mem_printf(scratch, "`%s` = %s", table[i].name, shown);
        cr_expect(text_list_has(&rows, row), "the document lacks: %s", row);
    }
    for (size_t i = 0; i < rows.count; i++)
        (void)find(text_split(scratch, rows.items[i], '`').items[0]);
}
