/* lib/core/fault.h: why something did not work, for the caller and for the log.
 *
 * A function that can fail returns bool or a pointer and fills the fault that its caller lent.
 * There is no second error type. Buffers are fixed, so that reporting never allocates. */
#ifndef CERTCTL_CORE_FAULT_H
#define CERTCTL_CORE_FAULT_H

#include <stddef.h>

#include "core/macro.h"

/* How a caller that does not know a reason treats it. */
enum fault_kind {
    KIND_NONE,
    KIND_MALFORMED,
    KIND_UNAUTHORIZED,
    KIND_FORBIDDEN,
    KIND_CONFLICT,
    KIND_NOT_FOUND,
    KIND_RATE_LIMITED,
    KIND_POLICY,
    KIND_UPSTREAM,
    KIND_UNAVAILABLE,
    KIND_INTERNAL,
};

enum fault_reason {
    REASON_NONE,
#define REASON(name, kind, slug) name,
#include "core/reasons.def"
#undef REASON
    REASON_COUNT,
};

struct fault {
    enum fault_reason reason;
    const char *field;      /* the caller's own name for the offending input, or NULL */
    char detail[256];       /* to the caller: what was wrong with what, and the clause broken */
    char cause[256];        /* to the log alone: OpenSSL, SQLSTATE, errno, path */
    unsigned retry_after_s; /* 0: nothing to say */
};

/* Fills the fault and returns NULL, so that `return fault_set(…)` serves functions that return
 * bool and functions that return pointers. A later set replaces an earlier one. */
void *fault_set(struct fault *fault, enum fault_reason reason, const char *field,
                const char *format, ...) PRINTF_LIKE(4, 5);

/* Adds what only the log may know. The reason must have been set. Returns NULL. */
void *fault_cause(struct fault *fault, const char *format, ...) PRINTF_LIKE(2, 3);

/* As fault_cause, with the oldest error of this thread's OpenSSL queue; empties the queue. */
void *fault_cause_openssl(struct fault *fault, const char *what);

/* As fault_cause, with strerror(errno). */
void *fault_cause_errno(struct fault *fault, const char *what);

/* Every failing field, for contracts that want them all; the first one answers. What is beyond the
 * most is not kept. */
#define FAULT_LIST_MAX 32
struct fault_list {
    size_t count;
    struct fault items[FAULT_LIST_MAX];
};

/* Adds one. `field` lives as long as the list. Returns NULL, as fault_set does. */
void *fault_list_add(struct fault_list *list, enum fault_reason reason, const char *field,
                     const char *format, ...) PRINTF_LIKE(4, 5);

enum fault_kind fault_reason_kind(enum fault_reason reason);
/* The stable machine name, e.g. "csr_malformed". */
const char *fault_reason_slug(enum fault_reason reason);
/* Inverse of the slug; REASON_NONE when unknown. */
enum fault_reason fault_reason_from_slug(const char *slug);

#endif
