/* lib/core/fault.c: filling faults, and the one table of reasons (reasons.def). */

#include "core/fault.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/text.h"

#include "core/banned.h"

struct reason_row {
    enum fault_kind kind;
    const char *slug;
};

/* In the order of the enum, since both are made of the same list. */
#define REASON(name, kind, slug) {kind, slug},
static const struct reason_row reason_rows[REASON_COUNT] = {REASON(REASON_NONE, KIND_NONE, "none")
#include "core/reasons.def"
};
#undef REASON

/* snprintf cuts at a byte. Half a character at the end would make the text invalid UTF-8, and the
 * reply that carries it invalid JSON. */
static void drop_half_character(char *text)
{
    size_t length = strlen(text);
    size_t tail = 0;

    while (tail < length && tail < 3 && ((uint8_t)text[length - tail - 1] & 0xc0U) == 0x80U)
        tail++;
    if (tail == length)
        return;
    const size_t start = length - tail - 1;
    if ((uint8_t)text[start] >= 0xc0U && text_utf8_sequence(text + start, tail + 1) == 0)
        text[start] = '\0';
}

static void fault_fill(struct fault *fault, enum fault_reason reason, const char *field,
                       const char *format, va_list args) PRINTF_LIKE(4, 0);
static void fault_fill(struct fault *fault, enum fault_reason reason, const char *field,
                       const char *format, va_list args)
{
    *fault = (struct fault){.reason = reason, .field = field};
    if (vsnprintf(fault->detail, sizeof(fault->detail), format, args) < 0)
        fault->detail[0] = '\0';
    drop_half_character(fault->detail);
}

void *fault_set(struct fault *fault, enum fault_reason reason, const char *field,
                const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fault_fill(fault, reason, field, format, args);
    va_end(args);
    return NULL;
}

void *fault_list_add(struct fault_list *list, enum fault_reason reason, const char *field,
                     const char *format, ...)
{
    va_list args;

    if (list->count == FAULT_LIST_MAX)
        return NULL;
    va_start(args, format);
    fault_fill(&list->items[list->count++], reason, field, format, args);
    va_end(args);
    return NULL;
}

void *fault_cause(struct fault *fault, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (vsnprintf(fault->cause, sizeof(fault->cause), format, args) < 0)
        fault->cause[0] = '\0';
    va_end(args);
    drop_half_character(fault->cause);
    return NULL;
}

void *fault_cause_openssl(struct fault *fault, const char *what)
{
    char text[200];
    const unsigned long code = ERR_get_error();

    if (code == 0)
        return fault_cause(fault, "%s: OpenSSL gave no reason", what);
    ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return fault_cause(fault, "%s: %s", what, text);
}

void *fault_cause_errno(struct fault *fault, const char *what)
{
    char text[128];

    /* The GNU form: what it returns need not be the buffer. */
    return fault_cause(fault, "%s: %s", what, strerror_r(errno, text, sizeof(text)));
}

enum fault_kind fault_reason_kind(enum fault_reason reason)
{
    return reason < REASON_COUNT ? reason_rows[reason].kind : KIND_INTERNAL;
}

const char *fault_reason_slug(enum fault_reason reason)
{
    return reason < REASON_COUNT ? reason_rows[reason].slug : "internal";
}

enum fault_reason fault_reason_from_slug(const char *slug)
{
    for (size_t i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        if (text_equal(reason_rows[i].slug, slug))
            return (enum fault_reason)i;
    }
    return REASON_NONE;
}
