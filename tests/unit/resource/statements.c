/* tests/unit/resource/statements.c: the SQL that the tables make. Whether it is good SQL is the
 * server's to say (certctl-api --check-statements); here its parameters are counted. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/auto.h"
#include "core/memory.h"
#include "core/text.h"
#include "resource/resource_private.h"
#include "sample.h"

#include "core/banned.h"

static const struct resource *const list[] = {&sample};

/* The greatest $n, and that every one from 1 on is there. */
static int parameters(TALLOC_CTX *ctx, const char *sql)
{
    int count = 0;

    while (strstr(sql, mem_printf(ctx, "$%d::", count + 1)))
        count++;
    cr_expect_null(strstr(sql, mem_printf(ctx, "$%d::", count + 2)), "a gap in %s", sql);
    return count;
}

Test(statements, have_a_parameter_for_every_value)
{
    AUTO(TALLOC_CTX) *ctx = talloc_new(NULL);
    const struct db_options options = {.url = ""};
    const struct resource_set *set = resource_set_new(ctx, db_new(ctx, &options), list, 1);
    const struct resource_statements *made = resource_statements_of(set, &sample);

    /* Six filters, two scopes, rows, offset, fields; a cursor has key and id for the offset. */
    for (size_t sort = 0; sort < sample.sort_count; sort++) {
        for (int down = 0; down < 2; down++) {
            cr_expect_eq(parameters(ctx, made->page[sort][down].sql), 11);
            cr_expect_eq(parameters(ctx, made->next[sort][down].sql), 12);
        }
    }
    cr_expect_eq(parameters(ctx, made->get.sql), 4);
    cr_expect_str_eq(made->page[0][0].name, "samples_by_created_at_asc_page");
    cr_expect_str_eq(made->next[1][1].name, "samples_by_name_desc_next");
    cr_expect_str_eq(made->get.name, "samples_by_id");
    cr_expect(strstr(made->next[1][1].sql, "(v.name, v.id) < ($10::text, $11::text)"), "%s",
              made->next[1][1].sql);
    cr_expect(strstr(made->next[0][0].sql, "(v.made, v.id) > ($10::timestamptz, $11::text)"), "%s",
              made->next[0][0].sql);
}
