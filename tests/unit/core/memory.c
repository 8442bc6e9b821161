/* tests/unit/core/memory.c: talloc that ends the process instead of returning NULL. */

#include "core/memory.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "core/auto.h"

#include "core/banned.h"

Test(memory, objects_are_zeroed_and_named)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct pair {
        int64_t a, b;
    };

    const struct pair *one = mem_new(scratch, struct pair);
    cr_expect_eq(one->a + one->b, 0);
    cr_expect_str_eq(talloc_get_name(one), "struct pair");
    const struct pair *many = mem_array(scratch, struct pair, 3);
    cr_expect_eq(talloc_get_size(many), 3 * sizeof(struct pair));
    cr_expect_eq(many[2].b, 0);
    cr_expect_not_null(mem_array(scratch, struct pair, 0));
}

Test(memory, resize_keeps_content_and_never_gives_null)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    int *array = mem_array(scratch, int, 2);

    array[1] = 42;
    array = mem_resize(scratch, array, int, 1000);
    cr_expect_eq(array[1], 42);
    cr_expect_eq(talloc_get_size(array), 1000 * sizeof(int));
    array = mem_resize(scratch, array, int, 0);
    cr_expect_not_null(array);
    cr_expect_eq(talloc_parent(array), scratch);
}

Test(memory, texts)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);

    cr_expect_null(mem_text(scratch, NULL));
    cr_expect_str_eq(mem_text_n(scratch, "certificate", 4), "cert");
    cr_expect_str_eq(mem_text_n(scratch, NULL, 0), "");
    char *text = mem_printf(scratch, "%s-%d", "mc", 1);
    text = mem_append(text, "%s", "-x");
    cr_expect_str_eq(text, "mc-1-x");
    cr_expect_str_eq(talloc_get_name(text), "text");
    cr_expect_not_null(mem_copy(scratch, NULL, 0));
    cr_expect_eq(memcmp(mem_copy(scratch, "a\0b", 3), "a\0b", 3), 0);
}

static void count_release(void *object)
{
    ++*(int *)object;
}

Test(memory, adopted_objects_are_released_once_with_their_owner)
{
    TALLOC_CTX *owner = talloc_new(NULL);
    int released = 0;

    cr_expect_eq(mem_adopt(owner, &released, count_release), &released);
    cr_expect_null(mem_adopt(owner, (int *)NULL, count_release));
    cr_expect_eq(released, 0);
    talloc_free(owner);
    cr_expect_eq(released, 1);
}

/* 1 << 63 members of two bytes and one above what talloc gives at all. */
Test(memory, array_size_that_wraps_ends_the_process, .signal = SIGABRT)
{
    (void)mem_array(NULL, uint16_t, (size_t)1 << 63);
}

Test(memory, what_talloc_refuses_ends_the_process, .signal = SIGABRT)
{
    (void)mem_array(NULL, uint8_t, (size_t)1 << 40);
}
