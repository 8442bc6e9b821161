/* lib/core/memory.h: talloc that never returns NULL.
 *
 * Out of memory ends the process with a line on stderr: a worker may die at any instant anyway,
 * and no path carries a check that no test reaches. `ctx` owns what is returned. */
#ifndef CERTCTL_CORE_MEMORY_H
#define CERTCTL_CORE_MEMORY_H

#include <stdarg.h>
#include <stdint.h>
#include <talloc.h>

#include "core/macro.h"

/* Zeroed object, zeroed array; both carry the type's name for talloc reports. */
#define mem_new(ctx, type)          ((type *)mem_zero((ctx), sizeof(type), #type))
#define mem_array(ctx, type, count) ((type *)mem_zero_array((ctx), sizeof(type), (count), #type))

void *mem_zero(TALLOC_CTX *ctx, size_t size, const char *name);
void *mem_zero_array(TALLOC_CTX *ctx, size_t size, size_t count, const char *name);
/* Grows an array that mem_array made; new members are not zeroed. */
#define mem_resize(ctx, array, type, count)                                                        \
    ((type *)mem_resize_array((ctx), (array), sizeof(type), (count), #type))
void *mem_resize_array(TALLOC_CTX *ctx, void *array, size_t size, size_t count, const char *name);

void *mem_copy(TALLOC_CTX *ctx, const void *data, size_t size);
/* NULL gives NULL. */
char *mem_text(TALLOC_CTX *ctx, const char *text);
char *mem_text_n(TALLOC_CTX *ctx, const char *text, size_t length);
char *mem_printf(TALLOC_CTX *ctx, const char *format, ...) PRINTF_LIKE(2, 3);
char *mem_vprintf(TALLOC_CTX *ctx, const char *format, va_list args) PRINTF_LIKE(2, 0);
/* Appends to a text that mem_text or mem_printf made, and returns it, perhaps moved. */
char *mem_append(char *text, const char *format, ...) PRINTF_LIKE(2, 3);

/* Lets `ctx` own a foreign object: release(object) runs when ctx is freed. Returns object. */
void *mem_adopt_object(TALLOC_CTX *ctx, void *object, void (*release)(void *object));
#define mem_adopt(ctx, object, release)                                                            \
    ((__typeof__(object))mem_adopt_object((ctx), (object), (void (*)(void *))(release)))

/* Ends the process with a line on stderr. */
_Noreturn void mem_exhausted(size_t size, const char *what);

#endif
