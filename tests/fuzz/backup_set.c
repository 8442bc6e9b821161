/* tests/fuzz/backup_set.c: a back-up's file (first octet odd), or what stands under its seal. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backup/set.h"
#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct bytes passphrase = {(const uint8_t *)"fuzz", 4};

static void read_all(TALLOC_CTX *ctx, int fd)
{
    struct fault fault = {0};
    struct set_entry entry;
    struct bytes part;
    bool more = true;
    struct sealed_reader *sealed = sealed_reader_new(ctx, fd, passphrase, &fault);
    struct set_reader *set = sealed ? set_reader_new(ctx, sealed, &fault) : NULL;

    while (set && more && set_next(set, &entry, &more, &fault)) {
        if (more && (!set_name_valid(entry.name) || strstr(entry.name, "..") == entry.name))
            abort();
        for (part.size = more; part.size > 0;)
            if (!set_read(set, &part, &fault))
                return;
    }
    if (set && !more && !fault.reason && !set_manifest(set))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    AUTO_FD fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct fault fault = {0};

    if (size == 0 || fd < 0)
        return 0;
    /* An exact block, so that reading one octet too far is seen. */
    const struct bytes input = {mem_copy(ctx, data + 1, size - 1), size - 1};
    if (data[0] & 1) {
        /* What a header may cost is known without paying for it each time. */
        if (input.size > 17 && input.data[17] > SEALED_COST_LEAST + 1)
            return 0;
        if (write(fd, input.data, input.size) != (ssize_t)input.size)
            abort();
    } else {
        struct sealed_writer *writer = sealed_writer_new(ctx, fd, passphrase, SEALED_COST_LEAST,
                                                         &fault);
        if (!writer || !sealed_write(writer, input, &fault) || !sealed_finish(writer, &fault))
            abort();
    }
    if (lseek(fd, 0, SEEK_SET) != 0)
        abort();
    read_all(ctx, fd);
    return 0;
}
