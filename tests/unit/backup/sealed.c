/* tests/unit/backup/sealed.c: a sealed stream: whole, cut off, damaged, another passphrase. */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backup/sealed.h"
#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"

#include "core/banned.h"

#define BLOCK (SEALED_CHUNK_SIZE + SEALED_TAG_SIZE)

static const struct bytes passphrase = {(const uint8_t *)"correct horse", 13};

static int memory_file(void)
{
    const int fd = memfd_create("sealed", MFD_CLOEXEC);
    cr_assert(fd >= 0);
    return fd;
}

static uint8_t *content(TALLOC_CTX *ctx, size_t size)
{
    uint8_t *data = mem_array(ctx, uint8_t, size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
    return data;
}

static int seal_it(size_t size, size_t step)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    struct fault fault = {0};
    const int fd = memory_file();
    const uint8_t *data = content(ctx, size);
    struct sealed_writer *writer = sealed_writer_new(ctx, fd, passphrase, SEALED_COST_LEAST,
                                                     &fault);

    cr_assert(writer, "%s", fault.detail);
    for (size_t at = 0; at < size; at += step)
        cr_assert(sealed_write(writer, (struct bytes){data + at, least(step, size - at)}, &fault));
    cr_assert(sealed_finish(writer, &fault), "%s", fault.detail);
    return fd;
}

/* How many octets come out; the fault tells how it ended. */
static size_t read_it(int fd, struct bytes secret, size_t most, struct fault *fault)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    uint8_t *data = mem_array(ctx, uint8_t, most + 1);
    const uint8_t *wanted = content(ctx, most);
    size_t all = 0;
    size_t got = 1;

    cr_assert(lseek(fd, 0, SEEK_SET) == 0);
    struct sealed_reader *reader = sealed_reader_new(ctx, fd, secret, fault);
    while (reader && got > 0 && all <= most &&
           sealed_read(reader, data + all, least((size_t)4096, most + 1 - all), &got, fault))
        all += got;
    cr_expect_eq(memcmp(data, wanted, least(all, most)), 0, "other octets came out");
    return all;
}

Test(sealed, comes_back_whole)
{
    static const size_t sizes[] = {0,
                                   1,
                                   4999,
                                   SEALED_CHUNK_SIZE - 1,
                                   SEALED_CHUNK_SIZE,
                                   SEALED_CHUNK_SIZE + 1,
                                   3 * SEALED_CHUNK_SIZE,
                                   3 * SEALED_CHUNK_SIZE + 7};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct fault fault = {0};
        AUTO_FD fd = seal_it(sizes[i], 1 + 7000 * i);
        cr_expect_eq(read_it(fd, passphrase, sizes[i], &fault), sizes[i], "%zu", sizes[i]);
        cr_expect_eq(fault.reason, REASON_NONE, "%zu: %s", sizes[i], fault.detail);
    }
}

Test(sealed, is_seen_to_be_cut_off_everywhere)
{
    static const long beside[] = {-1, 0, 1, 15, 16, 17};
    const size_t size = 3 * SEALED_CHUNK_SIZE + 100;

    for (size_t chunk = 0; chunk <= 3; chunk++)
        for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
            struct fault fault = {0};
            const off_t end = (off_t)(SEALED_HEADER_SIZE + chunk * BLOCK) + beside[i];
            AUTO_FD cut = seal_it(size, size);
            cr_assert(ftruncate(cut, end) == 0);
            const size_t got = read_it(cut, passphrase, size, &fault);
            cr_expect(got < size, "cut at %ld", (long)end);
            cr_expect_eq(got % SEALED_CHUNK_SIZE, 0, "half a chunk was given out");
            cr_expect_eq(fault.reason, INPUT_MALFORMED, "cut at %ld", (long)end);
            cr_expect(strstr(fault.detail, "cut off"), "cut at %ld: %s", (long)end, fault.detail);
            if (beside[i] == 0 && chunk > 0)
                cr_expect(strstr(fault.detail, "its end is missing"), "%s", fault.detail);
        }
}

