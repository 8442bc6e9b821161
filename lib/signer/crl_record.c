/* lib/signer/crl_record.c: "crl_number 17", padded to one size (00 decision 49). */
#include "signer/crl_record.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define OPENS "crl_number "

void crl_record_write(int64_t number, char ret_record[CRL_RECORD_SIZE + 1])
{
    (void)snprintf(ret_record, CRL_RECORD_SIZE + 1, OPENS "%-20" PRId64 "\n", number);
}

bool crl_record_read(struct bytes record, int64_t *ret_number)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (record.size != CRL_RECORD_SIZE || memcmp(record.data, OPENS, strlen(OPENS)) != 0)
        return false;
    const char *digits = text_trim(scratch,
                                   mem_text_n(scratch, (const char *)record.data + strlen(OPENS),
                                              CRL_RECORD_SIZE - strlen(OPENS)));
    return text_to_integer(digits, 1, INT64_MAX, ret_number);
}
