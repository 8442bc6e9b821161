/* lib/lifecycle/renewal_window.c: the table of 01 section 12, first rule that applies. The start is
 * not clamped to now: a moving start would make of each poll a new answer. */
#include "lifecycle/renewal_window.h"

#include "core/banned.h"

#define HOUR 3600
#define DAY  86400
/* Below it a third and a ninth of a life are the same second. */
#define LIFE_LEAST 3

struct renewal_window renewal_window(const struct renewal_facts *facts, int64_t now)
{
    const int64_t end = facts->not_after;
    const int64_t life = end - facts->not_before;
    const int64_t asked = facts->policy_days * DAY;

    if (facts->at_once)
        return (struct renewal_window){now - HOUR, now - HOUR / 2};
    if (now > end)
        return (struct renewal_window){now, now + DAY};
    if (life < LIFE_LEAST)
        return (struct renewal_window){end - DAY, end};
    if (asked > 0 && 3 * asked < 2 * life)
        return (struct renewal_window){end - asked, end - asked / 2};
    return (struct renewal_window){end - life / 3, end - life / 9};
}
