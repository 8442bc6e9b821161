/* lib/core/macro.h: the few macros that every room uses. */
#ifndef CERTCTL_CORE_MACRO_H
#define CERTCTL_CORE_MACRO_H

#include <stddef.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
/* A member's place in its struct, for tables that fill structs. */
#define AT(type, member)        offsetof(struct type, member)
#define PRINTF_LIKE(text, args) __attribute__((__format__(__printf__, text, args)))
#define MUST_USE                __attribute__((warn_unused_result))

#define least(a, b)                                                                                \
    ({                                                                                             \
        __typeof__(a) least_a = (a);                                                               \
        __typeof__(b) least_b = (b);                                                               \
        least_a < least_b ? least_a : least_b;                                                     \
    })
#define most(a, b)                                                                                 \
    ({                                                                                             \
        __typeof__(a) most_a = (a);                                                                \
        __typeof__(b) most_b = (b);                                                                \
        most_a > most_b ? most_a : most_b;                                                         \
    })

#endif
