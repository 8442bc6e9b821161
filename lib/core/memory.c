/* lib/core/memory.c: talloc that never returns NULL. */

#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/banned.h"

struct adopted {
    void *object;
    void (*release)(void *object);
};

_Noreturn void mem_exhausted(size_t size, const char *what)
{
    char line[160];
    const int length = snprintf(line, sizeof(line), "certctl: out of memory: %zu bytes for %s\n",
                                size, what ? what : "nothing named");

    /* stdio might allocate. Nobody is left who could act on a failure of this write. */
    if (length > 0 && write(STDERR_FILENO, line, least((size_t)length, sizeof(line) - 1)) < 0)
        abort();
    abort();
}

static size_t array_size(size_t size, size_t count, const char *name)
{
    size_t total;

    if (__builtin_mul_overflow(size, count, &total))
        mem_exhausted(SIZE_MAX, name);
    return total;
}

void *mem_zero(TALLOC_CTX *ctx, size_t size, const char *name)
{
    void *made = talloc_zero_size(ctx, size);

    if (!made)
        mem_exhausted(size, name);
    talloc_set_name_const(made, name);
    return made;
}

void *mem_zero_array(TALLOC_CTX *ctx, size_t size, size_t count, const char *name)
{
    return mem_zero(ctx, array_size(size, count, name), name);
}

void *mem_resize_array(TALLOC_CTX *ctx, void *array, size_t size, size_t count, const char *name)
{
    /* talloc frees what is resized to nothing, and returns NULL. */
    const size_t total = most(array_size(size, count, name), (size_t)1);
    void *resized = talloc_realloc_size(ctx, array, total);

    if (!resized)
        mem_exhausted(total, name);
    talloc_set_name_const(resized, name);
    return resized;
}

void *mem_copy(TALLOC_CTX *ctx, const void *data, size_t size)
{
    void *made = talloc_size(ctx, size);

    if (!made)
        mem_exhausted(size, "a copy");
    if (size > 0)
        memcpy(made, data, size);
    talloc_set_name_const(made, "bytes");
    return made;
}

char *mem_text(TALLOC_CTX *ctx, const char *text)
{
    return text ? mem_text_n(ctx, text, strlen(text)) : NULL;
}

char *mem_text_n(TALLOC_CTX *ctx, const char *text, size_t length)
{
    char *made = talloc_size(ctx, length + 1);

    if (!made)
        mem_exhausted(length + 1, "a text");
    if (length > 0)
        memcpy(made, text, length);
    made[length] = '\0';
    talloc_set_name_const(made, "text");
    return made;
}

char *mem_vprintf(TALLOC_CTX *ctx, const char *format, va_list args)
{
    char *made = talloc_vasprintf(ctx, format, args);

    if (!made)
        mem_exhausted(0, format);
    /* talloc names it by its whole content, which a report has no use for. */
    talloc_set_name_const(made, "text");
    return made;
}

char *mem_printf(TALLOC_CTX *ctx, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *made = mem_vprintf(ctx, format, args);
    va_end(args);
    return made;
}

char *mem_append(char *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *grown = talloc_vasprintf_append(text, format, args);
    va_end(args);
    if (!grown)
        mem_exhausted(0, format);
    talloc_set_name_const(grown, "text");
    return grown;
}

static int release_adopted(struct adopted *adopted)
{
    adopted->release(adopted->object);
    return 0;
}

void *mem_adopt_object(TALLOC_CTX *ctx, void *object, void (*release)(void *object))
{
    if (!object)
        return NULL;
    struct adopted *adopted = mem_new(ctx, struct adopted);
    adopted->object = object;
    adopted->release = release;
    talloc_set_destructor(adopted, release_adopted);
    return object;
}
