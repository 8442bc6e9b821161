/* tests/fuzz/records.c: see records.h. */
#include "records.h"

#include "core/banned.h"

size_t records_split(TALLOC_CTX *ctx, struct bytes input, struct bytes ret_records[RECORDS_MAX])
{
    size_t count = 0;

    while (count < RECORDS_MAX && input.size >= 2) {
        const size_t length = least((size_t)(input.data[0] * 256u + input.data[1]), input.size - 2);

        ret_records[count++] = bytes_copy(ctx, (struct bytes){input.data + 2, length});
        input = (struct bytes){input.data + 2 + length, input.size - 2 - length};
    }
    return count;
}
