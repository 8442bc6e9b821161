/* tests/fuzz/replay.c: feeds stored inputs to a fuzz target that was linked without libFuzzer.
 *
 * Arguments are files or directories. Without any it takes $srcdir/tests/fuzz/corpus/<own name>,
 * which is how `make check` runs it. No input at all is a failure: a corpus that went missing must
 * not look like one that passed. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* More than any target takes. */
#define INPUT_BYTES_MAX ((size_t)1024 * 1024)

static void give_up(const char *path)
{
    (void)fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(EXIT_FAILURE);
}

static void feed_file(const char *path)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(FILE) *file = fopen(path, "rbe");
    uint8_t *data = mem_array(scratch, uint8_t, INPUT_BYTES_MAX);

    if (!file)
        give_up(path);

    const size_t size = fread(data, 1, INPUT_BYTES_MAX, file);
    if (ferror(file) || !feof(file))
        give_up(path);
    (void)LLVMFuzzerTestOneInput(data, size);
}

static bool is_directory(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        give_up(path);
    return S_ISDIR(status.st_mode);
}

/* One level deep; returns how many files were fed. */
static size_t feed_directory(const char *path)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    AUTO(DIR) *directory = opendir(path);
    size_t count = 0;

    if (!directory)
        give_up(path);
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        const char *file = mem_printf(scratch, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || is_directory(file))
            continue;
        feed_file(file);
        count++;
    }
    return count;
}

static size_t feed(const char *path)
{
    if (is_directory(path))
        return feed_directory(path);
    feed_file(path);
    return 1;
}

static size_t feed_own_corpus(const char *program)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *top = getenv("srcdir");
    const char *slash = strrchr(program, '/');

    return feed(mem_printf(scratch, "%s/tests/fuzz/corpus/%s", top ? top : ".",
                           slash ? slash + 1 : program));
}

int main(int count, char **arguments)
{
    size_t fed = count > 1 ? 0 : feed_own_corpus(arguments[0]);

    for (int i = 1; i < count; i++)
        fed += feed(arguments[i]);
    (void)printf("%s: %zu inputs\n", arguments[0], fed);
    return fed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
