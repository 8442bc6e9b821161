/* tests/unit/core/digest.c: FIPS 180-4 and RFC 4231 vectors. */

#include "core/digest.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/memory.h"

#include "core/banned.h"

Test(digest, sha256_of_fips_180)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_str_eq(digest_sha256_hex(scratch, bytes_of_text("abc")),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_expect_str_eq(digest_sha256_hex(scratch, (struct bytes){0}),
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    cr_expect_str_eq(digest_sha256_base64url(scratch, bytes_of_text("abc")),
                     "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
}

Test(digest, hmac_sha256_of_rfc_4231)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t long_key[131];
    uint8_t mac[DIGEST_SHA256_SIZE];

    digest_hmac_sha256(bytes_of_text("Jefe"), bytes_of_text("what do ya want for nothing?"), mac);
    cr_expect_str_eq(hex_from_bytes(scratch, BYTES_OF(mac)),
                     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "case 2");
    memset(long_key, 0xaa, sizeof(long_key));
    digest_hmac_sha256(BYTES_OF(long_key),
                       bytes_of_text("Test Using Larger Than Block-Size Key - Hash Key First"),
                       mac);
    cr_expect_str_eq(hex_from_bytes(scratch, BYTES_OF(mac)),
                     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", "case 6");
}

/* EVP_MAC_init with a NULL key would go on with the key before. */
Test(digest, an_empty_key_is_not_the_key_before)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    uint8_t mac[DIGEST_SHA256_SIZE];

    digest_hmac_sha256(bytes_of_text("Jefe"), bytes_of_text("x"), mac);
    digest_hmac_sha256((struct bytes){0}, (struct bytes){0}, mac);
    cr_expect_str_eq(hex_from_bytes(scratch, BYTES_OF(mac)),
                     "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

Test(digest, algorithms_are_fetched_once)
{
    cr_expect_eq(digest_algorithm_sha256(), digest_algorithm_sha256());
    cr_expect_eq(EVP_MD_get_size(digest_algorithm_sha256()), 32);
    cr_expect_eq(EVP_MD_get_size(digest_algorithm_sha384()), 48);
    cr_expect_eq(EVP_MD_get_size(digest_algorithm_sha512()), 64);
}

/* Half of the stock is left when the child takes its share. */
Test(digest, random_bytes_are_not_shared_with_a_child)
{
    uint8_t mine[16];
    uint8_t others[16] = {0};
    int ends[2];

    random_bytes(mine, sizeof(mine));
    cr_assert_eq(pipe(ends), 0);
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        random_bytes(mine, sizeof(mine));
        _exit(write(ends[1], mine, sizeof(mine)) == sizeof(mine) ? 0 : 1);
    }
    cr_assert_eq(read(ends[0], others, sizeof(others)), (ssize_t)sizeof(others));
    for (size_t i = 0; i < 64; i++) {
        random_bytes(mine, sizeof(mine));
        cr_expect_neq(memcmp(mine, others, sizeof(mine)), 0, "draw %zu", i);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

#define THREADS 4
#define DRAWS   100000

static pthread_barrier_t all_are_there;

static void *draw_many(void *arg)
{
    uint64_t *drawn = arg;

    (void)pthread_barrier_wait(&all_are_there);
    for (size_t i = 0; i < DRAWS; i++)
        random_bytes((uint8_t *)&drawn[i], sizeof(drawn[i]));
    return NULL;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t one = *(const uint64_t *)a;
    const uint64_t other = *(const uint64_t *)b;

    return (one > other) - (one < other);
}

/* Two threads that took from one stock would give some bytes twice. */
Test(digest, random_bytes_are_not_shared_by_threads)
{
    static uint64_t drawn[THREADS * DRAWS];
    pthread_t threads[THREADS];

    cr_assert_eq(pthread_barrier_init(&all_are_there, NULL, THREADS), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, draw_many, drawn + i * DRAWS), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    qsort(drawn, ARRAY_SIZE(drawn), sizeof(drawn[0]), compare_u64);
    for (size_t i = 1; i < ARRAY_SIZE(drawn); i++)
        cr_assert_neq(drawn[i], drawn[i - 1], "%zu of %zu", i, ARRAY_SIZE(drawn));
}

/* Across the end of the stock, at every place that it can have. */
Test(digest, random_bytes_never_come_twice)
{
    uint8_t taken[512][16];

    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        uint8_t skipped[7];
        random_bytes(skipped, i % sizeof(skipped));
        random_bytes(taken[i], sizeof(taken[i]));
        for (size_t k = 0; k < i; k++)
            cr_expect_neq(memcmp(taken[i], taken[k], sizeof(taken[i])), 0, "%zu is %zu", i, k);
    }
}

Test(digest, random_bytes_fill_all_and_differ)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};

    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    cr_expect_neq(memcmp(a, b, sizeof(a)), 0);
    cr_expect_neq(memcmp(a + 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), 0,
                  "the end was not filled");
    random_bytes(a, 0);
}
