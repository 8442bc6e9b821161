/* lib/lifecycle/renewal_window.h: when a certificate should be renewed (RFC 9773 section 4.2, 01
 * section 12). */
#ifndef CERTCTL_LIFECYCLE_RENEWAL_WINDOW_H
#define CERTCTL_LIFECYCLE_RENEWAL_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/* Times are Unix seconds. */
struct renewal_facts {
    int64_t not_before;
    int64_t not_after;
    int64_t policy_days; /* renewal_window_days of its policy; 0: none */
    bool at_once;        /* revoked, or an operator asked for early renewal */
};

/* start < end, always. Either may have passed, which asks for renewal now. */
struct renewal_window {
    int64_t start;
    int64_t end;
};

struct renewal_window renewal_window(const struct renewal_facts *facts, int64_t now);

#endif
