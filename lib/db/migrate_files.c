/* lib/db/migrate_files.c: the SQL files of a release, read into memory in their order. */
#include "db/migrate_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/auto.h"
#include "core/digest.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define SQL_FILE_MAX   (4 << 20)
#define NO_TRANSACTION "-- no-transaction\n"

static bool unreadable(const char *path, const char *name, struct fault *fault)
{
    fault_set(fault, FILE_FAILED, NULL, "%s cannot be read", name);
    return fault_cause_errno(fault, path);
}

static char *file_text(TALLOC_CTX *ctx, const char *path, const char *name, struct fault *fault)
{
    AUTO(FILE) *file = fopen(path, "re");
    struct stat facts;
    if (!file || fstat(fileno(file), &facts) != 0) {
        unreadable(path, name, fault);
        return NULL;
    }
    if (!S_ISREG(facts.st_mode) || facts.st_size > SQL_FILE_MAX)
        return fault_set(fault, FILE_FAILED, NULL, "%s is no file of at most 4 MiB", name);

    const size_t size = (size_t)facts.st_size; /* within the limit */
    char *text = mem_array(ctx, char, size + 1);
    if (fread(text, 1, size, file) != size) {
        unreadable(path, name, fault);
        return NULL;
    }
    if (strlen(text) != size)
        return fault_set(fault, FILE_FAILED, NULL, "%s holds a NUL octet", name);
    return text;
}

static bool sql_file_read(TALLOC_CTX *ctx, const char *directory, const char *name,
                          struct sql_file *ret_file, struct fault *fault)
{
    const char *text = file_text(ctx, mem_printf(ctx, "%s/%s", directory, name), name, fault);
    if (!text)
        return false;
    *ret_file = (struct sql_file){
        .name = mem_text(ctx, name),
        .text = text,
        .checksum = digest_sha256_hex(ctx, bytes_of_text(text)),
        .no_transaction = text_starts(text, NO_TRANSACTION),
    };
    return true;
}

static bool sql_file_add(TALLOC_CTX *ctx, const char *directory, const char *name,
                         struct sql_files *files, struct fault *fault)
{
    files->items = mem_resize(ctx, files->items, struct sql_file, files->count + 1);
    return sql_file_read(ctx, directory, name, &files->items[files->count++], fault);
}

static int by_name(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

/* Names in the folder that end in .sql, sorted; a folder that is missing has none. */
static bool sql_names(TALLOC_CTX *ctx, const char *path, struct text_list *ret_names,
                      struct fault *fault)
{
    AUTO(DIR) *folder = opendir(path);
    if (!folder && errno != ENOENT)
        return unreadable(path, path, fault);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        if (text_ends(entry->d_name, ".sql") && entry->d_name[0] != '.')
            text_list_add(ctx, ret_names, entry->d_name);
    if (ret_names->count > 0)
        qsort(ret_names->items, ret_names->count, sizeof(char *), by_name);
    return true;
}

static bool is_migration(const char *name)
{
    return strspn(name, "0123456789") == 4 && name[4] == '_';
}

static bool read_migrations(TALLOC_CTX *ctx, const char *directory, struct sql_files *files,
                            struct fault *fault)
{
    struct text_list names = {NULL, 0};
    if (!sql_names(ctx, directory, &names, fault))
        return false;
    for (size_t i = 0; i < names.count; i++) {
        if (!is_migration(names.items[i]))
            continue;
        if (!sql_file_add(ctx, directory, names.items[i], files, fault))
            return false;
        struct sql_file *file = &files->items[files->count - 1];
        memcpy(file->version, file->name, 4);
        if (files->count > 1 && text_equal(file->version, file[-1].version))
            return fault_set(fault, FILE_FAILED, NULL, "%s and %s have the same number",
                             file[-1].name, file->name);
    }
    if (files->count == 0)
        return fault_set(fault, FILE_FAILED, NULL, "no migrations in %s", directory);
    return true;
}

static bool read_folder(TALLOC_CTX *ctx, const char *directory, const char *folder,
                        struct sql_files *files, struct fault *fault)
{
    struct text_list names = {NULL, 0};
    if (!sql_names(ctx, mem_printf(ctx, "%s/%s", directory, folder), &names, fault))
        return false;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = mem_printf(ctx, "%s/%s", folder, names.items[i]);
        if (!sql_file_add(ctx, directory, name, files, fault))
            return false;
    }
    return true;
}

static const char *checksum_of_all(TALLOC_CTX *ctx, const struct release_files *release)
{
    char *list = mem_printf(ctx, "%s %s\n", release->roles.name, release->roles.checksum);
    for (size_t i = 0; i < release->others.count; i++)
        list = mem_append(list, "%s %s\n", release->others.items[i].name,
                          release->others.items[i].checksum);
    return digest_sha256_hex(ctx, bytes_of_text(list));
}

struct release_files *release_files_read(TALLOC_CTX *ctx, const char *directory,
                                         struct fault *fault)
{
    struct release_files *release = mem_new(ctx, struct release_files);
    if (!sql_file_read(release, directory, "roles.sql", &release->roles, fault) ||
        !read_migrations(release, directory, &release->migrations, fault) ||
        !read_folder(release, directory, "functions", &release->others, fault) ||
        !sql_file_add(release, directory, "seeds.sql", &release->others, fault) ||
        !read_folder(release, directory, "grants", &release->others, fault)) {
        talloc_free(release);
        return NULL;
    }
    release->others_checksum = checksum_of_all(release, release);
    return release;
}
