/* tests/fuzz/records.h: an input as records of DNS, each after two octets with its length. */
#ifndef CERTCTL_TESTS_FUZZ_RECORDS_H
#define CERTCTL_TESTS_FUZZ_RECORDS_H

#include "core/bytes.h"

#define RECORDS_MAX 8

/* How many; on ctx. The last may be cut short, and what is behind the eighth is left. */
size_t records_split(TALLOC_CTX *ctx, struct bytes input, struct bytes ret_records[RECORDS_MAX]);

#endif
