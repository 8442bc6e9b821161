/* tests/fuzz/net_caa.c: CAA records as DNS gives them, each after two octets with its length; what
 * permits names us, and what is critical and unknown never does. */
#include "core/auto.h"
#include "core/memory.h"
#include "net/caa_record.h"
#include "records.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const struct text_list ours = text_split(scratch, "ca.test", ',');
    const struct text_list none = {0};
    struct bytes records[RECORDS_MAX];
    const size_t count = records_split(scratch, (struct bytes){data, size}, records);
    struct caa_wish wish = {false, &ours, "https://a.test/account/1", "dns-01"};
    struct fault fault = {0};

    for (int wild = 0; wild < 2; wild++) {
        wish.wildcard = wild == 1;
        wish.identities = &ours;
        const bool allowed = caa_allows(&wish, records, count, "a.test", &fault);
        wish.identities = &none;
        /* Who has no name is permitted where nothing is said of issuing, and then we are too. */
        if (caa_allows(&wish, records, count, "a.test", &fault) && !allowed)
            mem_exhausted(size, "nobody may what we may not");
        for (size_t i = 0; allowed && i < count; i++)
            if (records[i].size >= 5 && records[i].data[0] & 0x80 && records[i].data[1] == 3)
                mem_exhausted(size, "a critical tag of three letters is unknown"); /* none has */
    }
    return 0;
}
