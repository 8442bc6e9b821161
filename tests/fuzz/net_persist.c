/* tests/fuzz/net_persist.c: TXT records of dns-persist-01 as DNS gives them, each after two octets
 * with its length; what proves a wildcard proves the name, what proves later proves now, and one
 * record proves nothing to a second account. */
#include "core/auto.h"
#include "core/memory.h"
#include "net/persist01.h"
#include "records.h"

#include "core/banned.h"

#define NOW_S   1767225600
#define LATER_S 2000000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool proves(struct persist_wish wish, const struct bytes *records, size_t count)
{
    struct fault fault = {0};
    const bool good = persist01_proves(&wish, records, count, "_validation-persist.a.test", &fault);

    if (good != (fault.reason == REASON_NONE))
        mem_exhausted(count, "a refusal without its reason");
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list ours = text_split(scratch, "ca.test", ',');
    const struct text_list none = {0};
    struct bytes records[RECORDS_MAX];
    const size_t count = records_split(scratch, (struct bytes){data, size}, records);

    if (count == 0)
        return 0;
    const bool plain = proves((struct persist_wish){&ours, "a:1", false, NOW_S}, records, count);
    const bool second = proves((struct persist_wish){&ours, "a:2", false, NOW_S}, records, count);
    if (!plain && proves((struct persist_wish){&ours, "a:1", true, NOW_S}, records, count))
        mem_exhausted(size, "a wildcard without its name");
    if (!plain && proves((struct persist_wish){&ours, "a:1", false, LATER_S}, records, count))
        mem_exhausted(size, "a record that begins later");
    if (plain && second && count == 1)
        mem_exhausted(size, "a record of two accounts");
    if (proves((struct persist_wish){&none, "a:1", false, NOW_S}, records, count))
        mem_exhausted(size, "a record that names nobody");
    return 0;
}
