/* lib/pki/crl_memory.c: entries gathered in a memfd, framed, sealed. 04 sections 4.0 and 9.2. */
#include "pki/crl_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

#define BLOCK 65536
/* Left free before the entries: the frame needs less, and its exact size is known at the end. */
#define ROOM_BEFORE 65536
#define SEALS       (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct crl_memory {
    int fd;
    size_t written; /* octets of entries behind ROOM_BEFORE */
    size_t count;
    uint8_t *mapped;
    size_t mapped_size;
    size_t used; /* of block */
    uint8_t block[BLOCK];
};

static bool failed(struct fault *fault, const char *what)
{
    const int error = errno;

    fault_set(fault, FILE_FAILED, NULL, "there is no memory for the CRL");
    errno = error;
    return fault_cause_errno(fault, what);
}

static int release(struct crl_memory *memory)
{
    if (memory->mapped)
        (void)munmap(memory->mapped, memory->mapped_size);
    if (memory->fd >= 0)
        (void)close(memory->fd);
    return 0;
}

struct crl_memory *crl_memory_new(TALLOC_CTX *ctx, struct fault *fault)
{
    struct crl_memory *memory = mem_new(ctx, struct crl_memory);

    talloc_set_destructor(memory, release);
    memory->fd = memfd_create("certctl-crl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory->fd >= 0)
        return memory;
    (void)failed(fault, "memfd_create");
    talloc_free(memory);
    return NULL;
}

static bool flush(struct crl_memory *memory, struct fault *fault)
{
    for (size_t done = 0; done < memory->used;) {
        const off_t at = (off_t)(ROOM_BEFORE + memory->written); /* far below 2^63 */
        const ssize_t put = pwrite(memory->fd, memory->block + done, memory->used - done, at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return failed(fault, "pwrite");
        done += (size_t)put;
        memory->written += (size_t)put;
    }
    memory->used = 0;
    return true;
}

static bool append(struct crl_memory *memory, struct bytes entry, struct fault *fault)
{
    if (entry.size > BLOCK ||
        memory->written + memory->used + entry.size > CRL_TBS_MAX - 2 * ROOM_BEFORE)
        return fault_set(fault, INTERNAL, NULL, "the CRL would have more than %zu octets",
                         CRL_TBS_MAX);
    if (memory->used + entry.size > BLOCK && !flush(memory, fault))
        return false;
    memcpy(memory->block + memory->used, entry.data, entry.size);
    memory->used += entry.size;
    memory->count++;
    return true;
}

bool crl_memory_add(struct crl_memory *memory, struct bytes der, const struct crl_entry *entry,
                    struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (der.size == 0 && !crl_entry_encode(scratch, entry, &der, fault))
        return false;
    return append(memory, der, fault);
}

/* The entries move down to where the frame ends, and the frame comes around them. */
static bool enclose(struct crl_memory *memory, const struct crl_frame *frame, struct fault *fault)
{
    const size_t now = ROOM_BEFORE + memory->written;
    const size_t behind = frame->before.size + memory->written;
    const size_t total = behind + frame->after.size;

    if (frame->before.size > ROOM_BEFORE)
        return fault_set(fault, INTERNAL, NULL, "the CA's name is too long for a CRL");
    if (ftruncate(memory->fd, (off_t)most(now, total)) != 0)
        return failed(fault, "ftruncate");
    uint8_t *all = mmap(NULL, most(now, total), PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
    if (all == MAP_FAILED)
        return failed(fault, "mmap");
    memmove(all + frame->before.size, all + ROOM_BEFORE, memory->written);
    memcpy(all, frame->before.data, frame->before.size);
    memcpy(all + behind, frame->after.data, frame->after.size);
    (void)munmap(all, most(now, total)); /* a writable mapping would keep the seal away */
    if (ftruncate(memory->fd, (off_t)total) != 0 || fcntl(memory->fd, F_ADD_SEALS, SEALS) != 0)
        return failed(fault, "sealing");
    memory->mapped_size = total;
    return true;
}

bool crl_memory_seal(struct crl_memory *memory, const struct crl_head *head, struct bytes *ret_tbs,
                     struct fault *fault)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    if (!flush(memory, fault))
        return false;
    const struct crl_frame frame = crl_frame(scratch, head, memory->written);
    if (!enclose(memory, &frame, fault))
        return false;
    void *mapped = mmap(NULL, memory->mapped_size, PROT_READ, MAP_PRIVATE, memory->fd, 0);
    if (mapped == MAP_FAILED)
        return failed(fault, "mmap");
    memory->mapped = mapped;
    *ret_tbs = (struct bytes){memory->mapped, memory->mapped_size};
    return true;
}

int crl_memory_fd(const struct crl_memory *memory)
{
    return memory->fd;
}

size_t crl_memory_count(const struct crl_memory *memory)
{
    return memory->count;
}
