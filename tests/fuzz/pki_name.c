/* tests/fuzz/pki_name.c: DNS names, addresses and texts; a normal form is its own normal form. */
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "pki/name.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    const char *text = mem_text_n(scratch, mem_copy(scratch, data, size), size);
    struct name_list names = {0};
    const char *normal = NULL;
    struct fault fault = {0};

    (void)name_text_check("name", mem_copy(scratch, data, size), size, &fault);
    for (enum name_kind kind = NAME_DNS; kind <= NAME_OTHER; kind++) {
        (void)name_rule_broken(&(struct name){kind, text});
        name_list_add(scratch, &names, kind, text);
        if (!name_list_has(&names, &(struct name){kind, text}) || !name_kind_text(kind))
            abort();
    }
    if (name_dns_normalise(scratch, text, 3, &normal, &fault) &&
        (!name_dns_normalise(scratch, normal, 3, &normal, &fault) ||
         name_rule_broken(&(struct name){NAME_DNS, normal})))
        abort();
    if (name_ip_normalise(scratch, text, &normal, &fault) &&
        !name_ip_normalise(scratch, normal, &normal, &fault))
        abort();
    return 0;
}