Test(sealed, refuses_every_damage)
{
    const size_t size = SEALED_CHUNK_SIZE + 20;
    const size_t all = SEALED_HEADER_SIZE + BLOCK + 20 + SEALED_TAG_SIZE;

    for (size_t at = 0; at < all; at += at < SEALED_HEADER_SIZE ? 7 : 4099) {
        struct fault fault = {0};
        uint8_t octet;
        AUTO_FD fd = seal_it(size, size);
        cr_assert(pread(fd, &octet, 1, (off_t)at) == 1);
        octet ^= 0x10;
        cr_assert(pwrite(fd, &octet, 1, (off_t)at) == 1);
        cr_expect(read_it(fd, passphrase, size, &fault) < size, "octet %zu", at);
        cr_expect(fault.reason == INPUT_MALFORMED || fault.reason == INPUT_INVALID, "octet %zu",
                  at);
    }
}

Test(sealed, refuses_chunks_in_another_order_or_twice)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const size_t size = 3 * SEALED_CHUNK_SIZE;
    uint8_t *block = mem_array(ctx, uint8_t, BLOCK);
    struct fault fault = {0};
    AUTO_FD fd = seal_it(size, size);

    cr_assert(pread(fd, block, BLOCK, SEALED_HEADER_SIZE) == (ssize_t)BLOCK);
    cr_assert(pwrite(fd, block, BLOCK, SEALED_HEADER_SIZE + BLOCK) == (ssize_t)BLOCK);
    cr_expect_eq(read_it(fd, passphrase, size, &fault), SEALED_CHUNK_SIZE);
    cr_expect(strstr(fault.detail, "damaged in chunk 2"), "%s", fault.detail);
}

Test(sealed, refuses_what_was_appended)
{
    struct fault fault = {0};
    AUTO_FD fd = seal_it(100, 100);

    cr_assert(pwrite(fd, "x", 1, SEALED_HEADER_SIZE + 100 + SEALED_TAG_SIZE) == 1);
    cr_expect_eq(read_it(fd, passphrase, 100, &fault), 0);
    cr_expect_eq(fault.reason, INPUT_MALFORMED);
}

Test(sealed, says_what_is_wrong)
{
    static const struct {
        const char *about;
        const char *secret;
        off_t at;
        uint8_t octet;
        off_t size; /* 0: whole */
        enum fault_reason reason;
        const char *words;
    } cases[] = {
        {"another passphrase", "correct horsf",  0,  'c', 0,  INPUT_INVALID,
         "the passphrase does not"                                                                      },
        {"a longer one",       "correct horses", 0,  'c', 0,  INPUT_INVALID,   "the passphrase does not"},
        {"an empty one",       "",               0,  'c', 0,  INPUT_INVALID,   "the passphrase does not"},
        {"another file",       "correct horse",  0,  'C', 0,  INPUT_MALFORMED, "no back-up of certctl"  },
        {"a newer format",     "correct horse",  16, 2,   0,  INPUT_MALFORMED, "version 2"              },
        {"a cost too low",     "correct horse",  17, 9,   0,  INPUT_MALFORMED, "header is damaged"      },
        {"a cost too high",    "correct horse",  17, 21,  0,  INPUT_MALFORMED, "header is damaged"      },
        {"an empty file",      "correct horse",  0,  'c', -1, INPUT_MALFORMED, "no back-up of certctl"  },
        {"half a header",      "correct horse",  0,  'c', 95, INPUT_MALFORMED, "cut off in its header"  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
        struct fault fault = {0};
        AUTO_FD fd = seal_it(10, 10);
        cr_assert(pwrite(fd, &cases[i].octet, 1, cases[i].at) == 1);
        if (cases[i].size)
            cr_assert(ftruncate(fd, cases[i].size < 0 ? 0 : cases[i].size) == 0);
        cr_assert(lseek(fd, 0, SEEK_SET) == 0);
        cr_expect_null(sealed_reader_new(ctx, fd, bytes_of_text(cases[i].secret), &fault));
        cr_expect_eq(fault.reason, cases[i].reason, "%s: %s", cases[i].about, fault.detail);
        cr_expect(strstr(fault.detail, cases[i].words), "%s: %s", cases[i].about, fault.detail);
        cr_expect_eq(talloc_total_blocks(ctx), 1, "%s: memory left behind", cases[i].about);
    }
}

Test(sealed, never_encrypts_twice_alike)
{
    uint8_t one[64];
    uint8_t other[64];
    AUTO_FD first = seal_it(64, 64);
    AUTO_FD second = seal_it(64, 64);

    cr_assert(pread(first, one, 64, SEALED_HEADER_SIZE) == 64);
    cr_assert(pread(second, other, 64, SEALED_HEADER_SIZE) == 64);
    cr_expect_neq(memcmp(one, other, 64), 0);
}
